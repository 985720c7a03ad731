"""Ends what takes too long: each connection that a request has taken is watched until it is back.

It costs a statement no round trip and leaves nothing behind in the session, as a ``SET
statement_timeout`` would, and it ends even a call whose server is frozen. One thread for each
process looks at what is watched, some times a second, and sleeps while nothing is.

A late connection is first cancelled, which the server answers by ending the statement; then its
socket is shut, again and again until the driver's call has returned. It never goes back into the
pool, where a cancel that comes late would hit another request's statement.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry, ManagesConnection

from ..sql.drivers import Driver, driver_of
from .deadline import Deadline, current

_TICK_SECONDS = 0.1
_CANCEL_SECONDS = 1.0
_GRACE_SECONDS = 0.5
_WATCH = "carboy_watch"


class Watch:
    """One connection, watched while a request has it; kept as long as the connection lives.

    ``deadline`` is that of the request that has it, the ``number`` for this one use; ``own`` is a
    handle of its socket, since the driver's may be another socket's by the time it is shut.
    """

    __slots__ = (
        "_driver",
        "_make",
        "_of",
        "deadline",
        "discard",
        "ended",
        "number",
        "own",
        "returned",
    )

    def __init__(self, of: Driver, driver: Any, make: Callable[[], Any]) -> None:
        self._of = of
        self._driver = driver
        self._make = make
        number = of.fileno(driver)
        self.own = None if number is None else socket.socket(fileno=os.dup(number))
        self.deadline: Deadline | None = None
        self.number = 0
        self.discard: Callable[[], None] | None = None
        self.returned: threading.Event | None = None
        self.ended: threading.Event | None = None

    def end(self, deadline: Deadline) -> None:
        """End what the connection does: politely first, and until its call has returned."""
        assert self.returned is not None
        assert self.ended is not None
        deadline.passed = True
        try:
            # It fails where the server says nothing; then the socket is all there is.
            with suppress(Exception):
                self._cancel()
            patience = _GRACE_SECONDS
            while not self.returned.wait(patience):
                with suppress(Exception):
                    self._shut()
                patience = _TICK_SECONDS
        finally:
            self.ended.set()

    def release(self) -> None:
        """Watch it no longer; if it was late it is discarded."""
        if _WATCHER.end(self):
            return
        # Without a socket nothing comes late.
        if self.own is not None and self.discard is not None:
            self.discard()

    def close(self) -> None:
        """The connection is about to be closed."""
        _WATCHER.end(self)
        if self.own is not None:
            self.own.close()

    def _cancel(self) -> None:
        self._of.cancel(self._driver, self._make, _CANCEL_SECONDS)

    def _shut(self) -> None:
        if self.own is None:
            self._cancel()
        else:
            self.own.shutdown(socket.SHUT_RDWR)


class Watcher:
    """The thread of one process, started when it is first needed."""

    def __init__(self) -> None:
        self._watched: dict[int, Watch] = {}
        self._numbers = itertools.count()
        self._wake = threading.Event()
        self._asleep = True
        self._started = False
        self._lock = threading.Lock()

    def begin(self, watch: Watch, deadline: Deadline) -> None:
        """Watch it until ``end``."""
        watch.deadline = deadline
        watch.number = number = next(self._numbers)
        deadline.watched[watch] = None
        self._watched[number] = watch
        if self._asleep:
            self._rouse()

    def end(self, watch: Watch) -> bool:
        """Leave it alone from now on; whether it came in time.

        What has begun to end it is waited for: it would hit whoever has the connection next.
        """
        deadline, watch.deadline = watch.deadline, None
        if deadline is None:
            return True
        deadline.watched.pop(watch, None)
        if self._watched.pop(watch.number, None) is not None:
            return True
        assert watch.returned is not None
        assert watch.ended is not None
        watch.returned.set()
        watch.ended.wait()
        return False

    def _rouse(self) -> None:
        self._wake.set()
        with self._lock:
            if not self._started:
                self._started = True
                # It looks before it sleeps, and says so only when it has found nothing.
                self._asleep = False
                threading.Thread(target=self._run, name="carboy-watcher", daemon=True).start()

    def _run(self) -> None:
        while True:
            if not self._watched:
                self._asleep = True
                # Whoever begins now sees that it must be woken; whoever has begun is seen here.
                if not self._watched:
                    self._wake.wait()
                self._wake.clear()
                self._asleep = False
            time.sleep(_TICK_SECONDS)
            for number, watch in list(self._watched.items()):
                deadline = watch.deadline
                if deadline is not None and deadline.left <= 0:
                    self._end_late(number, watch, deadline)

    def _end_late(self, number: int, watch: Watch, deadline: Deadline) -> None:
        watch.returned, watch.ended = threading.Event(), threading.Event()
        # Only one of the two finds it: this, or the request that is just done with it.
        if self._watched.pop(number, None) is not None:
            threading.Thread(target=watch.end, args=(deadline,), daemon=True).start()


_WATCHER = Watcher()


def _start_anew() -> None:
    """A child process has no thread of its parent's."""
    global _WATCHER  # noqa: PLW0603  the one of this process
    _WATCHER = Watcher()


