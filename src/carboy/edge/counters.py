"""Where rate limits are counted: in Redis, or in memory where there is none, or it is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

Limiter: TypeAlias = SlidingWindowCounterRateLimiter
T = TypeVar("T")

_TIMEOUT = 0.25
"""Seconds that a request waits at most for each answer of Redis, and for a connection."""
_PAUSE = 5.0
"""Seconds after a failure in which Redis isn't asked."""
logger = logging.getLogger("carboy")


class Counters:
    """Counters that requests never wait for: without an answer from Redis, memory counts.

    Then each process limits on its own, which is less strict than together and more than not at
    all. One request in five seconds tries whether Redis is back.
    """

    def __init__(self, url: str | None) -> None:
        self._memory = Limiter(MemoryStorage())
        self._shared = None if url is None else Limiter(_redis(url))
        self._lock = threading.Lock()
        self._away_until: float | None = None

    def run(self, work: Callable[[Limiter], T]) -> T:
        """What ``work`` does with the counters at hand; it may run twice, on different ones."""
        shared = self._shared
        if shared is None or not self._may_ask():
            return work(self._memory)
        try:
            result = work(shared)
        except StorageError as error:
            self._lost(error)
            return work(self._memory)
        if self._away_until is not None:
            self._away_until = None
            logger.warning("rate limits: Redis is back")
        return result

    def _may_ask(self) -> bool:
        """Whether Redis is there; while it is away, true for one request each pause."""
        if self._away_until is None:
            return True
        with self._lock:
            return self._is_my_turn()

    def _is_my_turn(self) -> bool:
        now, until = time.monotonic(), self._away_until
        if until is not None and until <= now:
            self._away_until = now + _PAUSE
            return True
        return until is None

    def _lost(self, error: StorageError) -> None:
        with self._lock:
            known = self._away_until is not None
            self._away_until = time.monotonic() + _PAUSE
        if not known:
            logger.warning("rate limits: Redis is away, each process counts alone (%s)", error)


def _redis(url: str) -> RedisStorage:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return RedisStorage(
        url,
        key_prefix="carboy",
        wrap_exceptions=True,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        # All options go to redis-py, whatever the library says of their types.
        retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]
    )
