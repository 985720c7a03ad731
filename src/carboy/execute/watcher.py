"""Ends what takes too long: each connection that a request has taken is watched until it is back.

It costs a statement no round trip and leaves nothing behind in the session, as a ``SET
statement_timeout`` would, and it ends even a call whose server is frozen. One thread for each
process looks at what is watched, some times a second, and sleeps while nothing is.

A late connection is first cancelled, which the server answers by ending the statement; then its
socket is shut, again and again until the driver's call has returned. It never goes back into the
pool, where a cancel that comes late would hit another request's statement.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

from ..sql.drivers import driver_of
from .deadline import Deadline, current

_TICK_SECONDS = 0.1
_CANCEL_SECONDS = 1.0
_GRACE_SECONDS = 0.5
_WATCH, _SOCKET = "carboy_watch", "carboy_socket"


class Watch:
    """One connection in a request's hands; ``cancel`` and ``shut`` end what it waits for."""

    __slots__ = ("cancel", "deadline", "discard", "ended", "returned", "shut")

    def __init__(
        self, deadline: Deadline, cancel: Callable[[], None], shut: Callable[[], None]
    ) -> None:
        self.deadline = deadline
        self.cancel = cancel
        self.shut = shut
        self.discard: Callable[[], None] = _keep
        self.returned: threading.Event | None = None
        self.ended: threading.Event | None = None


def _keep() -> None:
    """What a connection that isn't the pool's is discarded by."""


class Watcher:
    """The thread of one process, started when it is first needed."""

    def __init__(self) -> None:
        self._watched: dict[int, Watch] = {}
        self._wake = threading.Event()
        self._asleep = True
        self._started = False
        self._lock = threading.Lock()

    def begin(self, watch: Watch) -> None:
        """Watch it until ``end``."""
        self._watched[id(watch)] = watch
        if self._asleep:
            self._rouse()

    def end(self, watch: Watch) -> bool:
        """Leave it alone from now on; whether it came in time.

        What has begun to end it is waited for: it would hit whoever has the connection next.
        """
        if self._watched.pop(id(watch), None) is not None:
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
            for watch in list(self._watched.values()):
                if watch.deadline.left <= 0:
                    self._end_late(watch)

    def _end_late(self, watch: Watch) -> None:
        watch.returned, watch.ended = threading.Event(), threading.Event()
        # Only one of the two finds it: this, or the request that is just done with it.
        if self._watched.pop(id(watch), None) is not None:
            threading.Thread(target=_end, args=(watch,), daemon=True).start()


def _end(watch: Watch) -> None:
    assert watch.returned is not None
    assert watch.ended is not None
    watch.deadline.passed = True
    try:
        # It fails where the server says nothing; then the socket is all there is.
        with suppress(Exception):
            watch.cancel()
        patience = _GRACE_SECONDS
        while not watch.returned.wait(patience):
            with suppress(Exception):
                watch.shut()
            patience = _TICK_SECONDS
    finally:
        watch.ended.set()


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

    def begin(self, info: dict[Any, Any], driver: Any, discard: Callable[[], None]) -> bool:
        """Watch a connection for the current request, unless there is none, or it is watched.

        ``info`` is the connection's own; ``discard`` keeps it from being used again.
        """
        deadline = current()
        if deadline is None or _WATCH in info:
            return False
        if _SOCKET not in info:
            info[_SOCKET] = self._socket_of(driver)
        info[_WATCH] = watch = self._watch(deadline, driver, info[_SOCKET])
        watch.discard = discard
        deadline.watched[watch] = partial(self.release, info)
        _WATCHER.begin(watch)
        return True

    def release(self, info: dict[Any, Any]) -> None:
        """Watch it no longer; if it was late it is discarded."""
        watch: Watch | None = info.get(_WATCH)
        if watch is not None and not self._end(info) and info.get(_SOCKET) is not None:
            watch.discard()

    def _end(self, info: dict[Any, Any]) -> bool:
        """Whether it came in time."""
        watch: Watch | None = info.pop(_WATCH, None)
        if watch is None:
            return True
        watch.deadline.watched.pop(watch, None)
        return _WATCHER.end(watch)

    def _watch(self, deadline: Deadline, driver: Any, own: socket.socket | None) -> Watch:
        def cancel() -> None:
            self.driver.cancel(driver, self._another, _CANCEL_SECONDS)

        def shut() -> None:
            if own is None:
                cancel()
            else:
                own.shutdown(socket.SHUT_RDWR)

        return Watch(deadline, cancel, shut)

    def _socket_of(self, driver: Any) -> socket.socket | None:
        """A handle of its own: the driver's number may be another socket's by the time of use."""
        number = self.driver.fileno(driver)
        return None if number is None else socket.socket(fileno=os.dup(number))

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
        self.begin(record.info, record.dbapi_connection, record.invalidate)

    def _given_back(self, _: Any, record: ConnectionPoolEntry) -> None:
        self.release(record.info)

    def _closed(self, _: Any, record: ConnectionPoolEntry) -> None:
        self._end(record.info)
        own = record.info.pop(_SOCKET, None)
        if own is not None:
            own.close()

    def _pinging(self, ping: Callable[[Any], bool]) -> Callable[[Any], bool]:
        def watched(driver: Any) -> bool:
            deadline = current()
            if deadline is None:
                return ping(driver)
            own = self._socket_of(driver)
            watch = self._watch(deadline, driver, own)
            _WATCHER.begin(watch)
            try:
                return ping(driver)
            finally:
                _WATCHER.end(watch)
                if own is not None:
                    own.close()

        return watched
