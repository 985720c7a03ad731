"""A query string and the schema to a ``ReadPlan`` and its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ..access import Access, Condition
from ..errors import InvalidQuery, LimitExceeded, NotFound, Problem
from ..request.ast import (
    Query,
)
from ..schema import Kind, Resource, from_text
from .context import Context
from .cursor import decode_cursor
from .filters import plan_search
from .node import Parameters, plan_node
from .nodes import (
    Compare,
    FieldValue,
    Predicate,
    Rank,
    ReadPlan,
    RelatedValue,
    Slot,
    Sort,
    every,
)
from .order import order_scope, rows_after

Count: TypeAlias = Literal["exact", "planned", "estimated"]
_FIRST_PAGES = 10


class Window(Struct, frozen=True):
    """Which part of a list is answered: what ``limit`` and ``offset`` came to."""

    limit: int
    offset: int = 0
    page: int | None = None


class PlannedRead(Struct, frozen=True):
    """A plan, the values of its slots, and what the answer says about pages.

    ``scope`` is what a cursor to the next page is signed for, or None where the order has no
    cursor; ``by_offset`` says that the cursor counts rows.
    """

    plan: ReadPlan
    values: tuple[Any, ...]
    window: Window | None = None
    scope: str | None = None
    by_offset: bool = False


def plan_list(
    context: Context,
    resource: Resource,
    query: Query,
    *,
    count: Count | None,
    cursor_key: bytes,
) -> PlannedRead:
    """The plan of a collection's GET."""
    settings = context.settings
    context.allow(resource)
    _refuse_on_conflict(query)
    window = list_window(context, resource, query)
    parameters = Parameters(query)
    ordered = () in dict(query.orders)
    search = plan_search(context, resource, query.search) if query.search is not None else None
    node = plan_node(context, resource, query.select, parameters, ())
    parameters.require_none_left()
    ranked = search is not None and not ordered and not node.grouped
    order = node.order
    if search is not None and ranked:
        order = (Sort(Rank(search), descending=True), *order)
    # A cursor says the order's values to whoever decodes it.
    by_offset = ranked or not resource.key or not all(_shown(context, resource, s) for s in order)
    scope = None if node.grouped else order_scope(resource, order)
    after: Predicate | None = None
    if query.after is not None:
        if scope is None:
            raise InvalidQuery.at("after", "after: a grouped answer has no cursor; use page")
        cursor = decode_cursor(query.after, cursor_key, scope)
        if by_offset:
            window = Window(window.limit, cursor.offset)
        else:
            after = rows_after(context, order, cursor.values)
    if window.page is not None or (count is not None and node.grouped):
        # The number of pages has to be right, and nobody estimates groups.
        count = "exact"
    if count is not None and any(allowed.form is not None for allowed in context.allowed):
        # The planner's statistics are about rows, too, that the actor may not read.
        count = "exact"
    plan = ReadPlan(
        root=replace(
            node,
            where=every([node.where, search]),
            order=order,
            limit=window.limit + 1,
            offset=_offset(context, window),
        ),
        allowed=context.allowed,
        shown=window.limit,
        after=after,
        cursor=scope is not None and not by_offset,
        counted=count,
        estimate_above=settings.estimate_above if count == "estimated" else 0,
    )
    values = tuple(context.values)
    return PlannedRead(plan, values, window, scope, by_offset)


def plan_item(context: Context, resource: Resource, query: Query) -> PlannedRead:
    """The plan of an item's GET, of whichever item: ``at_key`` fills in its first values."""
    if not resource.key:
        raise NotFound(f"{resource.name!r} has no key, so its rows have no addresses")
    parts = tuple(
        Compare("eq", FieldValue(field), context.slot(None, field.type.kind, field))
        for field in resource.key
    )
    context.allow(resource)
    for name, given in (
        ("limit", dict(query.limits).get(())),
        ("offset", dict(query.offsets).get(())),
        ("order", dict(query.orders).get(())),
        ("after", query.after),
        ("page", query.page),
        ("per_page", query.per_page),
        ("q", query.search),
    ):
        if given is not None:
            raise InvalidQuery.at(name, f"{name}: an item takes no {name}")
    _refuse_on_conflict(query)
    parameters = Parameters(query)
    node = plan_node(context, resource, query.select, parameters, ())
    parameters.require_none_left()
    if node.grouped:
        raise InvalidQuery.at("select", "select: an item takes no aggregates; ask the collection")
    plan = ReadPlan(
        root=replace(node, where=every([*parts, node.where]), order=()),
        allowed=context.allowed,
        versioned=context.versioned(resource),
    )
    return PlannedRead(plan, tuple(context.values))


