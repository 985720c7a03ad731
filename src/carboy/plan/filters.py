"""Filters of a query string to predicates over the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import InvalidQuery
from ..request.ast import Condition, Filter, Logic
from ..schema import Kind, Resource, from_text
from .context import Context, is_text
from .nodes import (
    Compare,
    Contains,
    Every,
    Exists,
    FieldValue,
    FullText,
    Is,
    Member,
    Not,
    Predicate,
    Search,
    Slot,
    Some,
)
from .text_query import parse_text_query, write_text_query

_UNORDERED = (Kind.JSON, Kind.ARRAY, Kind.BYTES)
_COMPARISONS = ("eq", "neq", "gt", "gte", "lt", "lte", "isdistinct")
_FULL_TEXT = ("fts", "plfts", "phfts", "wfts")


def plan_filter(
    context: Context,
    resource: Resource,
    filter_: Filter,
    parameter: str,
    embeds: Mapping[str, Exists],
) -> Predicate:
    """A condition or a tree of them, on one resource; ``embeds`` can be asked whether they are."""
    if isinstance(filter_, Logic):
        parts = tuple(
            plan_filter(context, resource, child, parameter, embeds) for child in filter_.children
        )
        tree: Predicate = Every(parts) if filter_.op == "and" else Some(parts)
        return Not(tree) if filter_.negated else tree
    embed = embeds.get(filter_.ref.name)
    if embed is not None and filter_.op == "is" and filter_.ref.name not in resource.fields:
        predicate = _embed_is(context, embed, filter_, parameter)
    else:
        predicate = _condition(context, resource, filter_, parameter)
    return Not(predicate) if filter_.negated else predicate


def _condition(
    context: Context, resource: Resource, condition: Condition, parameter: str
) -> Predicate:
    value = context.value(resource, condition.ref, parameter)
    texts = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    context.spend("FILTERS", context.settings.max_filters, parameter, max(1, len(texts)))
    if condition.op == "in":
        _comparable(value, "in", parameter)
        return _member(context, value, texts, parameter)
    if condition.quantifier is not None:
        parts = tuple(_single(context, value, condition, text, parameter) for text in texts)
        return Some(parts) if condition.quantifier == "any" else Every(parts)
    return _single(context, value, condition, texts[0], parameter)


def _single(
    context: Context, value: FieldValue, condition: Condition, text: str, parameter: str
) -> Predicate:
    op = condition.op
    if op == "is":
        return _is(value, text, parameter)
    if op in ("like", "ilike"):
        _textual(value, op, parameter)
        return Compare(op, value, context.slot(_pattern(op, text, parameter), Kind.TEXT))
    if op in _FULL_TEXT:
        _textual(value, op, parameter)
        config = condition.config or context.settings.search_config
        query = _text_query(text, parameter) if op == "fts" else text
        return FullText(op, value, context.slot(query, Kind.TEXT), config)
    if op in ("cs", "cd", "ov"):
        return Contains(op, value, _container_slot(context, value, op, text, parameter))
    assert op in _COMPARISONS
    _comparable(value, op, parameter)
    return Compare(op, value, context.value_slot(value, text, parameter))


def _is(value: FieldValue, text: str, parameter: str) -> Predicate:
    if text == "null":
        return Is(value, "null")
    if text == "not_null":
        return Not(Is(value, "null"))
    if value.type.kind is not Kind.BOOLEAN:
        raise InvalidQuery.at(parameter, f"{parameter}: is.{text} needs a boolean field")
    if text == "unknown":
        return Is(value, "null")
    return Is(value, "true" if text == "true" else "false")


def _embed_is(context: Context, embed: Exists, condition: Condition, parameter: str) -> Predicate:
    """``author=is.null``: whether an embed has no row, after its own filters."""
    context.spend("FILTERS", context.settings.max_filters, parameter)
    if condition.value not in ("null", "not_null"):
        raise InvalidQuery.at(parameter, f"{parameter}: an embed is null or not_null")
    return Not(embed) if condition.value == "null" else embed


def _member(
    context: Context, value: FieldValue, texts: tuple[str, ...], parameter: str
) -> Predicate:
    """IN, its list filled up to a power of two so that few statements serve all lengths."""
    slots = [context.value_slot(value, text, parameter) for text in texts]
    if slots:
        last = slots[-1]
        wanted = 1 << (len(slots) - 1).bit_length()
        for _ in range(wanted - len(slots)):
            slots.append(context.slot(context.values[last.index], last.kind, last.field))
    return Member(value, tuple(slots))


def _comparable(value: FieldValue, op: str, parameter: str) -> None:
    kind = value.type.kind
    if kind is Kind.JSON and value.steps:
        raise InvalidQuery.at(parameter, f"{parameter}: {op} compares text; end the path with ->>")
    if kind in (Kind.JSON, Kind.ARRAY) or (kind in _UNORDERED and op in ("gt", "gte", "lt", "lte")):
        raise InvalidQuery.at(
            parameter, f"{parameter}: {op} doesn't work on {value.field.name!r} ({kind.value})"
        )


def _textual(value: FieldValue, op: str, parameter: str) -> None:
    if not is_text(value):
        raise InvalidQuery.at(
            parameter,
            f"{parameter}: {op} needs text; {value.field.name!r} is {value.type.kind.value}",
        )


def _pattern(op: str, text: str, parameter: str) -> str:
    """A LIKE pattern; PostgreSQL refuses one that ends in the middle of an escape."""
    if (len(text) - len(text.rstrip("\\"))) % 2:
        raise InvalidQuery.at(parameter, f"{parameter}: {op} can't end with a single backslash")
    return text.replace("*", "%")


def _text_query(text: str, parameter: str) -> str:
    if not text.strip():
        return ""
    try:
        return write_text_query(parse_text_query(text))
    except ValueError as fault:
        raise InvalidQuery.at(parameter, f"{parameter}: fts: {fault}") from None


def _container_slot(
    context: Context, value: FieldValue, op: str, text: str, parameter: str
) -> Slot:
    kind = value.type.kind
    if kind is Kind.JSON:
        try:
            decoded = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            raise InvalidQuery.at(parameter, f"{parameter}: {op} takes JSON here") from None
        _require_plain(context, decoded, parameter)
        if op == "ov" and not isinstance(decoded, list):
            raise InvalidQuery.at(parameter, f"{parameter}: ov takes a JSON array")
        return context.slot(msgspec.json.encode(decoded).decode(), Kind.JSON)
    if kind is Kind.ARRAY:
        assert value.type.item is not None
        items = [_item(value, part, parameter) for part in _braced(text, parameter)]
        return context.slot(items, Kind.ARRAY, value.field)
    raise InvalidQuery.at(
        parameter,
        f"{parameter}: {op} needs a JSON or array field; {value.field.name!r} is {kind.value}",
    )


def _require_plain(context: Context, document: object, parameter: str) -> None:
    """Refuse what the databases' own JSON parsers refuse: NUL, and very deep nesting."""
    limit = context.settings.max_json_depth
    level = [document]
    for _ in range(limit + 1):
        following: list[object] = []
        for value in level:
            if isinstance(value, dict):
                following += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                following += value
            elif isinstance(value, str) and "\0" in value:
                raise InvalidQuery.at(parameter, f"{parameter}: the NUL character is not allowed")
        if not following:
            return
        level = following
    raise InvalidQuery.at(
        parameter, f"{parameter}: JSON deeper than {limit} (CARBOY_MAX_JSON_DEPTH)"
    )


