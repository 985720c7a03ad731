"""The language of ``fts``, PostgreSQL's to_tsquery, read here so that every database agrees on it.

    query  = all *("|" all)
    all    = term *("&" term)
    term   = "!" term / "(" query ")" / word *("<->" word / "<N>" word)
    word   = plain [":*"] / "'" quoted "'" [":*"]

https://www.postgresql.org/docs/15/datatype-textsearch.html#DATATYPE-TSQUERY; weights are left out.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from msgspec import Struct

_DEPTH = 50
_SPACES = re.compile(r"\s*")
_WORD = re.compile(r"'((?:[^'\\]|''|\\.)*)'|([^\s&|!()<>:']+)", re.DOTALL)
_NEXT = re.compile(r"\s*<(-|[0-9]{1,4})>\s*")
_ESCAPE = re.compile(r"'(')|\\(.)", re.DOTALL)


class Word(Struct, frozen=True):
    """Text to find ``distance`` words after the one before it; ``prefix`` as a beginning."""

    text: str
    prefix: bool
    distance: int


class Phrase(Struct, frozen=True):
    """One word, or several at set distances."""

    words: tuple[Word, ...]


class NoneOf(Struct, frozen=True):
    """The part must not match."""

    part: TextQuery


class AllOf(Struct, frozen=True):
    """Every part must match."""

    parts: tuple[TextQuery, ...]


class AnyOf(Struct, frozen=True):
    """One part must match."""

    parts: tuple[TextQuery, ...]


TextQuery: TypeAlias = Phrase | NoneOf | AllOf | AnyOf


def parse_text_query(text: str) -> TextQuery:
    """Read a query; a ValueError says what is wrong, and where."""
    reader = _Reader(text)
    query = reader.any_of(0)
    if reader.rest():
        raise reader.error("& or | expected")
    return query


def write_text_query(query: TextQuery) -> str:
    """A query as text that to_tsquery takes whatever its words are."""
    match query:
        case Phrase(words):
            first, *others = (_written(word) for word in words)
            gaps = [f" <{word.distance}> " for word in words[1:]]
            return first + "".join(g + w for g, w in zip(gaps, others, strict=True))
        case NoneOf(part):
            return f"!({write_text_query(part)})"
        case AllOf(parts):
            return " & ".join(f"({write_text_query(p)})" for p in parts)
        case AnyOf(parts):
            return " | ".join(f"({write_text_query(p)})" for p in parts)


def _written(word: Word) -> str:
    text = word.text.replace("\\", "\\\\").replace("'", "''")
    return f"'{text}'" + (":*" if word.prefix else "")


class _Reader:
    """A place in the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def rest(self) -> str:
        found = _SPACES.match(self.text, self.position)
        assert found is not None
        self.position = found.end()
        return self.text[self.position :]

    def take(self, token: str) -> bool:
        if self.rest().startswith(token):
            self.position += len(token)
            return True
        return False

    def error(self, what: str) -> ValueError:
        return ValueError(f"{what} at character {self.position + 1}")

    def any_of(self, depth: int) -> TextQuery:
        if depth > _DEPTH:
            raise self.error(f"nested more than {_DEPTH} deep")
        parts = [self.all_of(depth)]
        while self.take("|"):
            parts.append(self.all_of(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def all_of(self, depth: int) -> TextQuery:
        parts = [self.term(depth)]
        while self.take("&"):
            parts.append(self.term(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def term(self, depth: int) -> TextQuery:
        negated = False
        while self.take("!"):
            negated = not negated
        if self.take("("):
            inner = self.any_of(depth + 1)
            if not self.take(")"):
                raise self.error("a closing parenthesis expected")
        else:
            inner = self.phrase()
        return NoneOf(inner) if negated else inner

    def phrase(self) -> TextQuery:
        words = [self.word(0)]
        while gap := _NEXT.match(self.text, self.position):
            self.position = gap.end()
            words.append(self.word(1 if gap[1] == "-" else int(gap[1])))
        return Phrase(tuple(words))

    def word(self, distance: int) -> Word:
        self.rest()
        found = _WORD.match(self.text, self.position)
        if not found:
            raise self.error("a word expected")
        quoted, plain = found.groups()
        text = plain if quoted is None else _ESCAPE.sub(r"\1\2", quoted)
        if not text:
            raise self.error("a word expected")
        self.position = found.end()
        prefix = self.text.startswith(":*", self.position)
        if prefix:
            self.position += 2
        elif self.text.startswith(":", self.position):
            raise self.error("only * may follow a colon")
        return Word(text, prefix, distance)
