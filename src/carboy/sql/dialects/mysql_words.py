"""Text search as regular expressions, which the database's PCRE2 runs over each row.

They mean what PostgreSQL's configuration ``simple`` means: words without stems, in any case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from ...plan.text_query import AllOf, AnyOf, NoneOf, Phrase, TextQuery, Word, parse_text_query
from .words import WebTerm, web_query, words_of

_LETTER = r"[\p{L}\p{N}]"
_MORE = r"[\p{L}\p{N}\x{300}-\x{36f}]"
_BETWEEN = r"[^\p{L}\p{N}]+"
_NEVER = "(?!)"


class Pattern(TypeDecorator[str]):
    """A text query bound as a pattern."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, op: str) -> None:
        super().__init__()
        self.op = op

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """The pattern; ``parts`` is for ``q=``, the rest are operators."""
        return None if value is None else pattern(self.op, value)


def pattern(op: str, query: str) -> str:
    """The regular expression for one query."""
    words = words_of(query)
    match op:
        case "parts":
            return _all([_found(_word(word)) for word in words])
        case "plfts":
            found = _all([_found(_word(word)) for word in words]) if words else None
        case "phfts":
            found = _phrase([Word(word, False, 1) for word in words])
        case "wfts":
            found = _web(web_query(query))
        case _:
            found = _query(parse_text_query(query)) if query else None
    return rf"(?si)\A{found or _NEVER}"


def _found(part: str) -> str:
    return f"(?=.*?{part})"


def _all(parts: Sequence[str]) -> str:
    return "".join(parts)


def _any(parts: Sequence[str]) -> str:
    return f"(?:{'|'.join(parts)})"


def _word(text: str, *, prefix: bool = False) -> str:
    end = f"{_MORE}*" if prefix else ""
    return f"(?<!{_MORE}){re.escape(text)}{end}(?!{_MORE})"


def _query(query: TextQuery) -> str | None:
    """None for what has no words, which doesn't count."""
    match query:
        case Phrase(wanted):
            return _phrase(wanted)
        case NoneOf(part):
            found = _query(part)
            return None if found is None else f"(?!{found})"
        case AllOf(parts):
            known = [found for part in parts if (found := _query(part)) is not None]
            return _all(known) if known else None
        case AnyOf(parts):
            known = [found for part in parts if (found := _query(part)) is not None]
            return _any(known) if known else None


def _phrase(wanted: Sequence[Word]) -> str | None:
    steps = [
        (_word(text, prefix=word.prefix), 1 if index else word.distance)
        for word in wanted
        for index, text in enumerate(words_of(word.text))
    ]
    if not steps:
        return None
    whole = steps[0][0]
    for text, distance in steps[1:]:
        if distance == 0:
            # Both at one place: the one before it is looked at from its end.
            whole = f"(?={text}){whole}"
            continue
        skipped = f"(?:{_LETTER}{_MORE}*{_BETWEEN}){{{distance - 1}}}" if distance > 1 else ""
        whole += f"{_BETWEEN}{skipped}{text}"
    return _found(whole)


def _web(alternatives: Sequence[Sequence[WebTerm]]) -> str | None:
    found = []
    for terms in alternatives:
        parts = []
        for term in terms:
            phrase = _phrase([Word(word, False, 1) for word in term.words])
            parts.append(f"(?!{phrase})" if term.without else str(phrase))
        found.append(_all(parts))
    return _any(found) if found else None
