"""The query string as a whole: its keys, its percent-encoding, and who reads each value.

A key is a reserved word (``select``, ``limit``...), or a field to filter by, each after the
embeds that it's meant for: ``tags.order``, ``author.team.name``. A quoted name is never a
reserved word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from ..errors import InvalidQuery
from .ast import FieldRef, OrderTerm, Path, Query, ScopedFilter
from .filters import parse_condition, parse_tree
from .scanner import MAX_NESTING, NAME, Scanner, shorten
from .select import parse_order, parse_select

_NUMBER = re.compile(r"[0-9]{1,18}")  # stays below 2**63
_SCOPED_WORDS = frozenset(("order", "limit", "offset", "and", "or"))


def parse_query(raw: bytes | str) -> Query:
    """Read an undecoded query string; every fault in it is an InvalidQuery.

    A ``str`` is what WSGI has in ``QUERY_STRING``: each character stands for one byte.
    """
    found = _Found()
    text = raw if isinstance(raw, str) else raw.decode("latin-1")
    for pair in text.split("&"):
        if not pair:
            continue
        raw_key, equals, raw_value = pair.partition("=")
        key = _decode(raw_key, raw_key)
        if not key:
            raise InvalidQuery.at("", f"a parameter without a name: '{_printable(pair)}'")
        if not equals:
            raise InvalidQuery.at(key, f"{shorten(key)}: no '=' and value after the name")
        found.add(key, _decode(raw_key, raw_value))
    return found.query()


def _decode(parameter: str, text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" in text or not text.isascii():
        try:
            text = unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
        except UnicodeError:
            detail = f"{_printable(parameter)}: not valid percent-encoded UTF-8"
            raise InvalidQuery.at(_printable(parameter), detail) from None
    if "\0" in text:
        detail = f"{_printable(parameter)}: the NUL character is not allowed"
        raise InvalidQuery.at(_printable(parameter), detail)
    return text


def _printable(raw: str) -> str:
    """Raw text as it came, fit for an answer: it may itself be what can't be decoded."""
    return shorten(raw.encode("ascii", "backslashreplace").decode().replace("\0", "\\0"))


class _Found:
    """What was read so far; a key that may come once only is refused when it comes again."""

    __slots__ = ("filters", "limits", "offsets", "orders", "singles")

    def __init__(self) -> None:
        self.singles: dict[str, Any] = {}
        self.filters: list[ScopedFilter] = []
        self.orders: dict[Path, tuple[OrderTerm, ...]] = {}
        self.limits: dict[Path, int] = {}
        self.offsets: dict[Path, int] = {}

    def query(self) -> Query:
        return Query(
            filters=tuple(self.filters),
            orders=tuple(self.orders.items()),
            limits=tuple(self.limits.items()),
            offsets=tuple(self.offsets.items()),
            **self.singles,
        )

    def add(self, key: str, value: str) -> None:
        single = _SINGLES.get(key)
        if single is not None:
            attribute, read = single
            if attribute in self.singles:
                raise _repeated(key)
            self.singles[attribute] = read(key, value)
        elif key in _SCOPED_WORDS:
            self._add_word(key, (), key, value, negated=False)
        elif key in ("not.and", "not.or"):
            self._add_word(key, (), key[4:], value, negated=True)
        elif NAME.fullmatch(key):
            condition = parse_condition(key, FieldRef(key), value)
            self.filters.append(ScopedFilter((), condition, key))
        else:
            self._add_scoped(key, value)

    def _add_scoped(self, key: str, value: str) -> None:
        """Add what has embeds, quotes or a JSON path in its key."""
        scanner = Scanner(key, key)
        names: list[str] = []
        unquoted: list[bool] = []
        while True:
            unquoted.append(scanner.peek() != '"')
            names.append(scanner.name())
            if not scanner.take("."):
                break
            if len(names) > MAX_NESTING:
                raise scanner.error_here(f"relations nested more than {MAX_NESTING} deep")
        ref = scanner.field(names.pop())
        scanner.require_end("'.', '->' or '='")
        if not (unquoted[-1] and names and not ref.steps and ref.name in _SCOPED_WORDS):
            condition = parse_condition(key, ref, value)
            self.filters.append(ScopedFilter(tuple(names), condition, key))
            return
        negated = ref.name in ("and", "or") and names[-1] == "not" and unquoted[-2]
        path = tuple(names[:-1] if negated else names)
        self._add_word(key, path, ref.name, value, negated=negated)

    def _add_word(self, key: str, path: Path, word: str, value: str, *, negated: bool) -> None:
        if word in ("and", "or"):
            op: Literal["and", "or"] = "or" if word == "or" else "and"
            tree = parse_tree(key, op, negated, value)
            self.filters.append(ScopedFilter(path, tree, key))
        elif word == "order":
            if path in self.orders:
                raise _repeated(key)
            self.orders[path] = parse_order(_filled(key, value), key)
        else:
            numbers = self.limits if word == "limit" else self.offsets
            if path in numbers:
                raise _repeated(key)
            numbers[path] = _number(key, value)


def _repeated(key: str) -> InvalidQuery:
    return InvalidQuery.at(key, f"{shorten(key)}: given more than once")


def _filled(key: str, value: str) -> str:
    if not value:
        raise InvalidQuery.at(key, f"{shorten(key)}: the value is empty")
    return value


def _number(key: str, value: str) -> int:
    if not _NUMBER.fullmatch(value):
        detail = f"{shorten(key)}: expected a whole number of at most 18 digits"
        raise InvalidQuery.at(key, f"{detail}, not '{shorten(value)}'")
    return int(value)


def _positive(key: str, value: str) -> int:
    number = _number(key, value)
    if number < 1:
        raise InvalidQuery.at(key, f"{key}: must be 1 or more")
    return number


def _select(key: str, value: str) -> object:
    return parse_select(_filled(key, value), key)


def _any(_: str, value: str) -> str:
    """A search box may be left empty."""
    return value


def _names(key: str, value: str) -> Path:
    scanner = Scanner(key, _filled(key, value))
    names = []
    while True:
        scanner.skip_spaces()
        names.append(scanner.name("a field"))
        scanner.skip_spaces()
        if not scanner.take(","):
            break
    scanner.require_end("',' or the end")
    return tuple(names)


_SINGLES: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "select": ("select", _select),
    "page": ("page", _positive),
    "per_page": ("per_page", _positive),
    "after": ("after", _filled),
    "q": ("search", _any),
    "on_conflict": ("on_conflict", _names),
}
"""Keys that only the resource itself can have: the attribute of Query, and its reader."""