def _braced(text: str, parameter: str) -> list[str]:
    """The elements of ``{a,b}``; a quoted one may hold commas."""
    if not (text.startswith("{") and text.endswith("}")):
        raise InvalidQuery.at(parameter, f"{parameter}: write an array as {{a,b}}")
    parts: list[str] = []
    current, quoted, escaped = "", False, False
    for char in text[1:-1]:
        if escaped:
            current, escaped = current + char, False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            parts.append(current)
            current = ""
        else:
            current += char
    if quoted or escaped:
        raise InvalidQuery.at(parameter, f"{parameter}: a quote is not closed")
    return [*parts, current] if parts or current or text != "{}" else []


def _item(value: FieldValue, text: str, parameter: str) -> Any:
    assert value.type.item is not None
    try:
        return from_text(value.type.item, text)
    except ValueError as fault:
        raise InvalidQuery.at(parameter, f"{parameter}: {text!r} {fault}") from None


def plan_search(context: Context, resource: Resource, text: str) -> Search | None:
    """``q=``: words separated by spaces; none of them means no search."""
    fields = tuple(f for f in resource.search if context.may_search(resource, f))
    if not fields:
        raise InvalidQuery.at("q", f"q: {resource.name!r} declares no search fields")
    words = text.split()
    context.spend("FILTERS", context.settings.max_filters, "q", len(words))
    if not words:
        return None
    slots = tuple(context.slot(word, Kind.TEXT) for word in words)
    return Search(resource, fields, slots, context.settings.search_config)
