"""A select of the application's own, and the shape of its answer, to a ``ViewPlan``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.sql import visitors
from sqlalchemy.types import NullType

from ..errors import InvalidQuery
from ..request.ast import Query
from ..request.select import parse_select
from ..schema import FieldType, Kind, SchemaError, bind_of, field_type, flat_lists
from ..settings import Settings
from .context import Context
from .node import Parameters, plan_node
from .nodes import Allowed, Node, Slot
from .read import Window


class Labelled(Struct, frozen=True):
    """A column of a select that answers no mapped class."""

    key: str
    type: FieldType
    column_type: Any


class ViewPlan(Struct, frozen=True):
    """What becomes of each row: the object of ``node``, or of the labelled ``columns``.

    ``bind`` names the database, as a resource's does.
    """

    node: Node | None
    columns: tuple[Labelled, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    one: bool = False
    limit: int | None = None
    offset: Slot | None = None
    counted: bool = False
    bind: str | None = None


class PlannedView(Struct, frozen=True):
    """A view's plan, its values, the application's select, and the page asked for."""

    plan: ViewPlan
    values: tuple[Any, ...]
    select: sa.Select[Any]
    window: Window | None = None


def plan_view(
    context: Context,
    select: sa.Select[Any],
    shape: str | None,
    *,
    one: bool,
    page: int | None,
    per_page: int | None,
) -> PlannedView:
    """Bind a shape to what the select answers: one mapped class, or labelled columns."""
    node, columns = _rows(context, select, shape)
    window = _window(context.settings, page, per_page)
    if window is not None and (one or select._limit_clause is not None):
        raise SchemaError("read(): page goes with a list whose select has no limit of its own")
    plan = ViewPlan(
        node=node,
        columns=columns,
        allowed=context.allowed,
        one=one,
        limit=window.limit if window else None,
        offset=context.slot(window.offset, Kind.INTEGER) if window else None,
        counted=window is not None,
        bind=node.resource.bind if node is not None else bind_of_select(select),
    )
    return PlannedView(plan, tuple(context.values), flat_lists(select), window)


def bind_of_select(select: sa.Select[Any]) -> str | None:
    """The one database that the select's tables are in; SchemaError for tables of several."""
    tables = {each for each in visitors.iterate(select) if isinstance(each, sa.Table)}
    binds = {bind_of(table) for table in tables}
    if len(binds) > 1:
        raise SchemaError(
            f"the select has tables of several databases: "
            f"{', '.join(sorted(table.fullname for table in tables))}"
        )
    return next(iter(binds), None)


def _rows(
    context: Context, select: sa.Select[Any], shape: str | None
) -> tuple[Node | None, tuple[Labelled, ...]]:
    described = select.column_descriptions
    entity = described[0].get("entity") if len(described) == 1 else None
    if entity is None or described[0]["expr"] is not entity:
        if shape is not None:
            raise SchemaError("read(): a shape needs a select of one mapped class, select(Post)")
        return None, tuple(_labelled(select.selected_columns))
    mapper = sa.inspect(entity).mapper
    resource = context.schema.of_mapper(mapper)
    if resource is None:
        raise SchemaError(f"read(): give {mapper.class_.__name__} to api.resource() first")
    context.allow(resource)
    items = parse_select(shape) if shape is not None else None
    node = plan_node(context, resource, items, Parameters(Query()), ())
    if node.grouped:
        raise SchemaError("read(): group in the select itself, and label its columns")
    return node, ()


def _labelled(columns: Iterable[Any]) -> list[Labelled]:
    """Labels and types; a function whose type nobody knows is shown as the database shows it."""
    unknown = FieldType(Kind.TEXT)
    return [
        Labelled(c.key, unknown if isinstance(c.type, NullType) else field_type(c.type), c.type)
        for c in columns
    ]


def _window(settings: Settings, page: int | None, per_page: int | None) -> Window | None:
    if page is None and per_page is None:
        return None
    page = 1 if page is None else page
    size = settings.page_size if per_page is None else per_page
    for name, value in (("page", page), ("per_page", size)):
        if value < 1:
            raise InvalidQuery.at(name, f"{name}: must be at least 1")
    if size > settings.max_page_size:
        raise InvalidQuery.at(
            "per_page", f"per_page: at most {settings.max_page_size} (CARBOY_MAX_PAGE_SIZE)"
        )
    if page * size >= 2**62:
        raise InvalidQuery.at("page", "page: no table is that long")
    return Window(size, (page - 1) * size, page)
