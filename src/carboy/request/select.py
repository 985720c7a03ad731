"""What to answer with, and in which order: the values of ``select`` and ``order``.

    select = item *("," item)
    item   = "*" / [alias ":"] (field ["." aggregate "()"] / "count()") / ["..."] embed
    embed  = [alias ":"] relation *("!" (hint / "inner" / "left")) "(" [select] ")"
    order  = term *("," term)
    term   = (field / relation "(" term ")") ["." ("asc" / "desc")] ["." nulls]

Spaces may stand around commas and inside parentheses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

from carboy.request.ast import (
    Aggregate,
    FieldRef,
    OrderTerm,
    SelectAll,
    SelectEmbed,
    SelectField,
    SelectItem,
)
from carboy.request.scanner import MAX_NESTING, Scanner

_AGGREGATES: dict[str, Aggregate] = {name: name for name in get_args(Aggregate)}
_AGGREGATE_CALLS = ", ".join(f"{name}()" for name in sorted(_AGGREGATES))
_ALL = SelectAll()
_CACHED_LENGTH = 500
"""Longer texts are not remembered, so that a hostile client can't fill the memory."""


def parse_select(text: str, parameter: str = "select") -> tuple[SelectItem, ...]:
    """Read a select such as ``id,writer:author(username)``; raises InvalidQuery."""
    if len(text) <= _CACHED_LENGTH:
        return _remembered_select(text, parameter)
    return _read_select(text, parameter)


def parse_order(text: str, parameter: str = "order") -> tuple[OrderTerm, ...]:
    """Read an order such as ``created_at.desc.nullslast,id``; raises InvalidQuery."""
    scanner = Scanner(parameter, text)
    terms = []
    while True:
        scanner.skip_spaces()
        terms.append(_order_term(scanner))
        scanner.skip_spaces()
        if not scanner.take(","):
            break
    scanner.require_end("'.', ',' or the end")
    return tuple(terms)


def _read_select(text: str, parameter: str) -> tuple[SelectItem, ...]:
    scanner = Scanner(parameter, text)
    items = _items(scanner, 0)
    scanner.require_end("',' or the end")
    return items


# Clients send the same few selects again and again, and the values are frozen.
_remembered_select = lru_cache(maxsize=256)(_read_select)


def _items(scanner: Scanner, depth: int) -> tuple[SelectItem, ...]:
    items: list[SelectItem] = []
    while True:
        scanner.skip_spaces()
        items.append(_item(scanner, depth))
        scanner.skip_spaces()
        if not scanner.take(","):
            return tuple(items)


def _item(scanner: Scanner, depth: int) -> SelectItem:
    if scanner.take("*"):
        return _ALL
    spread = scanner.take("...")
    quoted = scanner.peek() == '"'
    name = scanner.name("a relation" if spread else "a field, a relation or '*'")
    alias = None
    following = scanner.peek()
    if following == ":":
        _refuse_cast(scanner)
        scanner.position += 1
        alias = name
        quoted = scanner.peek() == '"'
        name = scanner.name("a field or a relation")
        following = scanner.peek()
    if following == "(" and name == "count" and not (quoted or spread) and scanner.take("()"):
        _refuse_cast(scanner)
        return SelectField(None, alias, "count")
    if following in ("(", "!"):
        return _embed(scanner, depth, name, alias, spread)
    if spread:
        raise scanner.expected("'(' (only a relation can be spread)")
    if following in ("", ","):
        return SelectField(FieldRef(name), alias)
    ref = scanner.field(name)
    aggregate = _aggregate(scanner) if scanner.take(".") else None
    _refuse_cast(scanner)
    return SelectField(ref, alias, aggregate)


def _embed(
    scanner: Scanner, depth: int, relation: str, alias: str | None, spread: bool
) -> SelectEmbed:
    if depth >= MAX_NESTING:
        raise scanner.error_here(f"relations nested more than {MAX_NESTING} deep")
    hint: str | None = None
    join: str | None = None
    while scanner.take("!"):
        quoted = scanner.peek() == '"'
        word = scanner.name("a hint, 'inner' or 'left'")
        if word in ("inner", "left") and not quoted:
            if join is not None:
                raise scanner.error_here(f"'!{word}' besides '!{join}'")
            join = word
        elif hint is not None:
            raise scanner.error_here("a second hint")
        else:
            hint = word
    scanner.require("(", "'!' or '('")
    scanner.skip_spaces()
    items: tuple[SelectItem, ...] = ()
    if not scanner.take(")"):
        items = _items(scanner, depth + 1)
        scanner.require(")", "',' or ')'")
    return SelectEmbed(relation, items, alias, hint, join == "inner", spread)


def _aggregate(scanner: Scanner) -> Aggregate:
    start = scanner.position
    aggregate = _AGGREGATES.get(scanner.name(f"one of {_AGGREGATE_CALLS}"))
    if aggregate is None:
        scanner.position = start
        raise scanner.expected(f"one of {_AGGREGATE_CALLS}")
    scanner.require("()")
    return aggregate


def _refuse_cast(scanner: Scanner) -> None:
    if scanner.text.startswith("::", scanner.position):
        raise scanner.error_here("an unsupported cast ('::type')")


def _order_term(scanner: Scanner) -> OrderTerm:
    relation: list[str] = []
    name = scanner.name("a field")
    while scanner.take("("):
        if len(relation) >= MAX_NESTING:
            raise scanner.error_here(f"relations nested more than {MAX_NESTING} deep")
        relation.append(name)
        name = scanner.name("a field")
    ref = scanner.field(name)
    for _ in relation:
        scanner.require(")")
    descending, nulls = _direction(scanner)
    return OrderTerm(ref, tuple(relation), descending, nulls)


def _direction(scanner: Scanner) -> tuple[bool, Literal["first", "last"] | None]:
    descending = False
    expected = "asc, desc, nullsfirst or nullslast (a relation's field is relation(field))"
    while scanner.take("."):
        start = scanner.position
        word = scanner.name(expected)
        if word == "nullsfirst":
            return descending, "first"
        if word == "nullslast":
            return descending, "last"
        if word not in ("asc", "desc") or expected == "nullsfirst or nullslast":
            scanner.position = start
            raise scanner.expected(expected)
        descending = word == "desc"
        expected = "nullsfirst or nullslast"
    return descending, None
