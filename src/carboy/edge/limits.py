"""Rate limits: how many requests an actor, or an address where nobody is known, may make.

They are counted by the ``limits`` library, in sliding windows. The headers are those of
draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

import ipaddress
import math
import time
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from ..access import Actor
from ..errors import TooManyRequests
from ..settings import SettingError, Settings
from .cors import Headers

if TYPE_CHECKING:
    import limits

    from .counters import Counters, Limiter

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_MEMORY = "memory://"
_REDIS = ("redis", "rediss", "redis+unix")


class Limit(Struct, frozen=True):
    """One limit: what it counts, as the library's item, and its name in headers."""

    counts: str
    item: limits.RateLimitItem

    @property
    def name(self) -> str:
        """Such as ``requests-60s``."""
        return f"{self.counts}-{self.item.get_expiry()}s"

    @property
    def text(self) -> str:
        """Such as ``100 requests in 1 minute``."""
        unit, many = self.item.GRANULARITY.name, self.item.multiples
        return f"{self.item.amount} {self.counts} in {many} {unit}{'s' if many > 1 else ''}"


class Group(Struct, frozen=True):
    """The limits that a request must keep, the shortest window first, and their policy header."""

    limits: tuple[Limit, ...]
    policy: str


class RateLimits:
    """Counts requests, and refuses those above the limits."""

    def __init__(self, general: list[Limit], writes: list[Limit], counters: Counters) -> None:
        self._reads = _group(general)
        self._writes = _group([*general, *writes])
        self._guesses = _group(
            [Limit("failed credentials", limit.item) for limit in general],
        )
        self._counters = counters

    def spend(self, actor: Actor, address: str, method: str) -> Headers:
        """Count one request; headers that say what is left. Raises TooManyRequests."""
        group = self._writes if method in _WRITES else self._reads
        if not group.limits:
            return ()
        who = _key("address", _network(address)) if actor.is_anonymous else _key("actor", actor.id)
        return self._counters.run(lambda limiter: _spend(limiter, group, who))

    def check_guesses(self, address: str) -> None:
        """Raise TooManyRequests where too many credentials from the address weren't valid."""
        who = _key("address", _network(address))
        self._counters.run(lambda limiter: _check(limiter, self._guesses, who))

    def count_guess(self, address: str) -> None:
        """Count a credential that wasn't valid."""
        who = _key("address", _network(address))
        self._counters.run(
            lambda limiter: [limiter.hit(x.item, x.counts, who) for x in self._guesses.limits]
        )


def make_limits(settings: Settings) -> RateLimits | None:
    """What the settings say; None where they limit nothing."""
    if not settings.rate_limit.strip() and not settings.rate_limit_writes.strip():
        return None
    try:
        import limits  # noqa: F401  whether it is there
    except ModuleNotFoundError:
        raise SettingError(
            "CARBOY_RATE_LIMIT needs the library limits; run: pip install 'carboy[limits]'"
        ) from None
    general = _parsed("CARBOY_RATE_LIMIT", "requests", settings.rate_limit)
    writes = _parsed("CARBOY_RATE_LIMIT_WRITES", "writes", settings.rate_limit_writes)
    return RateLimits(general, writes, _counters(settings.rate_limit_storage))


def _parsed(name: str, counts: str, text: str) -> list[Limit]:
    import limits

    if not text.strip():
        return []
    try:
        items = limits.parse_many(text)
    except ValueError:
        items = []
    if not items or any(item.amount < 1 or item.get_expiry() < 1 for item in items):
        raise SettingError(f"{name} must be such as '100/minute;2000/hour', not {text!r}")
    return [Limit(counts, item) for item in items]


def _counters(storage: str) -> Counters:
    from .counters import Counters

    if storage == _MEMORY:
        return Counters(None)
    # The URL may hold a password: no message has it.
    if urlsplit(storage).scheme not in _REDIS:
        raise SettingError(
            f"CARBOY_RATE_LIMIT_STORAGE must be {_MEMORY} or a URL that begins with "
            f"{' or '.join(f'{scheme}://' for scheme in _REDIS)}"
        )
    try:
        return Counters(storage)
    except ModuleNotFoundError:
        raise SettingError(
            "CARBOY_RATE_LIMIT_STORAGE needs redis; run: pip install 'carboy[limits,redis]'"
        ) from None
    except ValueError as error:
        raise SettingError(f"CARBOY_RATE_LIMIT_STORAGE is no URL of a Redis: {error}") from None


def _group(found: list[Limit]) -> Group:
    # What a short window refuses isn't counted in the longer ones.
    ordered = tuple(sorted(found, key=lambda limit: limit.item.get_expiry()))
    policy = ", ".join(
        f'"{limit.name}";q={limit.item.amount};w={limit.item.get_expiry()}' for limit in ordered
    )
    return Group(ordered, policy)


def _spend(limiter: Limiter, group: Group, who: str) -> Headers:
    left: list[str] = []
    for limit in group.limits:
        admitted = limiter.hit(limit.item, limit.counts, who)
        reset, remaining = limiter.get_window_stats(limit.item, limit.counts, who)
        seconds = max(1, math.ceil(reset - time.time()))
        left.append(f'"{limit.name}";r={max(0, remaining) if admitted else 0};t={seconds}')
        if not admitted:
            raise _too_many(limit, seconds, _headers(group, left))
    return _headers(group, left)


def _check(limiter: Limiter, group: Group, who: str) -> None:
    for limit in group.limits:
        if not limiter.test(limit.item, limit.counts, who):
            reset = limiter.get_window_stats(limit.item, limit.counts, who).reset_time
            raise _too_many(limit, max(1, math.ceil(reset - time.time())), ())


def _headers(group: Group, left: list[str]) -> Headers:
    return (("RateLimit-Policy", group.policy), ("RateLimit", ", ".join(left)))


def _too_many(limit: Limit, seconds: int, headers: Headers) -> TooManyRequests:
    wait = f"{seconds} second{'s' if seconds > 1 else ''}"
    return TooManyRequests(
        f"more than {limit.text}; try again in {wait}",
        headers=[("Retry-After", str(seconds)), *headers],
    )


def _key(kind: str, value: object) -> str:
    """Of one size whatever the value is, and without a name or an address for Redis to keep."""
    return blake2b(f"{kind} {value!r}".encode(), digest_size=16).hexdigest()


@lru_cache(1024)
def _network(address: str) -> str:
    """An address as limits count it: of IPv6 the /64, for whoever has one has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
