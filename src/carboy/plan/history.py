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
from .nodes import Allowed, Compare, Every, FieldValue, Predicate, Slot
from .read import Window, list_window
from .recording import linking_relations, recorded_key
from .write import item_key

_LAST = "/history"


class HistoryPlan(Struct, frozen=True):
    """A read of one row's history, newest first.

    ``where`` finds the row itself, and ``allowed`` says whether it may be read, as in a
    ``ReadPlan``. ``all_rows`` says that every row may be, and so the history of those that are
    gone. Of the changes only ``names`` are shown. The slots are values as in a ``ReadPlan``;
    ``key`` is the row's key as text.
    """

    resource: Resource
    where: Predicate
    allowed: tuple[Allowed, ...]
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
    context.allow(resource)
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
    plan = HistoryPlan(
        resource=resource,
        where=Every(tuple(parts)),
        allowed=context.allowed,
        all_rows=_reads_all(context, resource),
        names=tuple(_readable_names(context, resource)),
        key=context.slot(text, Kind.TEXT),
        limit=window.limit,
        offset=context.slot(window.offset, Kind.INTEGER) if window.offset else None,
        after=after,
    )
    return PlannedHistory(plan, tuple(context.values), window, scope)


def _reads_all(context: Context, resource: Resource) -> bool:
    """Whether every row may be read, and so the history of those that are gone."""
    return context.access.rows(resource, "read") is True


def _readable_names(context: Context, resource: Resource) -> Iterator[str]:
    """The fields that may be read, and the relations whose rows and links all may be."""
    yield from (field.name for field in context.readable(resource))
    for relation in linking_relations(resource):
        names = (name for name in (relation.target, relation.through) if name is not None)
        ends = [context.schema.resources[name] for name in names]
        if context.reaches(resource, relation) and all(_reads_all(context, r) for r in ends):
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
