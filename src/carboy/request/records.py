"""The rows of an import: CSV (RFC 4180) or NDJSON as it arrives, to one value a row.

Nothing is kept but the row at hand, which has a limit of its own.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from ..errors import InvalidBody, PayloadTooLarge, UnsupportedMediaType
from .body import parse_json
from .scanner import shorten

ImportForm: TypeAlias = Literal["csv", "ndjson"]
_FORMS: Mapping[str, ImportForm] = {"text/csv": "csv", "application/x-ndjson": "ndjson"}
_BOM = b"\xef\xbb\xbf"
# What csv counts as a cell's length isn't bounded here: the row's is.
csv.field_size_limit(2**31 - 1)
# A cell as it is written, to tell an empty one from one that is quoted.
_CELL = re.compile(r'(?:\A|,)("(?:[^"]|"")*"|[^,\r\n]*)')


class Record(Struct, frozen=True, eq=False):
    """One row: its number, counted from 1; its value, or the fault that makes it none.

    In a CSV's values an empty cell is None, and every other a text. ``size`` is in bytes.
    """

    number: int
    size: int
    data: Mapping[str, object] | None = None
    fault: InvalidBody | None = None


def import_form(content_type: str | None) -> ImportForm | None:
    """What rows a Content-Type declares; None for a body of another kind.

    Raises UnsupportedMediaType for CSV that isn't UTF-8 with a header.
    """
    media_type, *parameters = (content_type or "").split(";")
    form = _FORMS.get(media_type.strip().lower())
    for parameter in parameters if form is not None else ():
        key, _, value = parameter.partition("=")
        name, given = key.strip().lower(), value.strip().strip('"').lower()
        if name == "charset" and given not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(f"an import is UTF-8; charset is '{shorten(given)}'")
        if name == "header" and given != "present":
            raise UnsupportedMediaType("an import in CSV has a header, which names the fields")
    return form


class Lines:
    """The lines of a stream, of which a row may have ``limit`` bytes."""

    def __init__(self, pieces: Iterable[bytes], limit: int) -> None:
        self._pieces = iter(pieces)
        self._limit = limit
        self._number = 0
        self._size = 0
        self.row: list[str] = []

    def take_row(self) -> tuple[str, int]:
        """The text of the lines since the last call, and their size: they were one row."""
        text, size = "".join(self.row), self._size
        self.row, self._size = [], 0
        return text, size

    def __iter__(self) -> Iterator[str]:
        """Each line with its end."""
        rest = self._first()
        while True:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                yield self._decoded(line + b"\n")
            if len(rest) + self._size > self._limit:
                raise self._too_long()
            piece = next(self._pieces, b"")
            if not piece:
                break
            rest += piece
        if rest:
            yield self._decoded(rest)

    def _first(self) -> bytes:
        """The first bytes, without a byte order mark."""
        first = b""
        while len(first) < len(_BOM) and (piece := next(self._pieces, b"")):
            first += piece
        return first.removeprefix(_BOM)

    def _decoded(self, line: bytes) -> str:
        self._number += 1
        self._size += len(line)
        if self._size > self._limit:
            raise self._too_long()
        if b"\0" in line:
            raise InvalidBody(f"line {self._number} has a NUL character")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            place = f"line {self._number}, byte {error.start + 1}"
            raise InvalidBody(f"the body is not valid UTF-8 at {place}") from None
        self.row.append(text)
        return text

    def _too_long(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"a row after line {self._number} is larger than {self._limit} bytes "
            "(CARBOY_MAX_BODY_BYTES)"
        )


def read_ndjson(lines: Lines, *, max_depth: int) -> Iterator[Record]:
    """The rows of NDJSON: a JSON object in each line; empty lines are passed over."""
    number = 0
    for line in lines:
        text, size = lines.take_row()
        if not text.strip():
            continue
        number += 1
        try:
            value = parse_json(line.encode(), max_depth=max_depth)
            if not isinstance(value, dict):
                raise InvalidBody("a line must be a JSON object")
            yield Record(number, size, value)
        except InvalidBody as fault:
            yield Record(number, size, fault=fault)


class Csv:
    """The rows of CSV: ``header`` has the names of its columns."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._rows = csv.reader(lines, strict=True)
        first = next(self._cells(), None)
        if first is None:
            raise InvalidBody("the body is empty; CSV begins with a header that names the fields")
        self.header = tuple(cell or "" for cell in first)
        twice = sorted({name for name in self.header if self.header.count(name) > 1})
        if twice or "" in self.header:
            fault = f"names {twice[0]!r} twice" if twice and twice[0] else "has an empty name"
            raise InvalidBody(f"the header {fault}")

    def __iter__(self) -> Iterator[Record]:
        """Each row's cells by column."""
        width = len(self.header)
        for number, cells in enumerate(self._cells(), 1):
            size = self._size
            if len(cells) == width:
                yield Record(number, size, dict(zip(self.header, cells, strict=True)))
            else:
                fault = InvalidBody(f"the row has {len(cells)} cells, and the header {width}")
                yield Record(number, size, fault=fault)

    def _cells(self) -> Iterator[list[str | None]]:
        while True:
            try:
                found = next(self._rows, None)
            except csv.Error as error:
                raise InvalidBody(f"line {self._rows.line_num} is no CSV: {error}") from None
            if found is None:
                return
            text, self._size = self._lines.take_row()
            if found:
                yield _with_nulls(found, text)


def _with_nulls(cells: list[str], text: str) -> list[str | None]:
    """The cells, None for those that are empty and not quoted."""
    if "" not in cells:
        return [*cells]
    if '""' not in text:
        return [cell or None for cell in cells]
    written = _CELL.findall(text)
    return [c or ("" if w else None) for c, w in zip(cells, written, strict=True)]
