"""The Idempotency-Keys whose first request is still running in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Conflict


class KeysInFlight:
    """A set of keys; ``pruned`` says when their table was last pruned."""

    def __init__(self) -> None:
        self.pruned = 0.0
        self._lock = threading.Lock()
        self._keys: set[tuple[str, str]] = set()

    @contextmanager
    def held(self, key: tuple[str, str]) -> Iterator[None]:
        """Hold an actor's key; a 409 while another request does."""
        with self._lock:
            if key in self._keys:
                raise in_flight()
            self._keys.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._keys.discard(key)


def in_flight() -> Conflict:
    """The answer while the first request with a key is still running."""
    return Conflict(
        "the first request with this Idempotency-Key is still running; try again later",
        headers=[("Retry-After", "1")],
    )
