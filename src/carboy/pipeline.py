"""The request path, whole: parse, plan, compile, execute, respond.

Each stage is a function from one frozen value to the next, or an ``ApiError``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct
from sqlalchemy.orm import Session, scoped_session

from .errors import MethodNotAllowed, NotFound
from .execute import Database, execute_history, execute_read, execute_view, execute_write
from .plan import (
    Context,
    Count,
    PlannedRead,
    PlannedView,
    at_key,
    history_key,
    plan_history,
    plan_item,
    plan_list,
    plan_write,
)
from .request import Query, Request, split_key
from .respond import (
    Response,
    respond_index,
    respond_item,
    respond_list,
    respond_options,
    respond_view,
    respond_write,
)
from .schema import Resource, Schema
from .settings import Settings

HISTORY_METHODS = ("GET", "HEAD", "OPTIONS")


class Api(Struct, frozen=True, eq=False):
    """What every request of one application shares.

    ``plan_item`` and ``plan_list`` keep their plans, for most requests have been made before.
    """

    schema: Schema
    settings: Settings
    database: Database
    cursor_key: bytes
    plan_item: Callable[[Resource, Query], PlannedRead]
    plan_list: Callable[[Resource, Query, Count | None], PlannedRead]


def make_api(schema: Schema, settings: Settings, database: Database, cursor_key: bytes) -> Api:
    """The API of a schema on a database; ``cursor_key`` signs its cursors."""

    @lru_cache(settings.statement_cache)
    def item(resource: Resource, query: Query) -> PlannedRead:
        return plan_item(Context(schema, settings), resource, query)

    @lru_cache(settings.statement_cache)
    def collection(resource: Resource, query: Query, count: Count | None) -> PlannedRead:
        context = Context(schema, settings)
        return plan_list(context, resource, query, count=count, cursor_key=cursor_key)

    return Api(schema, settings, database, cursor_key, item, collection)


def answer(api: Api, request: Request) -> Response:
    """Answer one parsed request."""
    if is_history(api.schema, request):
        return history(api, request)
    resource = find_resource(api, request)
    match request.method:
        case "GET" | "HEAD":
            return read(api, resource, request)
        case "OPTIONS":
            return respond_options(allowed_methods(resource, request.key is not None))
        case _:
            return write(api, resource, request)


def index(api: Api, prefix: str) -> Response:
    """What the API holds: its resources, each with its URL under ``prefix``."""
    resources = api.schema.exposed()
    return respond_index(prefix, [(r.name, len(allowed_methods(r, False)) > 3) for r in resources])


def read(api: Api, resource: Resource, request: Request) -> Response:
    """GET and HEAD: one statement."""
    if request.key is not None:
        planned = api.plan_item(resource, request.query)
        planned = at_key(planned, resource, split_key(request.key))
        return respond_item(request, execute_read(api.database, planned))
    planned = api.plan_list(resource, request.query, request.prefer.count)
    result = execute_read(api.database, planned)
    assert result is not None
    return respond_list(request, planned, result, api.cursor_key)


def history(api: Api, request: Request) -> Response:
    """A row's history, which can only be read: one statement."""
    if request.method == "OPTIONS":
        return respond_options(HISTORY_METHODS)
    if request.method not in HISTORY_METHODS:
        raise MethodNotAllowed.here("a history", HISTORY_METHODS)
    resource = api.schema.resources[request.resource]
    key = history_key(request.key or "") or ""
    context = Context(api.schema, api.settings)
    planned = plan_history(context, resource, key, request.query, cursor_key=api.cursor_key)
    result = execute_history(api.database, planned)
    if result is None:
        raise NotFound(f"{resource.name!r} has no row {key!r}")
    return respond_list(request, planned, result, api.cursor_key)


def is_history(schema: Schema, request: Request) -> bool:
    """Whether the URL means a row's history: ``/history`` after a key, of a resource with one."""
    if request.key is None or history_key(request.key) is None:
        return False
    resource = schema.resources.get(request.resource)
    return resource is not None and resource.exposed and resource.history


def write(
    api: Api, resource: Resource, request: Request, context: Context | None = None
) -> Response:
    """POST, PATCH, PUT and DELETE: one transaction. The application's views bring a context."""
    planned = plan_write(context or Context(api.schema, api.settings), resource, request)
    return respond_write(request, planned, execute_write(api.database, planned))


def read_view(
    api: Api,
    planned: PlannedView,
    envelope: Mapping[str, object] | None,
    session: Session | scoped_session[Any] | None,
    status: int,
) -> Response:
    """A view of the application's own: it enters at planning and gets everything after it."""
    return respond_view(planned, execute_view(api.database, planned, session), envelope, status)


def find_resource(api: Api, request: Request) -> Resource:
    """The exposed resource that the URL names, if it takes the method."""
    resource = api.schema.resources.get(request.resource)
    if resource is None or not resource.exposed:
        raise NotFound(f"there is no resource {request.resource!r}")
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
