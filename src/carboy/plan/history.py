"""A read of a row's history: which entries, and what of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from ..errors import InvalidQuery
from ..request import Query, split_key
from ..schema import Kind, Resource
from .context import Context
from .cursor import decode_cursor
from .nodes import Compare, Every, FieldValue, Predicate, Slot
from .read import Window, list_window
from .recording import linking_relations, recorded_key
from .write import item_key

_LAST = "/history"


class HistoryPlan(Struct, frozen=True):
    """A read of one row's history, newest first.

    ``where`` finds the row itself, if it may be read; ``all_rows`` says that every row may be, and
    so the history of those that are gone. Of the changes only ``names`` are shown. The slots are
    values as in a ``ReadPlan``; ``key`` is the row's key as text.
    """

    resource: Resource
    where: Predicate
    all_rows: bool
    names: tuple[str, ...]
    key: Slot
    limit: int
    offset: Slot | None = None
    after: Slot | None = None


class PlannedHistory(Struct, frozen=True):
    """A plan and its values; the rest is as in a ``PlannedRead``."""

    plan: HistoryPlan
    values: tuple[Any, ...]
    window: Window
    scope: str
    by_offset: bool = False


def history_key(text: str) -> str | None:
    """The row whose history a path means by ``<key>/history``; None where it means a row.

    A key that itself ends so is written in quotes.
    """
    row = text.removesuffix(_LAST)
    return row if row and row != text else None


def plan_history(
    context: Context, resource: Resource, key: str, query: Query, *, cursor_key: bytes
) -> PlannedHistory:
    """The plan of a GET of one row's history; raises NotFound for a key that no row can have."""
    _refuse_parameters(query)
    values = item_key(resource, split_key(key))
    parts: list[Predicate] = [
        Compare("eq", FieldValue(field), context.slot(value, field.type.kind, field))
        for field, value in zip(resource.key, values, strict=True)
    ]
    text = recorded_key(resource, values)
    window = list_window(context, resource, query)
    scope = f"history {resource.name} {text}"
    after = None
    if query.after is not None:
        (last,) = decode_cursor(query.after, cursor_key, scope).values
        after = context.slot(last, Kind.INTEGER)
    rule = _row_rule(context, resource)
    plan = HistoryPlan(
        resource=resource,
        where=Every((*parts, rule) if rule is not None else tuple(parts)),
        all_rows=rule is None,
        names=tuple(_readable_names(context, resource)),
        key=context.slot(text, Kind.TEXT),
        limit=window.limit,
        offset=context.slot(window.offset, Kind.INTEGER) if window.offset else None,
        after=after,
    )
    return PlannedHistory(plan, tuple(context.values), window, scope)


def _row_rule(context: Context, resource: Resource) -> Predicate | None:
    """The rows that may be read; None for all."""
    return None


def _readable_names(context: Context, resource: Resource) -> Iterator[str]:
    """The fields that may be read, and the relations whose rows all may be."""
    yield from (field.name for field in resource.readable)
    for relation in linking_relations(resource):
        target = context.schema.resources[relation.target]
        if target.exposed and _row_rule(context, target) is None:
            yield relation.name


def _refuse_parameters(query: Query) -> None:
    given = (
        ("select", query.select),
        ("q", query.search),
        ("page", query.page),
        ("per_page", query.per_page),
        ("on_conflict", query.on_conflict or None),
        *((scoped.parameter, scoped) for scoped in query.filters),
        *((".".join((*path, "order")), path) for path, _ in query.orders),
        *((".".join((*path, "limit")), path) for path, _ in query.limits if path),
        *((".".join((*path, "offset")), path) for path, _ in query.offsets if path),
    )
    for name, value in given:
        if value is not None:
            raise InvalidQuery.at(name, f"{name}: a history takes only limit, offset and after")
