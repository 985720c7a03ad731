"""Columns that look like secrets by their names: hidden until a resource says otherwise."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Column
from sqlalchemy.sql.elements import KeyedColumnElement

from .types import Kind, field_type

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ANYWHERE = ("password", "passwd", "passphrase")
"""No other word has these letters in it."""
_LAST = frozenset(("secret", "token", "hash", "salt", "pwd", "pwhash", "apikey", "credential"))
_KEYS = frozenset(("api", "private", "secret", "access", "signing", "encryption"))
_FORMS = frozenset(("encrypted", "digest", "hex", "base", "plain", "raw", "text", "value"))
"""What may follow: ``token_encrypted`` is a token, ``token_count`` and ``token_name`` aren't."""
_ASKS = ("is", "has", "needs", "uses")
_NEVER = (Kind.BOOLEAN, Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.INTERVAL)
_NUMBERS = (Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT)


def looks_secret(name: str, column: KeyedColumnElement[Any]) -> bool:
    """Whether a column's name says that it holds a secret, and its type doesn't deny it.

    A boolean or a moment is about a secret, a foreign key leads to one, and a number of
    ``tokens`` counts them.
    """
    kind = field_type(column.type).kind
    if kind in _NEVER or (isinstance(column, Column) and column.foreign_keys):
        return False
    is_number = kind in _NUMBERS
    names = {name, str(column.key)} | ({column.name} if isinstance(column, Column) else set())
    return any(_is_secret([w.lower() for w in _WORD.findall(n)], is_number) for n in names)


def _is_secret(words: list[str], is_number: bool) -> bool:
    if not words or (is_number and words[0] in _ASKS):
        return False
    if any(part in word for word in words[-1 if is_number else 0 :] for part in _ANYWHERE):
        return True
    while len(words) > 1 and words[-1] in _FORMS:
        words = words[:-1]
    last = words[-1] if is_number else _singular(words[-1])
    if last == "key":
        return len(words) > 1 and words[-2] in _KEYS
    return last in _LAST


def _singular(word: str) -> str:
    return "hash" if word == "hashes" else word.removesuffix("s")
