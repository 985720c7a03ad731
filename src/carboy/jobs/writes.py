"""Writes of many rows that are answered at once and done later, under the actor's policies."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace

from ..access import Action, Actor
from ..errors import IdempotencyMismatch, LimitExceeded
from ..execute import execute_write
from ..execute.transaction import transaction
from ..pipeline import Api, find_resource
from ..plan import Context, WritePlan, WriteResult, plan_write
from ..request import Prefer, Query, Request, parse_query
from ..request.ast import Condition, FieldRef, ScopedFilter
from ..respond import Response, respond_json
from ..schema import Resource, SchemaError
from . import queue
from .functions import ATTEMPTS, JobFunction
from .job import Job
from .queue import NewJob
from .table import TABLE, make_ready

NAME = "carboy.write"
_ACTIONS: dict[str, Action] = {"POST": "create", "PATCH": "update", "DELETE": "delete"}


class StoredWrite(Struct, frozen=True):
    """A request as the table of jobs has it; ``keys`` name the rows where a view does."""

    method: str
    resource: str
    path: str
    query_string: str
    body: str | None
    prefer: Prefer
    idempotency_key: str | None
    keys: tuple[str, ...] | None


def is_for_later(api: Api, request: Request) -> bool:
    """Whether the client prefers not to wait for a write of many rows (RFC 7240, section 4.1).

    One in another database than the jobs' can't be completed in one transaction with its job.
    """
    prefer, resource = request.prefer, api.schema.resources.get(request.resource)
    return (
        prefer.respond_async
        and (resource is None or resource.bind is None)
        and request.method in _ACTIONS
        and request.key is None
        and prefer.tx != "rollback"
    )


def answer_later(api: Api, path: str, request: Request, who: Actor) -> Response:
    """Check a write of a collection as far as that goes without the database, and queue it.

    ``path`` is where jobs are read.
    """
    find_resource(api, request)
    response = _queue(api, path, request, None, who)
    headers = (*response.headers, ("Preference-Applied", "respond-async"))
    return replace(response, headers=headers)


def update_later(
    api: Api, path: str, resource: Resource, keys: Sequence[object], body: bytes, who: Actor
) -> Response:
    """Queue a change of the rows with these keys, for a view of the application's own."""
    if len(resource.key) != 1:
        raise SchemaError(f"resource {resource.name!r}: a key of several parts can't be listed")
    if resource.bind is not None:
        raise SchemaError(f"resource {resource.name!r} isn't in the database that has the jobs")
    limit = api.settings.max_rows
    if len(keys) > limit:
        raise LimitExceeded(f"{len(keys)} keys are more than {limit} rows (CARBOY_MAX_ROWS)")
    texts = tuple(map(str, keys))
    request = Request("PATCH", resource.name, None, _of_keys(resource, texts), Prefer(), body=body)
    return _queue(api, path, request, texts, who)


def _of_keys(resource: Resource, keys: tuple[str, ...]) -> Query:
    name = resource.key[0].name
    return Query(filters=(ScopedFilter((), Condition(FieldRef(name), "in", keys), name),))


def _queue(
    api: Api, path: str, request: Request, keys: tuple[str, ...] | None, who: Actor
) -> Response:
    """A 202 that says where the job is, after planning has found no fault."""
    request = replace(request, prefer=replace(request.prefer, return_="minimal"))
    _plan(api, request, who, trusted=keys is not None)
    _require_known(api, request, who)
    write = StoredWrite(
        method=request.method,
        resource=request.resource,
        path=request.path,
        query_string=request.query_string,
        body=None if request.body is None else request.body.decode(),
        prefer=request.prefer,
        idempotency_key=request.idempotency_key,
        keys=keys,
    )
    arguments = msgspec.json.encode({"write": write})
    job = NewJob(NAME, arguments, ATTEMPTS, actor=who, key=_key(request, who))
    make_ready(api.database)
    with transaction(api.database, who) as session:
        id_ = queue.add(api.database, session.connection(), job)
        known = session.connection().scalar(sa.select(TABLE.c.arguments).filter_by(id=id_))
        if known != arguments.decode():
            raise IdempotencyMismatch("this Idempotency-Key came before with another request")
    message = f"Bulk {_ACTIONS[request.method]} queued"
    response = respond_json({"task_id": id_, "message": message}, 202)
    return replace(response, headers=(*response.headers, ("Location", f"{path}/{id_}")))


def _require_known(api: Api, request: Request, who: Actor) -> None:
    """Refuse strangers where it depends on the rows what they may do: they queue no work."""
    access, action = api.policies.access(who), _ACTIONS[request.method]
    if who.is_anonymous and access.rows(find_resource(api, request), action) is not True:
        raise access.refusal(f"{request.resource!r}: you may not {action} rows here")


def _key(request: Request, who: Actor) -> str | None:
    """What makes a repeated request the same job: the client's key, which is the client's alone."""
    if request.idempotency_key is None:
        return None
    text = f"{queue.encode_actor(who)} {request.idempotency_key}"
    return blake2b(text.encode(), digest_size=32).hexdigest()


def _plan(api: Api, request: Request, who: Actor, *, trusted: bool) -> WritePlan:
    """The plan of the write, under the policies as they are for the actor now."""
    context = Context(api.schema, api.settings, api.policies.access(who), trusted=trusted)
    return plan_write(context, find_resource(api, request), request)


def _request(api: Api, write: StoredWrite) -> Request:
    request = Request(
        method=write.method,
        resource=write.resource,
        key=None,
        query=parse_query(write.query_string),
        prefer=write.prefer,
        idempotency_key=write.idempotency_key,
        body=None if write.body is None else write.body.encode(),
        path=write.path,
        query_string=write.query_string,
    )
    if write.keys is None:
        return request
    return replace(request, query=_of_keys(find_resource(api, request), write.keys))


def write_function(api: Api) -> JobFunction:
    """The job that does such a write, completed in the write's own transaction."""

    def run(job: Job, write: dict[str, Any]) -> None:
        stored = msgspec.convert(write, StoredWrite)
        plan = _plan(api, _request(api, stored), job.actor, trusted=stored.keys is not None)

        def finish(connection: sa.Connection, result: WriteResult) -> None:
            job.finish(connection, {"affected": result.affected, "created": result.created})

        execute_write(api.database, plan, finish)

    return JobFunction(NAME, run)
