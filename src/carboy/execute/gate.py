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

from ..errors import Unavailable
from .deadline import RETRY_AFTER, Deadline, too_late

UNLIMITED_PLACES = 15
"""At a pool without a limit: as many as SQLAlchemy's has by default."""

_SHARE = 4
_POLL_SECONDS = 0.01
_REFUSAL_SECONDS = 0.02


def limit_of(pool: Pool) -> int | None:
    """The most connections that a pool opens; None where it has no limit, or can't be told."""
    # There is no public name for the overflow's limit; -1 is none, as is a size of 0.
    if not isinstance(pool, QueuePool) or pool.size() == 0 or pool._max_overflow < 0:
        return None
    return pool.size() + pool._max_overflow


class Gate:
    """As many places as a pool has connections, first come first served; ``queue`` more may wait.

    They wait for a quarter of ``seconds``, a request's time, at most, and leave the rest for their
    statement.
    """

    def __init__(self, pool: Pool, queue: int, seconds: float) -> None:
        self._limit = limit_of(pool)
        self.places = self._limit or UNLIMITED_PLACES
        self.queue = queue
        self._patience = seconds / _SHARE
        self._free = self.places
        self._waiting: deque[Any] = deque()
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """The most requests that a hanging database can hold up."""
        return self.places + self.queue

    def enter(self, deadline: Deadline, pool: Pool) -> None:
        """Take a place; raises Unavailable where none gets free, and DeadlineExceeded."""
        if deadline.passed:
            raise too_late()
        turn = None
        with self._lock:
            is_free = self._free > 0
            if is_free:
                self._free -= 1
            elif len(self._waiting) < self.queue:
                turn = self._line_up()
        if turn is not None:
            self._wait(turn, deadline)
        elif not is_free:
            # Clients that come back at once would take the time of those who are served.
            time.sleep(_REFUSAL_SECONDS)
            raise _busy("too many requests wait for the database (CARBOY_QUEUE)")
        if self._limit is not None and pool.checkedout() >= self._limit:  # type: ignore[attr-defined]
            self._wait_for_others(deadline, pool)

    def leave(self) -> None:
        """Give the place to the first in the queue."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    def _line_up(self) -> Any:
        """A lock that opens when it is one's turn."""
        turn = threading.Lock()
        turn.acquire()
        self._waiting.append(turn)
        return turn

    def _wait(self, turn: Any, deadline: Deadline) -> None:
        if turn.acquire(timeout=max(0, min(self._patience, deadline.left))):
            return
        with self._lock:
            # It isn't there any more if it was its turn just now.
            if turn in self._waiting:
                self._waiting.remove(turn)
                raise _busy("no database connection got free in time")

    def _wait_for_others(self, deadline: Deadline, pool: Pool) -> None:
        """Wait while the application's own code has all connections.

        The pool has one patience for all, 30 seconds unless the application has set it.
        """
        assert isinstance(pool, QueuePool)
        until = time.monotonic() + min(self._patience, deadline.left, pool.timeout())
        while pool.checkedout() >= self.places:
            if time.monotonic() >= until:
                self.leave()
                raise _busy("no database connection got free in time")
            time.sleep(_POLL_SECONDS)


def _busy(why: str) -> Unavailable:
    return Unavailable(f"{why}; try again", headers=[RETRY_AFTER])
