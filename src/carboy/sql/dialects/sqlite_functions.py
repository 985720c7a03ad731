"""What SQLite lacks, in Python: functions that ``SQLite.prepare`` adds to each connection."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any

_WORD = re.compile(r"\w+")
_PATH_STEP = re.compile(r'\."([^"]*)"|\[#?(-?[0-9]+)\]')
_EPOCH = dt.datetime(1970, 1, 1)


def lower(value: Any) -> str | None:
    """Lower case beyond ASCII."""
    return None if value is None else str(value).lower()


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
        return f"{number:.{scale}f}"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_seconds(value: Any) -> float | None:
    """An interval in seconds; SQLAlchemy stores the moment that far from 1970."""
    try:
        return (dt.datetime.fromisoformat(value) - _EPOCH).total_seconds()
    except (TypeError, ValueError):
        return None


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
    value: Any = json.loads(document, parse_float=_Number)
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


def json_contains(document: Any, part: str) -> bool | None:
    """PostgreSQL's ``@>``: https://www.postgresql.org/docs/15/datatype-json.html#JSON-CONTAINMENT."""
    if document is None:
        return None
    return _contains_root(_parsed(document), json.loads(part))


def json_contained(document: Any, whole: str) -> bool | None:
    """PostgreSQL's ``<@``."""
    if document is None:
        return None
    return _contains_root(json.loads(whole), _parsed(document))


def json_overlaps(document: Any, other: str) -> bool | None:
    """Whether two arrays share an element; what is no array shares nothing."""
    if document is None:
        return None
    mine, theirs = _parsed(document), json.loads(other)
    return isinstance(mine, list) and any(_same(a, b) for a in mine for b in theirs)


def _parsed(document: Any) -> Any:
    """A JSON column's value: a column of that type stores numbers as SQLite's own."""
    return json.loads(document) if isinstance(document, str | bytes) else document


def full_text(op: str, value: Any, query: str) -> bool | None:
    """PostgreSQL's text search operators in the configuration ``simple``: words, no stems."""
    if value is None:
        return None
    words = _words(str(value))
    if op == "plfts":
        return _has_all(words, _words(query))
    if op == "phfts":
        return _has_phrase(words, _words(query))
    return _matches_web_query(words, query) if op == "wfts" else _matches_query(words, query)


def has_word(value: str, word: str) -> bool:
    """Whether the words of ``word`` are all among those of a text."""
    return _has_all(_words(value), _words(word))


def count_word(value: str, word: str) -> int:
    """How often they are."""
    words = _words(value)
    return sum(words.count(w) for w in _words(word))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _has_all(words: list[str], wanted: list[str]) -> bool:
    # As in PostgreSQL, a query without words matches nothing.
    return bool(wanted) and set(wanted) <= set(words)


def _has_phrase(words: list[str], wanted: list[str]) -> bool:
    length = len(wanted)
    starts = range(len(words) - length + 1)
    return bool(wanted) and any(words[i : i + length] == wanted for i in starts)


def _matches_web_query(words: list[str], query: str) -> bool:
    """Search engines' syntax: quoted phrases, ``or``, and ``-`` for words to leave out."""
    alternatives: list[bool] = []
    current: bool | None = None
    for minus, phrase, bare in re.findall(r'(-?)(?:"([^"]*)"|(\S+))', query):
        if bare.lower() == "or" and not minus:
            alternatives.append(current is not False)
            current = None
            continue
        wanted = _words(phrase or bare)
        if not wanted:
            continue
        found = _has_phrase(words, wanted)
        current = (found != bool(minus)) and current is not False
    if current is not None:
        alternatives.append(current)
    return any(alternatives)


def _matches_query(words: list[str], query: str) -> bool:
    """``to_tsquery``: words with ``&``, ``|``, ``!``, parentheses, and ``:*`` for prefixes."""
    tokens = re.findall(r"\w+(?::\*)?|[&|!()]", query.lower())
    position = 0

    def alternatives() -> bool:
        nonlocal position
        value = conjunction()
        while position < len(tokens) and tokens[position] == "|":
            position += 1
            value = conjunction() or value
        return value

    def conjunction() -> bool:
        nonlocal position
        value = term()
        while position < len(tokens) and tokens[position] == "&":
            position += 1
            value = term() and value
        return value

    def term() -> bool:
        nonlocal position
        token = tokens[position] if position < len(tokens) else ""
        position += 1
        if token == "!":
            return not term()
        if token == "(":
            value = alternatives()
            position += 1
            return value
        if token.endswith(":*"):
            return any(word.startswith(token[:-2]) for word in words)
        return token in words

    return bool(tokens) and alternatives()


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
    ("carboy_seconds", 1, to_seconds),
    ("carboy_version", 1, row_version),
    ("carboy_json_text", 2, json_text),
    ("carboy_json_contains", 2, json_contains),
    ("carboy_json_contained", 2, json_contained),
    ("carboy_json_overlaps", 2, json_overlaps),
    ("carboy_full_text", 3, full_text),
    ("carboy_has_word", 2, has_word),
    ("carboy_count_word", 2, count_word),
)
