"""A gate in front of a pool: no more requests at the database than it has connections.

The pool itself would let every thread of the server wait, for 30 seconds. The queue before the gate
is short and is waited in shortly; whoever doesn't fit in is turned away at once. So when the
database hangs, the threads beyond gate and queue still answer what needs no database.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from sqlalchemy.pool import Pool, QueuePool

from ..errors import ApiError, Unavailable
from .deadline import RETRY_AFTER, Deadline, too_late

UNLIMITED_PLACES = 15
"""At a pool without a limit: as many as SQLAlchemy's has by default."""

_SHARE = 4
_POLL_SECONDS = 0.01


def limit_of(pool: Pool) -> int | None:
    """The most connections that a pool opens; None where it has no limit, or can't be told."""
    # There is no public name for the overflow's limit; -1 is none, as is a size of 0.
    if not isinstance(pool, QueuePool) or pool.size() == 0 or pool._max_overflow < 0:
        return None
    return pool.size() + pool._max_overflow


class Gate:
    """``places`` requests at a time, first come first served; ``queue`` more may wait.

    They wait for a quarter of the deadline at most, and leave the rest for their statement.
    """

    def __init__(self, places: int, queue: int, seconds: float) -> None:
        self.places = places
        self.queue = queue
        self._patience = seconds / _SHARE
        self._free = places
        self._waiting: deque[Any] = deque()
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """The most requests that a hanging database can hold up."""
        return self.places + self.queue

    def enter(self, deadline: Deadline, pool: Pool) -> None:
        """Take a place; raises Unavailable where none gets free, and DeadlineExceeded."""
        patience = min(self._patience, deadline.left)
        if patience <= 0:
            raise too_late()
        until = time.monotonic() + patience
        with self._lock:
            turn = self._turn()
        if turn is not None and not turn.acquire(timeout=patience) and self._gave_up(turn):
            raise _busy("no database connection got free in time")
        try:
            _await_connection(pool, until)
        except ApiError:
            self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the first in the queue."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    def _turn(self) -> Any:
        """A lock that opens when it is one's turn; None where it is now."""
        if self._free:
            self._free -= 1
            return None
        if len(self._waiting) >= self.queue:
            raise _busy("too many requests wait for the database (CARBOY_QUEUE)")
        turn = threading.Lock()
        turn.acquire()
        self._waiting.append(turn)
        return turn

    def _gave_up(self, turn: Any) -> bool:
        """Whether one's turn hadn't come after all."""
        with self._lock:
            try:
                self._waiting.remove(turn)
            except ValueError:
                return False
            return True


def _await_connection(pool: Pool, until: float) -> None:
    """Wait while the application's own code has all connections.

    The pool can't be told for how long to wait, and waits longer.
    """
    limit = limit_of(pool)
    if limit is None or not isinstance(pool, QueuePool):
        return
    until = min(until, time.monotonic() + pool.timeout())
    while pool.checkedout() >= limit:
        if time.monotonic() >= until:
            raise _busy("no database connection got free in time")
        time.sleep(_POLL_SECONDS)


def _busy(why: str) -> Unavailable:
    return Unavailable(f"{why}; try again", headers=[RETRY_AFTER])
