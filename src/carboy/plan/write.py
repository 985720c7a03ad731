"""A write: the body's rows checked against the schema, every fault found before any SQL."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ..access import Access, Actor
from ..access import Action as AccessAction
from ..errors import (
    BadRequest,
    FilterRequired,
    InvalidBody,
    InvalidQuery,
    NotFound,
    PayloadTooLarge,
    PreconditionRequired,
)
from ..request import EntityTags, Request, parse_json, parse_rows, split_key
from ..schema import Field, Resource, Schema, as_attribute, from_text
from .context import Context
from .node import Parameters, plan_node
from .nodes import Allowed, Compare, Every, FieldValue, Node, Predicate, ReadPlan, Slot
from .recording import Recording, plan_recording
from .rows import RowPlan, RowReader
from .unique import conflict_fields, require_distinct

Action: TypeAlias = Literal["create", "update", "replace", "upsert", "delete"]


class Returning(Struct, frozen=True):
    """How written rows are read for the answer; the key's values go into the first slots."""

    plan: ReadPlan
    values: tuple[Any, ...]


class Once(Struct, frozen=True):
    """An Idempotency-Key, a digest of the request it came with, and how long it is kept.

    ``scope`` is who asks, with which roles: nobody else is answered what they were.
    """

    scope: str
    key: str
    request: str
    hours: int


class WritePlan(Struct, frozen=True, eq=False):
    """A whole write.

    ``rows`` are the body's; an update or replace has one, for all rows that ``where`` matches.
    ``key`` is the item's, by attribute values, or None for a collection. ``many`` says that the
    answer is an array. ``conflict`` are the fields that an upsert matches by. ``access`` is the
    actor's; ``allowed`` and ``versioned`` are as in a ``ReadPlan``.
    """

    action: Action
    resource: Resource
    schema: Schema
    access: Access
    allowed: tuple[Allowed, ...] = ()
    versioned: tuple[Field, ...] = ()
    rows: tuple[RowPlan, ...] = ()
    key: tuple[Any, ...] | None = None
    where: Predicate | None = None
    values: tuple[Any, ...] = ()
    many: bool = False
    conflict: tuple[Field, ...] = ()
    keep_existing: bool = False
    create_missing: bool = False
    match: EntityTags | None = None
    max_rows: int = 0
    max_affected: int | None = None
    returning: Returning | None = None
    dry_run: bool = False
    once: Once | None = None
    recording: Recording | None = None


def plan_write(context: Context, resource: Resource, request: Request) -> WritePlan:
    """The plan of a POST, PATCH, PUT or DELETE; raises InvalidBody with every fault it finds.

    Where the actor may create rows and read none, the plan has no representation.
    """
    if not resource.key:
        raise BadRequest(f"{resource.name!r} has no key, so its rows can't be written")
    _refuse_parameters(request)
    action = _action(request)
    _require(context.access, resource, action)
    key_slots = [context.slot(None, field.type.kind, field) for field in resource.key]
    parameters = Parameters(request.query)
    read, where = None, None
    if request.method != "POST" or context.access.rows(resource, "read") is not False:
        context.allow(resource)
        node = plan_node(context, resource, request.query.select, parameters, ())
        parameters.require_none_left()
        read = _read_plan(context, node, key_slots)
        where = node.where if request.key is None else _both(read.root.where, node.where)
        if request.key is None and request.method != "POST" and where is None:
            raise FilterRequired(
                f"{request.method} on all of {resource.name!r} needs a filter, such as "
                f"{resource.key[0].name}=gt.0"
            )
    plan = WritePlan(
        action=action,
        resource=resource,
        schema=context.schema,
        access=context.access,
        allowed=context.allowed,
        versioned=context.versioned(resource),
        key=None if request.key is None else item_key(resource, split_key(request.key)),
        where=where,
        values=tuple(context.values),
        many=request.key is None,
        match=request.if_match,
        max_rows=context.settings.max_rows,
        max_affected=request.prefer.max_affected,
        dry_run=request.prefer.tx == "rollback",
        once=_once(context, request),
        recording=plan_recording(context.schema, context.access.who),
    )
    if read is not None and _wants_representation(request):
        plan = replace(plan, returning=Returning(read, plan.values))
    if resource.require_match and request.key is not None and request.if_match is None:
        raise PreconditionRequired(
            f"{resource.name!r} changes only under If-Match: send the ETag of the version you read"
        )
    if request.method == "DELETE":
        return plan
    return _with_rows(context, plan, request)


def _require(access: Access, resource: Resource, action: Action) -> None:
    """Refuse what the actor may do to no row; of an upsert one half may do."""
    if action in ("create", "upsert") and access.rows(resource, "create") is not False:
        # Whoever can't be entered as who creates a row learns nothing by trying.
        access.values(resource, "create")
    if action in ("upsert", "replace") and access.rows(resource, "create") is not False:
        return
    asked: dict[Action, AccessAction] = {"create": "create", "delete": "delete"}
    access.require(resource, asked.get(action, "update"))


