"""Lines of a body that is read while it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

CHUNK = 64 * 1024


def lines_of(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Lines without their ends; granian's own iteration knows no lines."""
    rest = b""
    while chunk := read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
