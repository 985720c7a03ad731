"""A disk that has no room left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Put a file on a disk that takes all of its room, and away at the end."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        _fill(file.fileno())
    try:
        yield
    finally:
        filler.unlink()


def _fill(file: int) -> None:
    size = 1 << 20
    while size:
        try:
            os.write(file, bytes(size))
        except OSError:
            size //= 2
