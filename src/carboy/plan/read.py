"""A query string and the schema to a ``ReadPlan`` and its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ..access import Access, Condition
from ..errors import InvalidQuery, LimitExceeded, NotFound, Problem
from ..request.ast import (
    OrderTerm,
    Path,
    Query,
    ScopedFilter,
    SelectAll,
    SelectEmbed,
    SelectField,
    SelectItem,
)
from ..schema import Kind, Relation, Resource, from_text
from .context import Context
from .cursor import decode_cursor
from .filters import plan_filter, plan_search
from .nodes import (
    Compare,
    Embed,
    Every,
    Exists,
    FieldValue,
    Node,
    Output,
    OutputValue,
    Predicate,
    Rank,
    ReadPlan,
    RelatedValue,
    Sort,
)
from .order import default_terms, nulls_first, order_scope, plan_order, rows_after

Count: TypeAlias = Literal["exact", "planned", "estimated"]
_SUMMABLE = (Kind.INTEGER, Kind.FLOAT, Kind.NUMERIC)
_ORDERABLE = (*_SUMMABLE, Kind.TEXT, Kind.DATETIME, Kind.DATE, Kind.TIME)


class Window(Struct, frozen=True):
    """Which part of a list is answered: what ``limit`` and ``offset`` came to."""

    limit: int
    offset: int = 0
    page: int | None = None


class PolicyValues(Struct, frozen=True):
    """The values of a resource's policy start at number ``first``."""

    first: int
    resource: Resource


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
    policy_values: tuple[PolicyValues, ...] = ()


class Parameters:
    """A query's filters, orders and limits by path; what no embed takes up is a 400."""

    def __init__(self, query: Query) -> None:
        self._filters: dict[Path, list[ScopedFilter]] = {}
        for scoped in query.filters:
            self._filters.setdefault(scoped.path, []).append(scoped)
        self._orders = dict(query.orders)
        self._limits = dict(query.limits)
        self._offsets = dict(query.offsets)

    def filters(self, path: Path) -> list[ScopedFilter]:
        """The filters of one embed."""
        return self._filters.pop(path, [])

    def order(self, path: Path) -> tuple[OrderTerm, ...] | None:
        """The order of one embed."""
        return self._orders.pop(path, None)

    def limit(self, path: Path) -> int | None:
        """The limit of one embed."""
        return self._limits.pop(path, None)

    def offset(self, path: Path) -> int | None:
        """The offset of one embed."""
        return self._offsets.pop(path, None)

    def require_none_left(self) -> None:
        """Refuse parameters for an embed that select doesn't have."""
        left = [(path, scoped[0].parameter) for path, scoped in self._filters.items()]
        for word, found in (
            ("order", self._orders),
            ("limit", self._limits),
            ("offset", self._offsets),
        ):
            left += [(path, ".".join((*path, word))) for path in found]
        for path, parameter in left:
            raise InvalidQuery.at(
                parameter,
                f"{parameter}: select has no embed {'.'.join(path)!r}; add {path[-1]}(...) to it",
            )


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
            where=_all([node.where, search]),
            order=order,
            limit=window.limit + 1,
            offset=context.slot(window.offset, Kind.INTEGER) if window.offset else None,
        ),
        allowed=context.allowed,
        shown=window.limit,
        after=after,
        cursor=scope is not None and not by_offset,
        counted=count,
        estimate_above=settings.estimate_above if count == "estimated" else 0,
    )
    values = tuple(context.values)
    return PlannedRead(plan, values, window, scope, by_offset, policy_values(context))


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
        root=replace(node, where=_all([*parts, node.where]), order=()),
        allowed=context.allowed,
        versioned=context.versioned(resource),
    )
    return PlannedRead(plan, tuple(context.values), policy_values=policy_values(context))


def policy_values(context: Context) -> tuple[PolicyValues, ...]:
    """Where the values of the policies' conditions are among the plan's."""
    return tuple(PolicyValues(a.slots[0].index, a.resource) for a in context.allowed if a.slots)


def at_access(planned: PlannedRead, access: Access) -> PlannedRead:
    """The plan of an actor for another whose conditions have the same form."""
    if not planned.policy_values:
        return planned
    values = list(planned.values)
    for place in planned.policy_values:
        condition = access.rows(place.resource, "read")
        assert isinstance(condition, Condition)
        values[place.first : place.first + len(condition.values)] = condition.values
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


def _bounded(window: Window) -> Window:
    if window.offset + window.limit >= 2**62:
        raise InvalidQuery.at("offset", "offset: no table is that long")
    return window


def plan_node(
    context: Context,
    resource: Resource,
    select: tuple[SelectItem, ...] | None,
    parameters: Parameters,
    path: Path,
    relation: Relation | None = None,
) -> Node:
    """One resource's part of the plan, with everything below it."""
    items = select if select is not None else (SelectAll(),)
    grouped = any(isinstance(i, SelectField) and i.aggregate for i in items)
    outputs, embeds, inner = _outputs(context, resource, items, parameters, path, grouped)
    filters = [
        plan_filter(context, resource, scoped.filter, scoped.parameter, embeds)
        for scoped in parameters.filters(path)
    ]
    prefix = ".".join((*path, ""))
    terms = parameters.order(path)
    limit, offset = parameters.limit(path), parameters.offset(path)
    if relation is not None and not relation.many and (limit is not None or offset is not None):
        raise InvalidQuery.at(f"{prefix}limit", f"{prefix}limit: {path[-1]!r} is a single row")
    if grouped:
        order = _grouped_order(outputs, terms, f"{prefix}order")
    elif terms is None:
        order = default_order(context, resource)
    else:
        order = plan_order(context, resource, terms, f"{prefix}order")
    return Node(
        resource=resource,
        outputs=outputs,
        where=_all([*filters, *inner]),
        order=order,
        limit=limit if path else None,
        offset=context.slot(offset, Kind.INTEGER) if offset and path else None,
        grouped=grouped,
    )


