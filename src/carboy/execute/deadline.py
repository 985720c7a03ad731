"""How long a request may take: told once, and asked by whatever waits for the database."""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from typing import Any

from ..errors import ApiError, DeadlineExceeded, Unavailable

# So that a client that was turned away doesn't come back at once.
RETRY_AFTER = ("Retry-After", "1")


class Deadline:
    """The end of one request, in seconds of the monotonic clock.

    ``passed`` is set by whoever ends what the request waits for; ``inside`` says that it has its
    place at the database; ``watched`` are those of the connections in its hands.
    """

    __slots__ = ("inside", "passed", "until", "watched")

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self.passed = False
        self.inside = False
        self.watched: dict[Any, Any] = {}

    @property
    def left(self) -> float:
        """The seconds that are left, below 0 once there are none."""
        return self.until - time.monotonic()


_CURRENT: ContextVar[Deadline | None] = ContextVar("carboy_deadline", default=None)


class Within:
    """A ``with`` block that ends in time; inside another, the other's deadline stays."""

    __slots__ = ("_own", "_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._own: Deadline | None = None
        self._token: Token[Deadline | None] | None = None

    def __enter__(self) -> Deadline:
        deadline = _CURRENT.get()
        if deadline is None:
            self._own = deadline = Deadline(self._seconds)
            self._token = _CURRENT.set(deadline)
        return deadline

    def __exit__(self, *_: object) -> None:
        if self._own is None or self._token is None:
            return
        _CURRENT.reset(self._token)
        # What hasn't been given back is the application's own from here on.
        for watch in list(self._own.watched):
            watch.release()


def current() -> Deadline | None:
    """The deadline of the request that this code runs for; None outside of requests."""
    return _CURRENT.get()


def has_passed() -> bool:
    """Whether what the request waited for was ended, since it took too long."""
    deadline = _CURRENT.get()
    return deadline is not None and deadline.passed


def unknown_outcome() -> ApiError:
    """The answer where the connection was lost in a COMMIT: nobody knows whether it happened."""
    refusal = DeadlineExceeded if has_passed() else Unavailable
    return refusal(
        "the database was lost while it stored the write, and may have stored it; read the rows, "
        "or send the request again with the same Idempotency-Key",
        headers=[RETRY_AFTER],
    )


def too_late() -> DeadlineExceeded:
    """The answer to a request that took too long."""
    return DeadlineExceeded(
        "the database didn't answer in time (CARBOY_DEADLINE); nothing was changed",
        headers=[RETRY_AFTER],
    )
