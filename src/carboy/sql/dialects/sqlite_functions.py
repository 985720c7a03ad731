"""What SQLite lacks, in Python: functions that ``SQLite.prepare`` adds to each connection."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from ...plan.text_query import AllOf, AnyOf, NoneOf, Phrase, TextQuery, Word, parse_text_query
from .words import lowered, web_query, words_of

_PATH_STEP = re.compile(r'\."([^"]*)"|\[#?(-?[0-9]+)\]')
# Halves go up, as in PostgreSQL; the precision is beyond that of any number stored.
_ROUNDING = Context(prec=2000, rounding=ROUND_HALF_UP)
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  stored without a zone, and compared so
_text_query = lru_cache(maxsize=64)(parse_text_query)


def lower(value: Any) -> str | None:
    """Lower case beyond ASCII."""
    return None if value is None else lowered(str(value))


def to_base64(value: Any) -> str | None:
    """Bytes as base64, on one line."""
    if value is None:
        return None
    return base64.b64encode(value if isinstance(value, bytes) else str(value).encode()).decode()


def to_float(value: Any) -> str | None:
    """The shortest JSON number that reads back as the same double; SQLite's own has 15 digits."""
    if not isinstance(value, int | float):
        return None if value is None else json.dumps(_text(value))
    number = float(value)
    return repr(number) if number - number == 0 else None


def to_decimal(value: Any, scale: int | None) -> str | None:
    """A number as exact text, with ``scale`` digits after the point or as few as it takes."""
    if value is None:
        return None
    try:
        number = Decimal(repr(value) if isinstance(value, float) else _text(value))
    except InvalidOperation:
        return _text(value)
    if not number.is_finite():
        return None
    if scale is not None:
        return f"{number.quantize(Decimal(1).scaleb(-scale), context=_ROUNDING):f}"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_number(value: Any) -> Any:
    """The number that a text is, or the text."""
    for kind in (int, float):
        try:
            number = kind(value)
        except (TypeError, ValueError):
            continue
        if kind is float or -(2**63) <= number < 2**63:
            return number
    return value


def to_seconds(value: Any) -> float | None:
    """An interval in seconds; SQLAlchemy stores the moment that far from 1970."""
    try:
        return (dt.datetime.fromisoformat(value) - _EPOCH).total_seconds()
    except (TypeError, ValueError):
        return None


def spelled_datetime(value: Any, middle: str, end: str) -> str | None:
    """A timestamp in UTC to the microsecond, from any spelling of ISO 8601; other text as it is."""
    # Numbers count seconds, or days, from a moment that nothing tells.
    if not isinstance(value, str):
        return None if value is None else _text(value)
    try:
        moment = dt.datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return value
    return moment.isoformat(middle, "microseconds") + end


def spelled_date(value: Any) -> str | None:
    """The day of a date or timestamp."""
    moment = spelled_datetime(value, "T", "")
    return moment.partition("T")[0] if moment is not None else None


def spelled_time(value: Any) -> str | None:
    """A time of day to the microsecond."""
    if not isinstance(value, str):
        return None if value is None else _text(value)
    try:
        return dt.time.fromisoformat(value).isoformat("microseconds")
    except ValueError:
        return value


def row_version(row: str) -> str:
    """A short digest of a row."""
    return blake2b(row.encode(), digest_size=8).hexdigest()


class _Number(float):
    """A JSON number that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> _Number:
        number = super().__new__(cls, text)
        number.text = text
        return number


def json_text(document: Any, path: str) -> str | None:
    """PostgreSQL's ``->>``: strings bare, everything else as its JSON, null as NULL."""
    if not isinstance(document, str):
        return None
    value = _parsed(document, parse_float=_Number)
    for key, index in _PATH_STEP.findall(path):
        try:
            value = value[int(index)] if index and isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError):
            return None
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, _Number):
        return value.text
    # As it was written: SQLAlchemy's serializer escapes what isn't ASCII, others don't.
    return json.dumps(value, ensure_ascii=document.isascii())


def json_contains(document: Any, part: Any) -> bool | None:
    """PostgreSQL's ``@>``: https://www.postgresql.org/docs/15/datatype-json.html#JSON-CONTAINMENT."""
    if document is None or part is None:
        return None
    return _contains_root(_parsed(document), _parsed(part))


def json_contained(document: Any, whole: str) -> bool | None:
    """PostgreSQL's ``<@``."""
    return json_contains(whole, document)


def json_overlaps(document: Any, other: str) -> bool | None:
    """Whether two arrays share an element; what is no array shares nothing."""
    if document is None:
        return None
    mine, theirs = _parsed(document), _parsed(other)
    return isinstance(mine, list) and any(_same(a, b) for a in mine for b in theirs)


