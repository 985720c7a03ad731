"""The statements of a write that SQLAlchemy's unit of work doesn't make itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, aliased, lazyload

from ..plan import ReadPlan
from ..plan.nodes import Predicate
from ..schema import Field, Resource
from .dialects import Dialect, Expression
from .expressions import Expressions, own_column
from .read import ReadBuilder


def locked_rows(
    resource: Resource, mapper: Mapper[Any], where: Predicate | None, dialect: Dialect
) -> sa.Select[Any]:
    """The mapped objects that match and their versions, locked until the transaction ends."""
    expressions = Expressions(dialect)
    source = expressions.alias(resource.source)
    entity = aliased(mapper, source)
    version = dialect.row_version(resource, source)
    condition = None if where is None else expressions.predicate(where, source)
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
    builder = ReadBuilder(dialect)
    source = builder.expressions.alias(plan.root.resource.source)
    body = dialect.body(builder.object(plan.root, source))
    columns = [own_column(source, f.column) for f in resource.key]
    return sa.select(body, *columns).select_from(source).where(_one_of(columns, keys))


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
