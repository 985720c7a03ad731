"""One resource's part of a read plan, with everything below it."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidQuery, LimitExceeded, Problem
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
from ..schema import Kind, Relation, Resource
from .context import Context
from .filters import plan_filter
from .nodes import Embed, Exists, FieldValue, Node, Output, OutputValue, Predicate, Sort, every
from .order import default_terms, nulls_first, plan_order

_SUMMABLE = (Kind.INTEGER, Kind.FLOAT, Kind.NUMERIC)
_ORDERABLE = (*_SUMMABLE, Kind.TEXT, Kind.DATETIME, Kind.DATE, Kind.TIME)


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
        where=every([*filters, *inner]),
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


def output_columns(node: Node, *, many: bool = False) -> list[tuple[str, Output | None]]:
    """The keys of the JSON object with what makes each; None where that is JSON."""
    columns: list[tuple[str, Output | None]] = []
    for output in node.outputs:
        if isinstance(output, Output):
            columns.append((output.key, None if many else output))
        elif output.spread:
            columns += output_columns(output.node, many=many or output.relation.many)
        else:
            columns.append((output.key, None))
    return columns


def _require_distinct(outputs: Sequence[Output | Embed]) -> None:
    keys = output_keys(outputs)
    for key in keys:
        if keys.count(key) > 1:
            raise InvalidQuery.at(
                "select", f"select: two values are called {key!r}; give one an alias (name:{key})"
            )