def _read_plan(context: Context, node: Node, key_slots: Sequence[Slot]) -> ReadPlan:
    """How a written row is read."""
    if node.grouped:
        raise InvalidQuery.at("select", "select: a write answers rows; it takes no aggregates")
    keyed = tuple(
        Compare("eq", FieldValue(field), slot)
        for field, slot in zip(node.resource.key, key_slots, strict=True)
    )
    root = replace(node, where=Every(keyed), order=())
    return ReadPlan(root, context.allowed, context.versioned(node.resource))


def _with_rows(context: Context, plan: WritePlan, request: Request) -> WritePlan:
    """The plan with its body read."""
    resource, settings = plan.resource, context.settings
    value = parse_json(request.body or b"", max_depth=settings.max_json_depth)
    given, is_array = parse_rows(value)
    if is_array and request.method != "POST":
        raise InvalidBody(f"{request.method} takes one object, not an array")
    if len(given) > settings.max_rows:
        raise PayloadTooLarge(
            f"the body has {len(given)} rows, more than {settings.max_rows} (CARBOY_MAX_ROWS)"
        )
    conflict: tuple[Field, ...] = ()
    if plan.action == "upsert":
        conflict = conflict_fields(context.access, resource, request.query.on_conflict)
    reader = RowReader(context, request.prefer.missing, is_array)
    creatable = context.access.writable(resource, "create")
    create_missing = plan.action == "replace" and all(f in creatable for f in resource.key)
    rows = []
    for number, data in enumerate(given):
        pointer = f"/{number}" if is_array else ""
        row = reader.root(resource, data, pointer, plan.action, plan.key, conflict)
        rows.append(row)
    if conflict:
        require_distinct(rows, conflict, reader.faults)
    reader.faults.raise_any()
    return replace(
        plan,
        rows=tuple(rows),
        many=is_array if request.method == "POST" else plan.many,
        conflict=conflict,
        keep_existing=request.prefer.resolution == "ignore-duplicates",
        create_missing=create_missing,
    )


def item_key(resource: Resource, key: Sequence[str]) -> tuple[Any, ...]:
    """A path's key as attribute values; a key that no row can have is a 404 like any other."""
    if len(key) != len(resource.key):
        names = ",".join(field.name for field in resource.key)
        raise NotFound(f"{resource.name!r} has the key {names}; give as many values")
    try:
        return tuple(
            as_attribute(field, from_text(field.type, text))
            for field, text in zip(resource.key, key, strict=True)
        )
    except ValueError:
        raise NotFound(f"{resource.name!r} has no row {','.join(key)!r}") from None


def _once(context: Context, request: Request) -> Once | None:
    if request.idempotency_key is None:
        return None
    parts = (request.method, request.path, request.query_string, request.body or b"")
    digest = blake2b(digest_size=32)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    hours = context.settings.idempotency_hours
    return Once(_scope(context.access.who), request.idempotency_key, digest.hexdigest(), hours)


def _scope(who: Actor) -> str:
    """Whom a kept result may be answered to."""
    if who.is_anonymous:
        return ""
    parts = "\0".join([type(who.id).__name__, str(who.id), *sorted(who.roles)])
    return blake2b(parts.encode(), digest_size=16).hexdigest()


def _both(key: Predicate | None, inner: Predicate | None) -> Predicate | None:
    return Every((key, inner)) if key is not None and inner is not None else key


def _action(request: Request) -> Action:
    if request.method == "POST":
        upsert = request.prefer.resolution is not None or bool(request.query.on_conflict)
        return "upsert" if upsert else "create"
    actions: dict[str, Action] = {"PATCH": "update", "PUT": "replace", "DELETE": "delete"}
    return actions[request.method]


def _wants_representation(request: Request) -> bool:
    default = "minimal" if request.method == "DELETE" else "representation"
    return (request.prefer.return_ or default) == "representation"


def _refuse_parameters(request: Request) -> None:
    """Refuse what only a read can do: a write that ignored it would do more than was meant."""
    query = request.query
    found: dict[str, object] = {
        "limit": dict(query.limits).get(()),
        "offset": dict(query.offsets).get(()),
        "order": dict(query.orders).get(()),
        "page": query.page,
        "per_page": query.per_page,
        "after": query.after,
        "q": query.search,
    }
    if request.method != "POST" and query.on_conflict:
        found["on_conflict"] = query.on_conflict
    if request.method == "POST" or request.key is not None:
        found |= {f.parameter: f for f in query.filters if not f.path}
    for name, value in found.items():
        if value is not None:
            raise InvalidQuery.at(
                name, f"{name}: {request.method} takes no {name} here; it writes what it names"
            )
