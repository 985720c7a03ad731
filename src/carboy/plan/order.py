"""Orders, and where a cursor stands in them."""

from __future__ import annotations

from decimal import Decimal

from ..errors import InvalidQuery
from ..request.ast import OrderTerm
from ..request.select import parse_order
from ..schema import Kind, Resource, from_json, from_text
from .context import Context
from .nodes import (
    Compare,
    Every,
    FieldValue,
    Is,
    Not,
    Predicate,
    RelatedValue,
    Slot,
    Some,
    Sort,
    innermost,
)

_UNSORTABLE = (Kind.JSON, Kind.ARRAY)


def plan_order(
    context: Context, resource: Resource, terms: tuple[OrderTerm, ...], parameter: str
) -> tuple[Sort, ...]:
    """The terms, and the key as tie-breaker, so that an order is always total where it can be."""
    context.spend("FILTERS", context.settings.max_filters, parameter, len(terms))
    sorts = [_sort(context, resource, term, parameter) for term in terms]
    return (*sorts, *tie_breakers(resource, sorts))


def default_terms(context: Context, resource: Resource) -> tuple[OrderTerm, ...]:
    """The resource's own order, without what the actor may not read."""
    terms = parse_order(resource.order) if resource.order is not None else ()
    return tuple(t for t in terms if _is_known(context, resource, t.relation, t.ref.name))


def _is_known(context: Context, resource: Resource, path: tuple[str, ...], name: str) -> bool:
    """Whether an order's term leads to a value that the actor may read."""
    if not path:
        field = resource.fields.get(name)
        return field is None or context.trusted or field in context.readable(resource)
    try:
        _, target = context.relation(resource, path[0], None, "order")
    except InvalidQuery:
        return False
    return _is_known(context, target, path[1:], name)


def tie_breakers(resource: Resource, sorts: list[Sort]) -> list[Sort]:
    """The key fields that the sorts don't have yet, in the last sort's direction.

    One direction for all lets a single index serve both.
    """
    present = {
        s.value.field for s in sorts if isinstance(s.value, FieldValue) and not s.value.steps
    }
    descending = bool(sorts) and sorts[-1].descending
    return [Sort(FieldValue(field), descending) for field in resource.key if field not in present]


def _sort(context: Context, resource: Resource, term: OrderTerm, parameter: str) -> Sort:
    value = context.related_value(resource, term.relation, term.ref, parameter)
    if value.type.kind in _UNSORTABLE:
        raise InvalidQuery.at(
            parameter, f"{parameter}: {term.ref} is {value.type.kind.value}; it has no order"
        )
    return Sort(value, term.descending, nulls_first(term))


def nulls_first(term: OrderTerm) -> bool:
    """As in PostgreSQL, NULL is greater than everything unless the term says otherwise."""
    return term.nulls == "first" if term.nulls else term.descending


def order_scope(resource: Resource, order: tuple[Sort, ...]) -> str:
    """What a cursor belongs to, as text."""
    return ",".join([resource.name, *(_describe(sort) for sort in order)])


def _describe(sort: Sort) -> str:
    names = []
    value = sort.value
    while isinstance(value, RelatedValue):
        names.append(value.relation.name)
        value = value.value
    if isinstance(value, FieldValue):
        names += [value.field.name, *map(str, value.steps)]
    return ".".join(names) + f" {sort.descending:d}{sort.nulls_first:d}"


def rows_after(context: Context, order: tuple[Sort, ...], values: tuple[object, ...]) -> Predicate:
    """The rows that come after the one with these values in a total order."""
    if len(values) != len(order):
        raise InvalidQuery.at("after", "after: this cursor belongs to another order")
    slots = [_slot(context, sort, v) for sort, v in zip(order, values, strict=True)]
    predicate: Predicate = Some(())
    for sort, slot in zip(reversed(order), reversed(slots), strict=True):
        tied = Every((_equal(sort, slot), predicate))
        predicate = Some((_beyond(sort, slot), tied))
    bound = _bound(order[0], slots[0])
    # The bound is implied, but lets the database enter the index at the right place.
    return Every((bound, predicate)) if bound is not None else predicate


def _value(sort: Sort) -> FieldValue | RelatedValue:
    assert isinstance(sort.value, FieldValue | RelatedValue)
    return sort.value


def _slot(context: Context, sort: Sort, raw: object) -> Slot | None:
    value = _value(sort)
    if raw is None:
        return None
    try:
        # Text straight from the database is not held to the limits of what may be written.
        if isinstance(raw, str):
            converted = _unbounded(value.type.kind, raw) or from_text(value.type, raw)
        elif value.type.kind is Kind.OTHER:
            converted = from_text(value.type, str(raw))
        else:
            converted = from_json(value.type, raw)
    except ValueError:
        raise InvalidQuery.at("after", "after: this cursor belongs to another schema") from None
    inner = innermost(value)
    return context.slot(converted, value.type.kind, None if inner.steps else inner.field)


def _unbounded(kind: Kind, text: str) -> object:
    """Values that a column can hold and a request can't name: only databases write them."""
    if text.lower() not in ("infinity", "-infinity", "nan"):
        return None
    if kind is Kind.FLOAT:
        return float(text)
    if kind is Kind.NUMERIC:
        return Decimal(text)
    # PostgreSQL's dates have infinities; Python's don't.
    return text if kind in (Kind.DATE, Kind.DATETIME) else None


def _beyond(sort: Sort, slot: Slot | None) -> Predicate:
    value = _value(sort)
    if slot is None:
        return Not(Is(value, "null")) if sort.nulls_first else Some(())
    further = Compare("lt" if sort.descending else "gt", value, slot)
    if value.nullable and not sort.nulls_first:
        return Some((further, Is(value, "null")))
    return further


def _equal(sort: Sort, slot: Slot | None) -> Predicate:
    value = _value(sort)
    return Is(value, "null") if slot is None else Compare("eq", value, slot)


def _bound(sort: Sort, slot: Slot | None) -> Predicate | None:
    value = _value(sort)
    if slot is None or value.nullable:
        return None
    return Compare("lte" if sort.descending else "gte", value, slot)
