"""The tokens that every part of the query string's grammar shares: names, quotes, JSON paths."""

from __future__ import annotations

import re

from carboy.errors import InvalidQuery
from carboy.request.ast import FieldRef

MAX_NESTING = 50
"""Levels of parentheses that a select or a logic tree may have; it keeps Python's stack safe."""

_LETTER = r"[A-Za-z0-9_$\x80-\U0010ffff]"
NAME = re.compile(rf"{_LETTER}+(?:(?: +|-(?!>)){_LETTER}+)*")
"""A name that needs no quotes: letters of any script, digits, ``_``, ``$``, and inside it ``-`` or
spaces."""

_QUOTED = re.compile(r'"([^"\\]*(?:\\["\\][^"\\]*)*)"')
_ESCAPE = re.compile(r"\\(.)")
_NEGATIVE = re.compile(r"-[0-9]+")
_SPACES = re.compile(r" *")
_INDEX_DIGITS = 9
_CONTEXT = 24


def shorten(text: str, limit: int = 60) -> str:
    """The text, or its beginning and an ellipsis: messages don't repeat a long input."""
    return text if len(text) <= limit else text[:limit] + "…"


class Scanner:
    """A place in the decoded text of one query parameter, and the means to move on from it."""

    __slots__ = ("parameter", "position", "text")

    def __init__(self, parameter: str, text: str, position: int = 0) -> None:
        self.parameter = parameter
        self.text = text
        self.position = position

    def error(self, detail: str) -> InvalidQuery:
        """The error for this parameter, without a place."""
        return InvalidQuery.at(self.parameter, f"{shorten(self.parameter)}: {detail}")

    def error_here(self, detail: str) -> InvalidQuery:
        """The error for this place: characters count from 1 in the percent-decoded text."""
        start = max(0, self.position - _CONTEXT)
        before = ("…" if start else "") + self.text[start : self.position]
        after = f", after '{before}'" if before else ""
        return self.error(f"{detail} at character {self.position + 1}{after}")

    def expected(self, what: str) -> InvalidQuery:
        """The error for this place, saying what should have been here."""
        return self.error_here(f"expected {what}")

    def peek(self) -> str:
        """The next character, or an empty text at the end."""
        return self.text[self.position : self.position + 1]

    def take(self, token: str) -> bool:
        """Move past ``token`` where it comes next."""
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def read(self, pattern: re.Pattern[str]) -> str:
        """Move past what ``pattern`` matches here, and return that."""
        found = pattern.match(self.text, self.position)
        if not found:
            return ""
        self.position = found.end()
        return found[0]

    def require(self, token: str, expected: str | None = None) -> None:
        """Move past ``token``, or raise InvalidQuery that says what was ``expected``."""
        if not self.take(token):
            raise self.expected(expected or f"'{token}'")

    def require_end(self, expected: str = "the end") -> None:
        """Raise InvalidQuery unless all the text was read."""
        if self.position < len(self.text):
            raise self.expected(expected)

    def skip_spaces(self) -> None:
        """Move past spaces, which may stand around commas and parentheses."""
        if self.text.startswith(" ", self.position):
            self.read(_SPACES)

    def name(self, what: str = "a name") -> str:
        """Read a name, quoted or not."""
        found = NAME.match(self.text, self.position)
        if found:
            self.position = found.end()
            return found[0]
        if self.peek() != '"':
            raise self.expected(what)
        start = self.position
        name = self.quoted()
        if not name:
            self.position = start
            raise self.error_here("an empty name")
        return name

    def quoted(self) -> str:
        """Read ``"..."``, in which only ``\\"`` and ``\\\\`` are escapes."""
        found = _QUOTED.match(self.text, self.position)
        if not found:
            raise self.error_here(r"an open quote, or another escape than \" and \\ in it,")
        self.position = found.end()
        text = found[1]
        return _ESCAPE.sub(r"\1", text) if "\\" in text else text

    def field(self, name: str) -> FieldRef:
        """Read the JSON path, if any, that follows the field's ``name``."""
        if not self.text.startswith("->", self.position):
            return FieldRef(name)
        steps: list[str | int] = []
        as_text = False
        while not as_text and self.take("->"):
            as_text = self.take(">")
            steps.append(self._step())
        if self.text.startswith("->", self.position):
            raise self.error_here("a step after '->>', which gives text and must be the last,")
        return FieldRef(name, tuple(steps), as_text)

    def _step(self) -> str | int:
        start = self.position
        is_quoted = self.peek() == '"'
        negative = _NEGATIVE.match(self.text, start)
        if negative:
            self.position = negative.end()
            text = negative[0]
        else:
            text = self.name("a JSON key or index")
            if is_quoted or not (text.isascii() and text.isdigit()):
                return text
        if len(text.lstrip("-")) > _INDEX_DIGITS:
            self.position = start
            raise self.error_here(f"a JSON index of more than {_INDEX_DIGITS} digits")
        return int(text)
