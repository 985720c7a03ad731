"""The statements of a write that SQLAlchemy's unit of work doesn't make itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, aliased, lazyload
from sqlalchemy.sql.elements import KeyedColumnElement

from ..access import Condition
from ..plan import ReadPlan, WritePlan
from ..schema import Field, Resource
from .dialects import Dialect, Expression, stored_columns
from .expressions import Expressions, own_column, policy_condition
from .read import ReadBuilder


def locked_rows(plan: WritePlan, mapper: Mapper[Any], dialect: Dialect) -> sa.Select[Any]:
    """The mapped objects that match and their versions, locked until the transaction ends."""
    resource = plan.resource
    expressions = Expressions(dialect, plan.allowed)
    source = expressions.alias(resource.source)
    entity = aliased(mapper, source)
    version = dialect.row_version(stored_columns(resource, source, plan.versioned))
    condition = None if plan.where is None else expressions.predicate(plan.where, source)
    query = sa.select(entity, version).where(expressions.limited(resource, source, condition))
    return _locked(query).order_by(*(own_column(source, f.column) for f in resource.key))


def rows_with(
    resource: Resource,
    mapper: Mapper[Any],
    fields: Sequence[Field],
    values: Sequence[tuple[Any, ...]],
    *,
    lock: bool,
) -> sa.Select[Any]:
    """The mapped objects whose ``fields`` have one of the values."""
    columns = [mapper.column_attrs[f.name].class_attribute for f in fields]
    query = sa.select(mapper).where(_one_of(columns, values)).options(lazyload("*"))
    if not lock:
        return query
    # In one order everywhere, so that two of these don't wait for each other.
    keys = [mapper.column_attrs[f.name].class_attribute for f in resource.key]
    return _locked(query).order_by(*keys)


def keyed_objects(
    plan: ReadPlan, dialect: Dialect, keys: Sequence[tuple[Any, ...]]
) -> sa.Select[Any]:
    """The JSON objects of the rows with these keys, each before its key, in any order."""
    resource = plan.root.resource
    builder = ReadBuilder(dialect, plan.allowed)
    source = builder.expressions.alias(plan.root.resource.source)
    body = dialect.body(builder.object(plan.root, source))
    columns = [own_column(source, f.column) for f in resource.key]
    condition = builder.expressions.limited(resource, source, _one_of(columns, keys))
    return sa.select(body, *columns).select_from(source).where(condition)


def rows_within(
    resource: Resource,
    condition: Condition,
    columns: Sequence[KeyedColumnElement[Any]],
    values: Sequence[tuple[Any, ...]],
) -> sa.Select[Any]:
    """Which of these values of ``columns`` are in rows that fulfil a policy's condition."""
    source = resource.source.alias("t1")
    types = condition.form.types.values()
    binds = [sa.literal(v, t) for v, t in zip(condition.values, types, strict=True)]
    allowed = policy_condition(resource, condition.form, binds, source)
    own = [own_column(source, column) for column in columns]
    return sa.select(*own).select_from(source).where(_one_of(own, values), allowed)


def rows_left(resource: Resource, keys: Sequence[tuple[Any, ...]]) -> sa.Select[Any]:
    """How many rows with these keys there are."""
    source = resource.source
    columns = [own_column(source, field.column) for field in resource.key]
    count = sa.select(sa.func.count()).select_from(source)
    return count.where(_one_of(columns, keys))


def _locked(query: sa.Select[Any]) -> sa.Select[Any]:
    # Not the lock that foreign keys pointing at the row would have to wait for.
    return query.with_for_update(key_share=True).options(lazyload("*"))


def _one_of(columns: Sequence[Any], values: Sequence[tuple[Any, ...]]) -> Expression:
    if len(columns) == 1:
        condition: Expression = columns[0].in_([value for (value,) in values])
        return condition
    # Not a tuple's IN: its elements would lose their types on the way.
    matches = [sa.and_(*(c == v for c, v in zip(columns, value, strict=True))) for value in values]
    return sa.or_(sa.false(), *matches)