os.register_at_fork(after_in_child=_start_anew)


class Watched:
    """An engine whose connections are watched while a request has them.

    It listens to the pool, since only the pool sees all of a connection's time: being made, the
    queries that SQLAlchemy begins with, and the ROLLBACK by which it goes back.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.driver = driver_of(engine.dialect)
        self._arguments: tuple[Any, dict[str, Any]] | None = None
        sa.event.listen(engine, "do_connect", self._connect)
        sa.event.listen(engine, "connect", self._taken, insert=True)
        sa.event.listen(engine, "checkout", self._taken)
        sa.event.listen(engine, "checkin", self._given_back)
        sa.event.listen(engine, "close", self._closed)
        if engine.pool._pre_ping:
            # The one thing that the pool does with a connection before it tells of it.
            dialect: Any = engine.dialect
            dialect.do_ping = self._pinging(dialect.do_ping)

    def begin(
        self, connection: ManagesConnection, discard: Callable[[], None] | None = None
    ) -> Watch | None:
        """Watch a connection for the current request; None without one, or where it is watched.

        ``discard`` keeps it from being used again.
        """
        deadline = current()
        if deadline is None:
            return None
        info = connection.info
        watch: Watch | None = info.get(_WATCH)
        if watch is None:
            watch = info[_WATCH] = Watch(self.driver, connection.dbapi_connection, self._another)
        watch.discard = discard or connection.invalidate
        if watch.deadline is not None:
            return None
        _WATCHER.begin(watch, deadline)
        return watch

    def _another(self) -> Any:
        """A connection beside the pool."""
        assert self._arguments is not None
        arguments, parameters = self._arguments
        return self.driver.connect(self._engine.dialect, arguments, parameters, _CANCEL_SECONDS)

    # What the pool tells

    def _connect(self, dialect: Any, _: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
        self._arguments = (arguments, parameters)
        deadline = current()
        if deadline is None:
            return None
        return self.driver.connect(dialect, arguments, parameters, max(1.0, deadline.left))

    def _taken(self, _: Any, record: ConnectionPoolEntry, *__: Any) -> None:
        self.begin(record)

    def _given_back(self, _: Any, record: ConnectionPoolEntry) -> None:
        watch: Watch | None = record.info.get(_WATCH)
        if watch is not None:
            watch.release()

    def _closed(self, _: Any, record: ConnectionPoolEntry) -> None:
        watch: Watch | None = record.info.pop(_WATCH, None)
        if watch is not None:
            watch.close()

    def _pinging(self, ping: Callable[[Any], bool]) -> Callable[[Any], bool]:
        def watched(driver: Any) -> bool:
            deadline = current()
            if deadline is None:
                return ping(driver)
            watch = Watch(self.driver, driver, self._another)
            _WATCHER.begin(watch, deadline)
            try:
                return ping(driver)
            finally:
                watch.close()

        return watched
