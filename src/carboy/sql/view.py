"""The statement of an application's own select: its rows as JSON, and a page's total."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import FromClause

from ..plan.view import PlannedView
from .dialects import Dialect, Expression
from .expressions import number
from .read import ReadBuilder


def view_statement(planned: PlannedView, dialect: Dialect) -> sa.Select[Any]:
    """The application's select as a subquery, in its own order, with JSON made of each row."""
    plan = planned.plan
    builder = ReadBuilder(dialect, plan.allowed)
    select = _allowed_rows(planned, builder)
    everything = select.order_by(None)
    if plan.limit is not None and plan.offset is not None:
        offset = builder.expressions.slot(plan.offset)
        select = select.limit(number(plan.limit)).offset(offset)
    rows = dialect.in_order(select).subquery(builder.expressions.fresh("r"))
    value = _object(planned, builder, rows)
    if plan.one:
        return sa.select(dialect.body(value)).select_from(rows)
    total: Expression = sa.null()
    if plan.counted:
        counted = everything.subquery(builder.expressions.fresh("n"))
        total = sa.select(sa.func.count()).select_from(counted).scalar_subquery()
    array = dialect.body(dialect.json_aggregate(value))
    columns: list[Expression] = [array, sa.func.count(), total]
    return sa.select(*columns).select_from(rows)


def _allowed_rows(planned: PlannedView, builder: ReadBuilder) -> sa.Select[Any]:
    """The application's select, without the rows that the actor may not read."""
    node, select = planned.plan.node, planned.select
    if node is None:
        return select
    source = sa.inspect(select.column_descriptions[0]["entity"]).selectable
    return select.where(builder.expressions.limited(node.resource, source, None))


def _object(planned: PlannedView, builder: ReadBuilder, rows: FromClause) -> Expression:
    if planned.plan.node is not None:
        return builder.object(planned.plan.node, rows)
    dialect = builder.dialect
    pairs = [
        (dialect.json_key(c.key, given=False), dialect.json_value(c.type, c.column_type, column))
        for c, column in zip(planned.plan.columns, rows.columns, strict=True)
    ]
    return dialect.json_object(pairs)
