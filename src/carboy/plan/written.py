"""What a write did."""

from __future__ import annotations

from msgspec import Struct


class WriteResult(Struct, frozen=True):
    """What a write did.

    ``body`` is the representation: an object, or an array where the plan says ``many``; None where
    none was asked for. ``key`` and ``version`` are a single row's.
    """

    affected: int
    created: int = 0
    body: bytes | None = None
    key: tuple[str, ...] | None = None
    version: str | None = None
    replayed: bool = False
