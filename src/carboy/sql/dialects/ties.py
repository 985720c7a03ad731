"""What ties an embed's rows to the row around them, taken out of its condition."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement, FromClause, operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList

from .base import Expression, Tied, refuse


def split_ties(condition: ColumnElement[bool], parent: FromClause) -> Tied:
    """The condition in two: what holds among the rows, and what ties them to ``parent``."""
    inside: list[ColumnElement[bool]] = []
    ties: list[ColumnElement[bool]] = []
    for part in _conjuncts(condition):
        (ties if _sees(part, parent) else inside).append(part)
    for tie in ties:
        if not isinstance(tie, BinaryExpression) or tie.operator is not operators.eq:
            raise refuse("groups of a relationship that isn't by equal values", "MariaDB")
    own: dict[Expression, None] = {}
    for tie in ties:
        columns = (e for e in visitors.iterate(tie) if isinstance(e, sa.ColumnClause))
        own |= dict.fromkeys(c for c in columns if c.table is not parent)
    return Tied(sa.and_(sa.true(), *inside), sa.and_(sa.true(), *ties), tuple(own))


def _conjuncts(condition: Any) -> list[Any]:
    if isinstance(condition, sa.sql.elements.Grouping):
        return _conjuncts(condition.element)
    if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        return [part for clause in condition.clauses for part in _conjuncts(clause)]
    return [condition]


def _sees(condition: ColumnElement[bool], parent: FromClause) -> bool:
    found = visitors.iterate(condition)
    return any(isinstance(e, sa.ColumnClause) and e.table is parent for e in found)