def at_access(planned: PlannedRead, access: Access) -> PlannedRead:
    """The plan of an actor for another whose conditions have the same form."""
    limits = [allowed for allowed in planned.plan.allowed if allowed.slots]
    if not limits:
        return planned
    values = list(planned.values)
    for limit in limits:
        condition = access.rows(limit.resource, "read")
        assert isinstance(condition, Condition)
        first = limit.slots[0].index
        values[first : first + len(condition.values)] = condition.values
    return replace(planned, values=tuple(values))


def _shown(context: Context, resource: Resource, sort: Sort) -> bool:
    """Whether what a cursor would hold may be read."""
    value = sort.value
    while isinstance(value, RelatedValue):
        resource, value = value.resource, value.value
    if context.trusted or not isinstance(value, FieldValue):
        return True
    return value.field in context.readable(resource)


def _refuse_on_conflict(query: Query) -> None:
    if query.on_conflict:
        raise InvalidQuery.at("on_conflict", "on_conflict: only writes take it")


def at_key(planned: PlannedRead, resource: Resource, key: Sequence[str]) -> PlannedRead:
    """The plan for the item with this key; a key that no row can have is a 404 like any other."""
    if len(key) != len(resource.key):
        names = ",".join(field.name for field in resource.key)
        raise NotFound(f"{resource.name!r} has the key {names}; give as many values")
    try:
        values = [from_text(f.type, text) for f, text in zip(resource.key, key, strict=True)]
    except ValueError:
        raise NotFound(f"{resource.name!r} has no row {','.join(key)!r}") from None
    return replace(planned, values=(*values, *planned.values[len(key) :]))


def list_window(context: Context, resource: Resource, query: Query) -> Window:
    """Limit and offset from limit/offset or page/per_page, within the largest page size."""
    settings = context.settings
    limits, offsets = dict(query.limits), dict(query.offsets)
    paged = query.page is not None or query.per_page is not None
    if paged and (() in limits or () in offsets or query.after is not None):
        raise InvalidQuery.at("page", "page: use page and per_page, or limit and offset, or after")
    if query.after is not None and () in offsets:
        raise InvalidQuery.at("offset", "offset: after already says where to start")
    largest = resource.max_page_size or settings.max_page_size
    default = min(resource.page_size or settings.page_size, largest)
    name, size = ("per_page", query.per_page) if paged else ("limit", limits.get(()))
    size = default if size is None else size
    if size > largest and not context.trusted:
        detail = f"{name}: at most {largest} (CARBOY_MAX_PAGE_SIZE or max_page_size)"
        raise LimitExceeded(
            detail, [Problem(detail=detail, code=LimitExceeded.code, parameter=name)]
        )
    if not paged:
        return _bounded(Window(size, offsets.get((), 0)))
    page = query.page or 1
    return _bounded(Window(size, (page - 1) * size, page))


def _offset(context: Context, window: Window) -> Slot | int | None:
    """An offset as a number on a list's first pages, which many ask for; else in a slot.

    Each number is a statement of its own.
    """
    if not window.offset:
        return None
    if window.offset < _FIRST_PAGES * window.limit and window.offset % window.limit == 0:
        return window.offset
    return context.slot(window.offset, Kind.INTEGER)


def _bounded(window: Window) -> Window:
    if window.offset + window.limit >= 2**62:
        raise InvalidQuery.at("offset", "offset: no table is that long")
    return window