def _parsed(document: Any, **options: Any) -> Any:
    """JSON read: a column of that type stores bare numbers as SQLite's own.

    What is no JSON, or too deep, is a null: an error here would be the statement's.
    """
    if not isinstance(document, str | bytes):
        return document
    try:
        return json.loads(document, **options)
    except (ValueError, RecursionError):
        return None


def full_text(op: str, value: Any, query: str) -> bool | None:
    """PostgreSQL's text search operators in the configuration ``simple``: words, no stems."""
    if value is None:
        return None
    words = words_of(str(value))
    if op == "plfts":
        return _has_all(words, words_of(query))
    if op == "phfts":
        return _has_phrase(words, words_of(query))
    if op == "wfts":
        return _matches_web_query(words, query)
    return bool(_matches(words, _text_query(query))) if query else False


def has_words(value: Any, query: str) -> bool:
    """Whether the words of ``query`` are all among those of a text."""
    return _has_all(words_of(_text(value)), words_of(query))


def count_words(value: Any, query: str) -> int:
    """How often they are."""
    words = words_of(_text(value))
    return sum(words.count(w) for w in words_of(query))


def fts_query(query: str) -> str:
    """The same search for FTS5: quoted words are never its syntax."""
    return " AND ".join(f'"{word}"' for word in words_of(query)) or '""'


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _has_all(words: list[str], wanted: list[str]) -> bool:
    # As in PostgreSQL, a query without words matches nothing.
    return bool(wanted) and set(wanted) <= set(words)


def _has_phrase(words: list[str], wanted: list[str]) -> bool:
    length = len(wanted)
    starts = range(len(words) - length + 1)
    return bool(wanted) and any(words[i : i + length] == wanted for i in starts)


def _matches_web_query(words: list[str], query: str) -> bool:
    return any(
        all(_has_phrase(words, list(term.words)) != term.without for term in terms)
        for terms in web_query(query)
    )


def _matches(words: list[str], query: TextQuery) -> bool | None:
    """Whether a query of ``fts`` matches; None where it has no words, which then don't count."""
    match query:
        case Phrase(wanted):
            return _matches_phrase(words, wanted)
        case NoneOf(part):
            found = _matches(words, part)
            return None if found is None else not found
        case AllOf(parts):
            known = [f for f in (_matches(words, p) for p in parts) if f is not None]
            return all(known) if known else None
        case AnyOf(parts):
            known = [f for f in (_matches(words, p) for p in parts) if f is not None]
            return any(known) if known else None


def _matches_phrase(words: list[str], wanted: Sequence[Word]) -> bool | None:
    steps = [
        (text, word.prefix, 1 if index else word.distance)
        for word in wanted
        for index, text in enumerate(words_of(word.text))
    ]
    if not steps:
        return None
    ends: set[int] | None = None
    for text, prefix, distance in steps:
        places = {
            i for i, word in enumerate(words) if (word.startswith(text) if prefix else word == text)
        }
        ends = places if ends is None else {i for i in places if i - distance in ends}
    return bool(ends)


def _contains_root(whole: Any, inner: Any) -> bool:
    if isinstance(whole, list) and not isinstance(inner, list | dict):
        # The one exception to equal shapes: an array contains a bare scalar.
        return any(_same(item, inner) for item in whole)
    return _contains(whole, inner)


def _contains(whole: Any, inner: Any) -> bool:
    if isinstance(whole, dict) and isinstance(inner, dict):
        return all(k in whole and _contains(whole[k], v) for k, v in inner.items())
    if isinstance(whole, list) and isinstance(inner, list):
        return all(any(_contains(item, part) for item in whole) for part in inner)
    return _same(whole, inner)


def _same(one: Any, two: Any) -> bool:
    # In Python, True equals 1, inside lists and objects as well; in JSON it doesn't.
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_same(one[k], two[k]) for k in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_same, one, two))
    return isinstance(one, bool) == isinstance(two, bool) and bool(one == two)


FUNCTIONS: tuple[tuple[str, int, Callable[..., Any]], ...] = (
    ("carboy_lower", 1, lower),
    ("carboy_base64", 1, to_base64),
    ("carboy_float", 1, to_float),
    ("carboy_decimal", 2, to_decimal),
    ("carboy_number", 1, to_number),
    ("carboy_seconds", 1, to_seconds),
    ("carboy_datetime", 3, spelled_datetime),
    ("carboy_date", 1, spelled_date),
    ("carboy_time", 1, spelled_time),
    ("carboy_version", 1, row_version),
    ("carboy_json_text", 2, json_text),
    ("carboy_json_contains", 2, json_contains),
    ("carboy_json_contained", 2, json_contained),
    ("carboy_json_overlaps", 2, json_overlaps),
    ("carboy_full_text", 3, full_text),
    ("carboy_has_words", 2, has_words),
    ("carboy_count_words", 2, count_words),
    ("carboy_fts_query", 1, fts_query),
)
