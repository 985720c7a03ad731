"""The request path, whole: parse, plan, compile, execute, respond.

Each stage is a function from one frozen value to the next, or an ``ApiError``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.orm import Session, scoped_session

from .access import Access, Actor, Policies
from .cache import Cache, Keeping, Outcome
from .errors import InvalidQuery, MethodNotAllowed, NotFound
from .events import Subscriber, about, cached, mark, rows, streams
from .execute import (
    Around,
    Database,
    Replica,
    Within,
    execute_export,
    execute_history,
    execute_read,
    execute_view,
    execute_write,
)
from .plan import (
    Context,
    KeptPlans,
    PlannedExport,
    PlannedRead,
    ReadResult,
    WritePlan,
    at_access,
    at_key,
    history_key,
    plan_export,
    plan_history,
    plan_item,
    plan_list,
    plan_view,
    plan_write,
)
from .request import EXPORTS, Export, Request, split_key
from .respond import (
    Response,
    respond_export,
    respond_index,
    respond_item,
    respond_list,
    respond_options,
    respond_view,
    respond_write,
)
from .schema import Resource, Schema
from .settings import Settings

T = TypeVar("T")

HISTORY_METHODS = ("GET", "HEAD", "OPTIONS")


class Api(Struct, frozen=True, eq=False):
    """What every request of one application shares; ``cursor_key`` signs its cursors.

    ``databases`` are by bind key; None is the default one's, which may have a ``replica``. So are
    ``caches``, of databases of which answers are kept. ``statistics`` are the figures that the
    application adds for admins, as functions that make a select of one value. ``subscribers`` are
    told of events.
    """

    schema: Schema
    policies: Policies
    settings: Settings
    databases: Mapping[str | None, Database]
    cursor_key: bytes
    plans: KeptPlans
    statistics: Mapping[str, Callable[[], sa.Select[Any]]]
    subscribers: tuple[Subscriber, ...]
    replica: Replica | None = None
    caches: Mapping[str | None, Cache] = MappingProxyType({})

    @property
    def database(self) -> Database:
        """The default database, which has the API keys."""
        return self.databases[None]


def answer(api: Api, request: Request, who: Actor, around: Around = nullcontext) -> Response:
    """Answer one parsed request of an actor; code of the application's runs within ``around``."""
    if is_history(api.schema, request):
        return history(api, request, api.policies.access(who))
    resource = find_resource(api, request)
    access = api.policies.access(who)
    match request.method:
        case "GET" | "HEAD" if request.media in EXPORTS:
            return export(api, resource, request, access)
        case "GET" | "HEAD":
            return read(api, resource, request, access)
        case "OPTIONS":
            return respond_options(allowed_methods(resource, request.key is not None))
        case _:
            context = Context(api.schema, api.settings, access)
            return write(api, resource, request, context, around)


def index(api: Api, prefix: str, who: Actor) -> Response:
    """What the actor may read of the API: its resources, each with its URL under ``prefix``."""
    access = api.policies.access(who)
    resources = [r for r in api.schema.exposed() if access.rows(r, "read") is not False]
    return respond_index(prefix, [(r.name, len(allowed_methods(r, False)) > 3) for r in resources])


def read(api: Api, resource: Resource, request: Request, access: Access) -> Response:
    """GET and HEAD: one statement."""
    planned = _planned(api, resource, request, access)
    if request.key is not None:
        planned = at_key(planned, resource, split_key(request.key))
    mark("plan")
    result, outcome = _result(api, resource, planned, access.who)
    mark("execute")
    if request.key is not None:
        rows(read=int(result is not None))
        return _telling(outcome, respond_item(request, result))
    assert result is not None
    assert planned.window is not None
    rows(read=min(result.rows, planned.window.limit))
    return _telling(outcome, respond_list(request, planned, result, api.cursor_key))


def _result(
    api: Api, resource: Resource, planned: PlannedRead, who: Actor
) -> tuple[ReadResult | None, Outcome | None]:
    """A read's result: one that was kept, where the resource says so, and how it was come by."""
    cache = api.caches.get(resource.bind) if resource.cache else None
    if cache is None:
        return _reading(api, resource, lambda of: execute_read(of, planned, who)), None
    database = api.databases[resource.bind]
    # Not from a replica: it may be behind the versions under which the answer is kept.
    return cache.read(
        Keeping(resource.cache, resource.stale),
        planned.plan,
        planned.values,
        who,
        lambda: execute_read(database, planned, who),
    )


def _telling(outcome: Outcome | None, response: Response) -> Response:
    """An answer that says what the cache did for it."""
    if outcome is None:
        return response
    cached(outcome)
    return Response(response.status, (*response.headers, ("X-Cache", outcome)), response.body)


def export(api: Api, resource: Resource, request: Request, access: Access) -> Response:
    """GET and HEAD of all rows: one statement, whose rows are sent as they come."""
    if request.prefer.count is not None:
        raise InvalidQuery.at("Prefer", "Prefer: an export is of all rows, and takes no count")
    planned = plan_export(Context(api.schema, api.settings, access), resource, request.query)
    mark("plan")
    if request.method == "HEAD":
        return respond_export(request, None)
    media = cast("Export", request.media)
    stream = exported(api, resource, planned, media, access.who, api.settings.export_deadline)
    streams()
    mark("execute")
    return respond_export(request, stream)


