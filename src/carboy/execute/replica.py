"""Reads from a streaming replica of PostgreSQL, on which no write is missing that was answered.

A process reads from the replica on a lease. It asks the primary for its position in the WAL, and
when the replica has replayed up to there, the lease holds until ``WINDOW`` after the question. So
a read on a lease sees all that was committed ``WINDOW`` ago. A write is answered once the replica
has replayed it, or ``WINDOW`` has gone by, when each lease of any process is younger than the
write. Whoever has the answer, or heard of it, reads what was written: from any process, with any
credentials, and without sending anything back.

A replica that is away or behind would so delay every write. The first write that waits in vain
says so in a table of the primary, which is read along with the position: for ``AWAY`` no process
takes a lease, and no other write waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import sqlalchemy as sa

from ..errors import ApiError, Unavailable
from ..sql import Statement
from .database import Database
from .tables import create_table

T = TypeVar("T")

WINDOW = 0.5
"""Seconds."""
AWAY = 30.0
_POLL = 0.003
_PAUSE = 1.0
_FAULTS = (ApiError, sa.exc.SQLAlchemyError)

TABLE = sa.Table(
    "carboy_replica",
    sa.MetaData(),
    sa.Column("id", sa.SmallInteger, primary_key=True),
    sa.Column("left_at", sa.DateTime(timezone=True), nullable=False),
)
"""At most one row: when processes were last told to leave the replica alone."""

# The insert position is never before a COMMIT's, whatever synchronous_commit is.
_POSITION = Statement(
    "SELECT pg_current_wal_insert_lsn()::text,"
    " (SELECT extract(epoch FROM now() - left_at)::float8 FROM carboy_replica)",
    (),
    False,
)
_LEAVE = Statement(
    "INSERT INTO carboy_replica (id, left_at) VALUES (1, now())"
    " ON CONFLICT (id) DO UPDATE SET left_at = now() RETURNING id",
    (),
    False,
)
_REPLAYED = Statement(
    "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= %(position)s::pg_lsn",
    (("position", 0, None, None),),
    False,
)


class Replica:
    """A primary's replica, and this process's lease of it."""

    def __init__(self, primary: Database, database: Database, *, window: float = WINDOW) -> None:
        self.database = database
        self._primary = primary
        self._window = window
        self._until = 0.0
        self._next = 0.0
        self._asking = threading.Lock()

    def read(self, run: Callable[[Database], T]) -> T:
        """What ``run`` reads: from the replica on a lease, or else from the primary."""
        if self.is_leased():
            # It may be away, or have ended the statement for what it had to replay.
            with suppress(Unavailable):
                return run(self.database)
        return run(self._primary)

    def is_leased(self) -> bool:
        """Whether a read may go to the replica; for a new lease it doesn't wait."""
        if time.monotonic() >= self._next and self._asking.acquire(blocking=False):
            threading.Thread(target=self._ask, name="carboy-replica", daemon=True).start()
        return time.monotonic() < self._until

    def settle(self) -> None:
        """Wait, after a COMMIT, until nobody reads from the replica what was before it."""
        end = time.monotonic() + self._window
        try:
            position, left = self._position()
        except _FAULTS:
            time.sleep(self._window)
            return
        if left is not None and 2 * self._window < left < AWAY:
            return
        caught_up = threading.Event()

        def watch() -> None:
            with suppress(*_FAULTS):
                if self._catches_up(position, end):
                    caught_up.set()

        # In a thread of its own, for a replica that hangs is waited for no longer.
        threading.Thread(target=watch, name="carboy-replica", daemon=True).start()
        if not caught_up.wait(self._window):
            self._leave()

    def _ask(self) -> None:
        try:
            self._renew()
        except _FAULTS:
            self._next = time.monotonic() + _PAUSE
        finally:
            self._asking.release()

    def _renew(self) -> None:
        asked = time.monotonic()
        position, left = self._position()
        if left is not None and left < AWAY:
            self._next = asked + min(_PAUSE, AWAY - left)
        elif self._catches_up(position, asked + self._window):
            self._until = asked + self._window
            self._next = asked + self._window / 2

    def _position(self) -> tuple[str, float | None]:
        """The primary's, and how many seconds ago the replica was left, if it ever was."""
        self._primary.once(TABLE.name, lambda: create_table(self._primary.engine, TABLE))
        row = self._primary.fetch(_POSITION, ())
        assert row is not None
        return row[0], row[1]

    def _catches_up(self, position: str, end: float) -> bool:
        """Whether the replica has replayed up to a position before the end, a monotonic time."""
        while time.monotonic() < end:
            row = self.database.fetch(_REPLAYED, (position,))
            if row is not None and row[0]:
                return True
            time.sleep(_POLL)
        return False

    def _leave(self) -> None:
        """Tell all processes, and wait until the leases that they have are over."""
        with suppress(*_FAULTS):
            self._primary.fetch(_LEAVE, ())
        time.sleep(self._window)
