"""Words of a text and of what is searched for, for databases without a text search of their own."""

from __future__ import annotations

import re

from msgspec import Struct

# Marks that combine with the letter before them are part of its word, as they are to FTS5.
_WORD = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f])*")
_WEB_PART = re.compile(r'((?:-\s*)*)(?:"([^"]*)(?:"|$)|([^\s"]+))')


class WebTerm(Struct, frozen=True):
    """Words that must follow one another, or must not."""

    words: tuple[str, ...]
    without: bool


def lowered(text: str) -> str:
    """Text as comparisons in any case see it: a character for each of its characters."""
    if text.isascii():
        return text.lower()
    return "".join(small if len(small := c.lower()) == 1 else c for c in text)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def web_query(query: str) -> list[list[WebTerm]]:
    """Search engines' syntax: quoted phrases, ``or``, and ``-`` for words to leave out.

    One of the lists must match, each term of it.
    """
    alternatives: list[list[WebTerm]] = [[]]
    has_operand = False
    parts = list(_WEB_PART.finditer(query))
    for part in parts:
        minus, phrase, bare = part.groups()
        # At either end, or after another one, "or" is a word like any other.
        if (bare or "").lower() == "or" and not minus and has_operand and part is not parts[-1]:
            alternatives.append([])
            has_operand = False
            continue
        has_operand = True
        wanted = tuple(words_of(phrase or bare or ""))
        if wanted:
            alternatives[-1].append(WebTerm(wanted, minus.count("-") % 2 == 1))
    return [terms for terms in alternatives if terms]
