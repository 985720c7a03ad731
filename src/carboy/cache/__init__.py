"""Kept answers, which no write leaves behind; docs/explanation/cache.md says why."""

from .cache import Cache, Keeping, Outcome, Ran
from .caches import Caches
from .entangled import entangled
from .listener import CHANNEL
from .store import KeptView
from .versions import CacheUnavailable

__all__ = [
    "CHANNEL",
    "Cache",
    "CacheUnavailable",
    "Caches",
    "Keeping",
    "KeptView",
    "Outcome",
    "Ran",
    "entangled",
]
