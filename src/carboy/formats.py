"""What an export is written in: rows as lines of JSON become JSON, NDJSON or CSV.

In CSV (RFC 4180, UTF-8, with a header) an empty cell is null, and ``""`` an empty text. A cell
that a spreadsheet would run as a formula is marked with an apostrophe before it, and so is one
that looks marked already: whoever takes one apostrophe from each marked cell has the texts back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from .plan import Column
from .request import Export

_FORMULA = re.compile(r"'*[-=+@\t\r]")
_QUOTED = re.compile(r'[",\r\n]')
_rows = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


class Format:
    """NDJSON: each row is a line."""

    head = tail = b""
    cells = False
    """Whether rows come as lines of CSV, from a database that writes it."""

    def block(self, lines: Sequence[bytes]) -> bytes:
        """Some rows as they are sent."""
        return b"".join(lines)


class _Array(Format):
    """A JSON array, with a row in each line."""

    head, tail = b"[", b"]\n"

    def __init__(self) -> None:
        self._before = b"\n"

    def block(self, lines: Sequence[bytes]) -> bytes:
        # The end of a row is the only place for a line break.
        text = self._before + b"".join(lines)[:-1].replace(b"\n", b",\n") + b"\n"
        self._before = b","
        return text


class _Csv(Format):
    """CSV, of the database's own cells or made of JSON."""

    def __init__(self, columns: Sequence[Column], *, cells: bool) -> None:
        self.cells = cells
        self.head = _line(_shown(marked(column.key)) for column in columns).encode()
        self._columns = columns

    def block(self, lines: Sequence[bytes]) -> bytes:
        if self.cells:
            return b"".join(lines)
        rows = map(_rows.decode, lines)
        return "".join(_line(map(_cell, self._columns, row.values())) for row in rows).encode()


def format_of(media: Export, columns: Sequence[Column], *, cells: bool) -> Format:
    """What an export is written in; ``cells`` says that the database writes those of CSV."""
    match media:
        case "text/csv":
            return _Csv(columns, cells=cells)
        case "application/x-ndjson":
            return Format()
        case _:
            return _Array()


def marked(text: str) -> str:
    """A text that no spreadsheet runs."""
    return f"'{text}" if _FORMULA.match(text) else text


def _line(cells: Iterator[str]) -> str:
    return ",".join(cells) + "\n"


def _cell(column: Column, value: Any) -> str:
    """A value of JSON as a cell: null is empty, an empty text is not."""
    raw = bytes(value)
    if raw == b"null":
        return ""
    if column.holds == "document" or not raw.startswith(b'"'):
        return _shown(raw.decode())
    text = _text.decode(raw)
    return _shown(marked(text) if column.holds == "text" else text)


def _shown(text: str) -> str:
    if text and not _QUOTED.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'