def default_order(context: Context, resource: Resource) -> tuple[Sort, ...]:
    """The resource's own order, else its key."""
    return plan_order(context, resource, default_terms(context, resource), "order")


def _outputs(
    context: Context,
    resource: Resource,
    items: tuple[SelectItem, ...],
    parameters: Parameters,
    path: Path,
    grouped: bool,
) -> tuple[tuple[Output | Embed, ...], dict[str, Exists], list[Predicate]]:
    """What each row puts out, that each embed has a row, and which of these it must fulfil."""
    outputs: list[Output | Embed] = []
    embeds: dict[str, Exists] = {}
    inner: list[Predicate] = []
    for item in items:
        if isinstance(item, SelectEmbed):
            embed = _embed(context, resource, item, parameters, path, grouped)
            if embed.spread or embed.node.outputs:
                outputs.append(embed)
            exists = Exists(embed.relation, embed.node.resource, embed.node.where)
            embeds[embed.key] = exists
            if item.inner:
                inner.append(exists)
        elif isinstance(item, SelectAll):
            outputs += [Output(f.name, FieldValue(f)) for f in context.readable(resource)]
        else:
            outputs.append(_output(context, resource, item))
    context.spend("FIELDS", context.settings.max_fields, "select", len(outputs))
    _require_distinct(outputs)
    return tuple(outputs), embeds, inner


def _output(context: Context, resource: Resource, item: SelectField) -> Output:
    if item.ref is None:
        return Output(item.alias or "count", None, "count", given=item.alias is not None)
    value = context.value(resource, item.ref, "select")
    if item.aggregate is not None:
        allowed = {"sum": _SUMMABLE, "avg": _SUMMABLE, "min": _ORDERABLE, "max": _ORDERABLE}
        kind = value.type.kind
        if item.aggregate in allowed and kind not in allowed[item.aggregate]:
            raise InvalidQuery.at(
                "select",
                f"select: {item.aggregate}() doesn't work on {item.ref.name!r} ({kind.value})",
            )
    last = item.ref.steps[-1] if item.ref.steps else item.ref.name
    key = item.alias or item.aggregate or str(last)
    given = item.alias is not None or (bool(item.ref.steps) and not item.aggregate)
    return Output(key, value, item.aggregate, given)


def _embed(
    context: Context,
    resource: Resource,
    item: SelectEmbed,
    parameters: Parameters,
    path: Path,
    grouped: bool,
) -> Embed:
    key = item.alias or item.relation
    below = (*path, key)
    relation, target = context.relation(resource, item.relation, item.hint, "select")
    depth = min(
        context.settings.max_depth,
        resource.max_depth if resource.max_depth is not None else context.settings.max_depth,
    )
    if len(below) > depth and not context.trusted:
        detail = f"select: {'.'.join(below)!r} is deeper than {depth} (CARBOY_MAX_DEPTH)"
        raise LimitExceeded(
            detail, [Problem(detail=detail, code=LimitExceeded.code, parameter="select")]
        )
    context.spend("EMBEDS", context.settings.max_embeds, "select")
    node = plan_node(context, target, item.items, parameters, below, relation)
    if grouped and relation.many:
        raise InvalidQuery.at(
            "select", f"select: {key!r} leads to many rows; it can't stand beside an aggregate"
        )
    if item.spread and not relation.many and node.grouped:
        raise InvalidQuery.at("select", f"select: {key!r} is one row; aggregate without a spread")
    return Embed(key, relation, node, item.spread, given=item.alias is not None)


def _grouped_order(
    outputs: tuple[Output | Embed, ...], terms: tuple[OrderTerm, ...] | None, parameter: str
) -> tuple[Sort, ...]:
    """A grouped answer is ordered by what it puts out, with all of it as tie-breaker."""
    keys = output_keys(outputs)
    sorts: list[Sort] = []
    for term in terms or ():
        if term.relation or term.ref.steps or term.ref.name not in keys:
            raise InvalidQuery.at(
                parameter,
                f"{parameter}: a grouped answer is ordered by its own keys ({', '.join(keys)})",
            )
        sorts.append(
            Sort(OutputValue(keys.index(term.ref.name)), term.descending, nulls_first(term))
        )
    taken = {s.value.index for s in sorts if isinstance(s.value, OutputValue)}
    rest = [Sort(OutputValue(i)) for i in range(len(keys)) if i not in taken]
    return (*sorts, *rest)


def output_keys(outputs: Sequence[Output | Embed]) -> list[str]:
    """The keys of the JSON object, with those that spreads add."""
    keys: list[str] = []
    for output in outputs:
        if isinstance(output, Embed) and output.spread:
            keys += output_keys(output.node.outputs)
        else:
            keys.append(output.key)
    return keys


def _require_distinct(outputs: Sequence[Output | Embed]) -> None:
    keys = output_keys(outputs)
    for key in keys:
        if keys.count(key) > 1:
            raise InvalidQuery.at(
                "select", f"select: two values are called {key!r}; give one an alias (name:{key})"
            )


def _all(parts: Sequence[Predicate | None]) -> Predicate | None:
    present = tuple(p for p in parts if p is not None)
    if len(present) < 2:
        return present[0] if present else None
    return Every(present)
