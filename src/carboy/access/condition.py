"""A rule's answer for one actor: yes, no, or a condition whose values travel apart from its form.

Conditions of the same form compare as equal whatever their values, so that all actors share the
statements that are made of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.sql import ColumnElement, operators, visitors
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    ClauseList,
    False_,
    Grouping,
    True_,
)
from sqlalchemy.sql.util import _deep_deannotate

from ..schema import FieldType, Kind, Resource, field_type, flat_lists, from_text
from .actor import Actor, Nobody, NobodysId
from .policy import Action, PolicyError, Rule

_LIKE_IS = (
    operators.is_,
    operators.is_not,
    operators.is_distinct_from,
    operators.is_not_distinct_from,
)


class Form:
    """A condition without its values: an expression, and its parameters' types by their keys."""

    __slots__ = ("_hash", "_key", "expression", "types")

    def __init__(
        self, key: object, expression: ColumnElement[bool], types: Mapping[str, Any]
    ) -> None:
        self.expression = expression
        self.types = types
        self._key = key
        self._hash = hash(key)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Form) and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash


class Condition(Struct, frozen=True):
    """A condition on the rows of a resource: its form, and a value for each parameter."""

    form: Form
    values: tuple[Any, ...] = ()


def decide(rule: Rule, who: Actor, resource: Resource, action: Action) -> bool | Condition:
    """What a rule answers; raises PolicyError for what is neither yes or no nor SQL."""
    verdict: Any = rule(who) if callable(rule) else rule
    if isinstance(verdict, Nobody):
        return False
    if isinstance(verdict, bool):
        return verdict
    try:
        if verdict is None:  # which SQLAlchemy takes for NULL; a return was forgotten
            raise sa.exc.ArgumentError
        expression = sa.and_(verdict)
    except sa.exc.ArgumentError:
        raise PolicyError(
            f"resource {resource.name!r}: the rule for {action} answered {verdict!r}; "
            "it must be True, False or an SQL expression"
        ) from None
    if isinstance(expression, True_ | False_):
        return isinstance(expression, True_)
    if who.is_anonymous:
        _refuse_is(expression, resource, action)
    return _condition(flat_lists(_open(expression)))


def _open(expression: ColumnElement[bool]) -> ColumnElement[bool]:
    """``has()`` and ``any()`` close their criterion to what replaces columns and parameters."""
    opened: ColumnElement[bool] = _deep_deannotate(expression, ["no_replacement_traverse"])
    return opened


def _condition(expression: ColumnElement[bool]) -> Condition:
    key = expression._generate_cache_key()
    if key is None:
        # Nothing tells its form from its values: it is one of its own, compiled each time.
        return Condition(Form(object(), expression, {}))
    found = _parameters(expression)
    types = {bind.key: found[bind.key] for bind in key.bindparams}
    values = {b.key: _fitting(types[b.key], b.effective_value) for b in key.bindparams}
    return Condition(Form(key.key, expression, types), tuple(values.values()))


def _parameters(expression: ColumnElement[bool]) -> Mapping[str, Any]:
    """The parameters' types: a compared one has that of the column on the other side.

    SQLAlchemy takes the type from the value, and an id from a token is text.
    """
    types: dict[str, Any] = {}
    for element in visitors.iterate(expression):
        if isinstance(element, BindParameter):
            types.setdefault(element.key, element.type)
        elif isinstance(element, BinaryExpression):
            for near, far in ((element.left, element.right), (element.right, element.left)):
                types |= {bind.key: _wide(near.type) for bind in _binds(far)}
    return types


def _wide(type_: Any) -> Any:
    """The type with room for any id: an integer past the column's own equals none there."""
    return sa.BigInteger() if isinstance(type_, sa.Integer) else type_


def _binds(side: Any) -> Iterator[BindParameter[Any]]:
    """A parameter, or those of a list."""
    if isinstance(side, BindParameter):
        yield side
    elif isinstance(side, Grouping):
        yield from _binds(side.element)
    elif isinstance(side, ClauseList):
        for clause in side.clauses:
            yield from _binds(clause)


def _fitting(type_: Any, value: Any) -> Any:
    """The value as its column's type has it; NULL, which equals nothing, where it can't be."""
    kind = field_type(type_).kind
    if kind is Kind.TEXT and isinstance(value, int | uuid.UUID):
        return str(value)
    if isinstance(value, str) and kind in (Kind.INTEGER, Kind.UUID):
        try:
            value = from_text(FieldType(kind), value)
        except ValueError:
            return None
    return None if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def _refuse_is(expression: ColumnElement[bool], resource: Resource, action: Action) -> None:
    """``is_(who.id)`` would be IS NULL for nobody, which rows fulfil."""
    for element in visitors.iterate(expression):
        if isinstance(element, BinaryExpression) and element.operator in _LIKE_IS:
            sides = (element.left, element.right)
            if any(isinstance(side, NobodysId) for side in sides):
                raise PolicyError(
                    f"resource {resource.name!r}: the rule for {action} compares who.id by IS; "
                    "compare it by =="
                )
