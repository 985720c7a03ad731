"""A few users."""

from __future__ import annotations

from collections.abc import Iterator

from .app import Base, User

NAMES = ("ada", "alan", "barbara", "dennis", "edsger", "grace", "katherine", "margaret")
SIZE = len(NAMES)


def sample() -> Iterator[Base]:
    """The users."""
    for name in NAMES:
        yield User(username=name, email=f"{name}@example.com")
