"""Rows of an import as they arrive, in whatever pieces."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from carboy.request import Csv, Lines, read_ndjson

_CSV = 'a,b\r\n1,"x ""y"", ü"\r\n,""\r\n\r\n"two\nlines",z'
_CELLS = [("1", 'x "y", ü'), (None, ""), ("two\nlines", "z")]


def pieces(text: str, size: int) -> Iterator[bytes]:
    """The text's bytes, some at a time."""
    raw = text.encode()
    return (raw[start : start + size] for start in range(0, len(raw), size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_is_the_same_in_any_pieces(size: int, mark: str) -> None:
    """Rows, numbers, and which empty cells are quoted."""
    found = Csv(Lines(pieces(mark + _CSV, size), 100))
    assert found.header == ("a", "b")
    records = list(found)
    assert [tuple((record.data or {}).values()) for record in records] == _CELLS
    assert [record.number for record in records] == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_ndjson_is_the_same_in_any_pieces(size: int) -> None:
    """Rows and faults, each with its number; empty lines count for nothing."""
    text = '{"a": "ü"}\n\n[1]\r\nnonsense\n{"a": 2}'
    records = list(read_ndjson(Lines(pieces(text, size), 100), max_depth=3))
    assert [record.data for record in records] == [{"a": "ü"}, None, None, {"a": 2}]
    assert [record.number for record in records] == [1, 2, 3, 4]
    assert [record.fault is None for record in records] == [True, False, False, True]


def test_only_the_row_at_hand_is_in_memory() -> None:
    """Ten megabytes of rows take a small part of that."""
    line = b'{"a": "' + b"x" * 1000 + b'"}\n'
    tracemalloc.start()
    try:
        count = sum(
            1 for _ in read_ndjson(Lines((line * 50 for _ in range(200)), 5000), max_depth=3)
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 10_000
    assert peak < 1_000_000
