"""What is sent in writes: the same rows each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def _note(number: int) -> dict[str, Any]:
    return {
        "author_id": 1 + number % 100,
        "title": f"New note {number}",
        "body": " ".join(["What has happened, and why."] * 3),
        "done": False,
        "created_at": _moment(number * 61),
    }


def _event(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "account_id": 1 + number * 7919 % 5000,
        "kind": ("view", "click", "order")[number % 3],
        "amount": number * 31 % 10_000,
        "happened_at": _moment(number * 13),
    }


def _moment(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _lines(lines: Iterator[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _ndjson(rows: int) -> bytes:
    return _lines(msgspec.json.encode(_event(number)) for number in range(1, rows + 1))


def _csv(rows: int) -> bytes:
    lines = (",".join(map(str, _event(number).values())).encode() for number in range(1, rows + 1))
    return b"id,account_id,kind,amount,happened_at\n" + _lines(lines)


def _json_api_note(_rows: int) -> bytes:
    # SAFRS knows moments without a T and a zone only.
    row = _note(1)
    row |= {"created_at": row["created_at"].replace("T", " ").rstrip("Z")}
    return msgspec.json.encode({"data": {"type": "Note", "attributes": row}})


_BODIES: dict[str, Callable[[int], bytes]] = {
    "": lambda _rows: b"",
    "note": lambda _rows: msgspec.json.encode(_note(1)),
    "json-api-note": _json_api_note,
    "notes": lambda rows: msgspec.json.encode([_note(number) for number in range(rows)]),
    "done": lambda _rows: b'{"done": true}',
    "ndjson": _ndjson,
    "csv": _csv,
}


@lru_cache(maxsize=8)
def body(name: str, rows: int) -> bytes:
    """A scenario's body, with so many rows where it has many."""
    return _BODIES[name](rows)
