"""Requests as values: the strategies make them, ``url`` writes them, the oracle answers them."""

from __future__ import annotations

import datetime as dt
import enum
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

from .data import Json

RESERVED = frozenset(
    ("select", "order", "limit", "offset", "page", "per_page", "after", "q", "on_conflict",
     "and", "or", "not")
)  # fmt: skip


@dataclass(frozen=True)
class Ref:
    """A field, or a place inside a JSON field."""

    name: str
    steps: tuple[str | int, ...] = ()
    as_text: bool = False


@dataclass(frozen=True)
class Condition:
    """``value`` is a Python value of the field's kind, a tuple of them, or an operator's word."""

    ref: Ref
    op: str
    value: Any
    negated: bool = False
    quantifier: str | None = None


@dataclass(frozen=True)
class Logic:
    """``and(...)`` and ``or(...)``."""

    op: str
    children: tuple[Filter, ...]
    negated: bool = False


Filter: TypeAlias = Condition | Logic


@dataclass(frozen=True)
class Term:
    """One term of an order; ``path`` leads over to-one relations."""

    ref: Ref
    path: tuple[str, ...] = ()
    descending: bool | None = None
    nulls: str | None = None


@dataclass(frozen=True)
class Pick:
    """A field or an aggregate; ``ref`` is None in ``count()``, ``name`` None where it's ``*``."""

    ref: Ref | None
    alias: str | None = None
    aggregate: str | None = None

    @property
    def key(self) -> str:
        """The key in the answer."""
        if self.alias is not None:
            return self.alias
        if self.aggregate is not None:
            return self.aggregate
        assert self.ref is not None
        return str(self.ref.steps[-1]) if self.ref.steps else self.ref.name


@dataclass(frozen=True)
class Everything:
    """``*``."""


@dataclass(frozen=True)
class Level:
    """One table's part of a request."""

    items: tuple[Item, ...] = (Everything(),)
    filters: tuple[Filter, ...] = ()
    order: tuple[Term, ...] = ()
    limit: int | None = None
    offset: int | None = None

    @property
    def grouped(self) -> bool:
        """Whether it aggregates."""
        return any(isinstance(item, Pick) and item.aggregate for item in self.items)


@dataclass(frozen=True)
class Embed:
    """A relation's part."""

    relation: str
    level: Level
    alias: str | None = None
    inner: bool = False
    spread: bool = False

    @property
    def key(self) -> str:
        """The key in the answer, and in the paths of parameters."""
        return self.alias or self.relation


Item: TypeAlias = Pick | Everything | Embed


@dataclass(frozen=True)
class Ask:
    """A whole GET; ``key`` asks for one row, ``per_page`` for a page with its numbers.

    ``follow`` says to follow the cursors to the end.
    """

    table: str
    level: Level = field(default_factory=Level)
    page: int | None = None
    per_page: int | None = None
    count: bool = False
    follow: bool = False
    key: tuple[Any, ...] | None = None


def url(ask: Ask, prefix: str = "/api") -> str:
    """The request's path and query string."""
    path = f"{prefix}/{quote(ask.table)}"
    if ask.key is not None:
        path += "/" + quote(",".join(_key_part(part) for part in ask.key), safe=",")
    pairs: list[tuple[str, str]] = []
    if ask.level.items != (Everything(),):
        pairs.append(("select", _items(ask.level.items)))
    pairs += _level(ask.level, ())
    for name in ("page", "per_page"):
        if getattr(ask, name) is not None:
            pairs.append((name, str(getattr(ask, name))))
    return path + "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs)


def _key_part(value: Any) -> str:
    text = written(value)
    return text if re.fullmatch(r'[^,"]+', text) else quoted(text)


def _level(level: Level, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    prefix = "".join(name(part) + "." for part in path)
    for filter_ in level.filters:
        if isinstance(filter_, Logic):
            negation = "not." if filter_.negated else ""
            children = ",".join(map(_child, filter_.children))
            yield f"{prefix}{negation}{filter_.op}", f"({children})"
        else:
            yield prefix + ref(filter_.ref), _condition(filter_, in_tree=False)
    if level.order:
        yield prefix + "order", ",".join(map(_term, level.order))
    if level.limit is not None:
        yield prefix + "limit", str(level.limit)
    if level.offset is not None:
        yield prefix + "offset", str(level.offset)
    for item in level.items:
        if isinstance(item, Embed):
            yield from _level(item.level, (*path, item.key))


def _items(items: tuple[Item, ...]) -> str:
    return ",".join(map(_item, items))


def _item(item: Item) -> str:
    if isinstance(item, Everything):
        return "*"
    alias = f"{name(item.alias)}:" if item.alias is not None else ""
    if isinstance(item, Embed):
        dots, inner = "..." if item.spread else "", "!inner" if item.inner else ""
        return f"{dots}{alias}{name(item.relation)}{inner}({_items(item.level.items)})"
    if item.ref is None:
        return f"{alias}count()"
    aggregate = f".{item.aggregate}()" if item.aggregate else ""
    return alias + ref(item.ref) + aggregate


def _child(filter_: Filter) -> str:
    if isinstance(filter_, Logic):
        negation = "not." if filter_.negated else ""
        return f"{negation}{filter_.op}({','.join(map(_child, filter_.children))})"
    return f"{ref(filter_.ref)}.{_condition(filter_, in_tree=True)}"


def _condition(condition: Condition, *, in_tree: bool) -> str:
    head = ("not." if condition.negated else "") + condition.op
    if condition.op == "in":
        return f"{head}.({','.join(quoted(written(v)) for v in condition.value)})"
    if condition.quantifier is not None:
        values = ",".join(quoted(written(v)) for v in condition.value)
        return f"{head}({condition.quantifier}).{{{values}}}"
    text = written(condition.value)
    return f"{head}.{quoted(text) if in_tree and condition.op != 'is' else text}"


def _term(term: Term) -> str:
    text = ref(term.ref)
    for relation in reversed(term.path):
        text = f"{name(relation)}({text})"
    if term.descending is not None:
        text += ".desc" if term.descending else ".asc"
    return text + (f".nulls{term.nulls}" if term.nulls else "")


def ref(target: Ref) -> str:
    """A field and its JSON path."""
    text = name(target.name)
    for index, step in enumerate(target.steps):
        last = target.as_text and index == len(target.steps) - 1
        text += ("->>" if last else "->") + (str(step) if isinstance(step, int) else quoted(step))
    return text


def name(text: str) -> str:
    """A name, in quotes where it needs them."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) and text not in RESERVED
    return text if plain else quoted(text)


def quoted(text: str) -> str:
    """Text in quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(value: Any) -> str:
    """A value as a filter has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, Json):
        return json.dumps(value.value)
    return str(value)
