"""A row's key in a path: ``42``, or ``1,42`` where the key has several columns.

A part that is empty, has a comma or starts with a quote is written in quotes, in which
``\\"`` and ``\\\\`` stand for ``"`` and ``\\``. So is one that ends in ``/history``: without quotes
that means a row's history.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import BadRequest
from .scanner import shorten

_PART = re.compile(r'"([^"\\]*(?:\\["\\][^"\\]*)*)"|([^,"][^,]*)')
_ESCAPE = re.compile(r"\\(.)")


def split_key(text: str) -> tuple[str, ...]:
    """Split a percent-decoded key into the text of its parts; raises BadRequest."""
    if "\0" in text or not _is_unicode(text):
        raise BadRequest("the key in the path has a NUL character or is not valid Unicode")
    parts: list[str] = []
    position = 0
    while True:
        found = _PART.match(text, position)
        if not found:
            raise BadRequest(
                f"the key '{shorten(text)}' has an empty part or an open quote at "
                f"character {position + 1}; write such a part in quotes"
            )
        quoted, plain = found.groups()
        parts.append(plain if quoted is None else _ESCAPE.sub(r"\1", quoted))
        position = found.end()
        if position == len(text):
            return tuple(parts)
        if text[position] != ",":
            raise BadRequest(
                f"the key '{shorten(text)}' needs a ',' after the quote at character {position + 1}"
            )
        position += 1


def join_key(parts: Iterable[str]) -> str:
    """The inverse of ``split_key``: the key of a row as a path has it, before percent-encoding."""
    return ",".join(_written(part) for part in parts)


def _written(part: str) -> str:
    if part and "," not in part and not part.startswith('"') and not part.endswith("/history"):
        return part
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
