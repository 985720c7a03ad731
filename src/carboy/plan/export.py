"""A query string and the schema to an ``ExportPlan``: a list's rows, all of them."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from ..errors import InvalidQuery
from ..request.ast import Query
from ..schema import Kind, Resource
from .context import Context
from .filters import plan_search
from .node import Parameters, output_columns, plan_node
from .nodes import ExportPlan, Output, Rank, Sort, every

# Whose JSON is text that people wrote, or that may begin like a formula.
_TEXTUAL = (Kind.TEXT, Kind.ENUM, Kind.BYTES, Kind.OTHER)


class Column(Struct, frozen=True):
    """One key of each row, and what its values are beside null.

    A ``document`` is JSON and no plain value; ``text`` may hold anything; ``plain`` are numbers,
    moments and the like.
    """

    key: str
    holds: Literal["document", "text", "plain"]


class PlannedExport(Struct, frozen=True):
    """A plan, the values of its slots, and what each row puts out."""

    plan: ExportPlan
    values: tuple[Any, ...]
    columns: tuple[Column, ...]


def plan_export(context: Context, resource: Resource, query: Query) -> PlannedExport:
    """The plan of an export; what is about pages is an InvalidQuery."""
    context.allow(resource)
    for name, given in (
        ("page", query.page),
        ("per_page", query.per_page),
        ("after", query.after),
        ("on_conflict", query.on_conflict or None),
    ):
        if given is not None:
            raise InvalidQuery.at(name, f"{name}: an export is of all rows, and takes no {name}")
    limit, offset = dict(query.limits).get(()), dict(query.offsets).get(())
    search = plan_search(context, resource, query.search) if query.search is not None else None
    parameters = Parameters(query)
    node = plan_node(context, resource, query.select, parameters, ())
    parameters.require_none_left()
    order = node.order
    if search is not None and not node.grouped and () not in dict(query.orders):
        order = (Sort(Rank(search), descending=True), *order)
    root = replace(
        node,
        where=every([node.where, search]),
        order=order,
        limit=limit,
        offset=context.slot(offset, Kind.INTEGER) if offset else None,
    )
    columns = tuple(_column(key, output) for key, output in output_columns(root))
    return PlannedExport(ExportPlan(root, context.allowed), tuple(context.values), columns)


def _column(key: str, output: Output | None) -> Column:
    if output is None:
        return Column(key, "document")
    if output.value is None or output.aggregate in ("count", "sum", "avg"):
        return Column(key, "plain")
    kind = output.value.type.kind
    if kind in (Kind.JSON, Kind.ARRAY):
        return Column(key, "document")
    return Column(key, "text" if kind in _TEXTUAL else "plain")