def exported(
    api: Api,
    resource: Resource,
    planned: PlannedExport,
    media: Export,
    who: Actor,
    seconds: float,
) -> Iterator[bytes]:
    """The bytes of an export, within so many seconds; close what isn't read to its end."""
    return _reading(api, resource, lambda of: execute_export(of, planned, media, who, seconds))


def _reading(api: Api, resource: Resource, run: Callable[[Database], T]) -> T:
    """What ``run`` reads, from the default database's replica where that can be."""
    if api.replica is not None and resource.bind is None:
        return api.replica.read(run)
    return run(api.databases[resource.bind])


def history(api: Api, request: Request, access: Access) -> Response:
    """A row's history, which can only be read: one statement."""
    if request.method == "OPTIONS":
        return respond_options(HISTORY_METHODS)
    if request.method not in HISTORY_METHODS:
        raise MethodNotAllowed.here("a history", HISTORY_METHODS)
    resource = api.schema.resources[request.resource]
    about(resource.name)
    key = history_key(request.key or "") or ""
    context = Context(api.schema, api.settings, access)
    planned = plan_history(context, resource, key, request.query, cursor_key=api.cursor_key)
    mark("plan")
    result = execute_history(api.databases[resource.bind], planned, access.who)
    mark("execute")
    if result is None:
        raise NotFound(f"{resource.name!r} has no row {key!r}")
    return respond_list(request, planned, result, api.cursor_key)


def is_history(schema: Schema, request: Request) -> bool:
    """Whether the URL means a row's history: ``/history`` after a key, of a resource with one."""
    if request.key is None or history_key(request.key) is None:
        return False
    resource = schema.resources.get(request.resource)
    return resource is not None and resource.exposed and resource.history


def _planned(api: Api, resource: Resource, request: Request, access: Access) -> PlannedRead:
    """The plan of a read: one that was kept, or a new one."""
    item, count = request.key is not None, request.prefer.count
    shape = (resource, request.query, item, count)
    planned = api.plans.find(shape, access)
    if planned is not None:
        return at_access(planned, access)
    context = Context(api.schema, api.settings, access)
    if item:
        planned = plan_item(context, resource, request.query)
    else:
        planned = plan_list(
            context, resource, request.query, count=count, cursor_key=api.cursor_key
        )
    api.plans.keep(shape, context, planned)
    return planned


def write(
    api: Api,
    resource: Resource,
    request: Request,
    context: Context,
    around: Around = nullcontext,
) -> Response:
    """POST, PATCH, PUT and DELETE: one transaction."""
    planned = plan_write(context, resource, request)
    mark("plan")
    with Within(api.settings.deadline):
        result = execute_write(api.databases[resource.bind], planned, around=around)
        settle(api, planned)
    mark("execute")
    rows(written=0 if result.replayed or planned.dry_run else result.affected)
    return respond_write(request, planned, result)


def settle(api: Api, plan: WritePlan) -> None:
    """Wait until no read can miss a write that is about to be answered."""
    if api.replica is not None and plan.resource.bind is None and not plan.dry_run:
        api.replica.settle()


class View(Struct, frozen=True):
    """How a view of the application's own wants its rows; see ``Carboy.read``."""

    shape: str | None
    one: bool
    page: int | None
    per_page: int | None
    envelope: Mapping[str, object] | None
    session: Session | scoped_session[Any] | None
    status: int


def read_view(api: Api, select: sa.Select[Any], view: View, access: Access) -> Response:
    """A view of the application's own: it enters at planning and gets everything after it."""
    mark("parse")
    context = Context(api.schema, api.settings, access, trusted=True)
    planned = plan_view(
        context, select, view.shape, one=view.one, page=view.page, per_page=view.per_page
    )
    mark("plan")
    if (cache := api.caches.get(planned.plan.bind)) is not None:
        cache.touch(planned)
    with Within(api.settings.deadline):
        result = execute_view(api.databases[planned.plan.bind], planned, access.who, view.session)
    mark("execute")
    return respond_view(planned, result, view.envelope, view.status)


def find_resource(api: Api, request: Request) -> Resource:
    """The exposed resource that the URL names, if it takes the method."""
    resource = api.schema.resources.get(request.resource)
    if resource is None or not resource.exposed:
        raise NotFound(f"there is no resource {request.resource!r}")
    about(resource.name)
    allowed = allowed_methods(resource, request.key is not None)
    if request.method not in allowed:
        raise MethodNotAllowed.here(repr(request.resource), allowed)
    return resource


def allowed_methods(resource: Resource, item: bool) -> tuple[str, ...]:
    """The methods of a collection or an item."""
    if resource.read_only or not resource.key:
        return ("GET", "HEAD", "OPTIONS")
    if item:
        return ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
    return ("GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE")
