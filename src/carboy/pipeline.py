"""The request path, whole: parse, plan, compile, execute, respond.

Each stage is a function from one frozen value to the next, or an ``ApiError``.
"""

from __future__ import annotations

from msgspec import Struct

from .errors import MethodNotAllowed, NotFound
from .execute import Database, execute_read, execute_write
from .plan import Context, plan_item, plan_list, plan_write
from .request import Request, split_key
from .respond import Response, respond_item, respond_list, respond_options, respond_write
from .schema import Resource, Schema
from .settings import Settings


class Api(Struct, frozen=True, eq=False):
    """What every request of one application shares."""

    schema: Schema
    settings: Settings
    database: Database
    cursor_key: bytes


def answer(api: Api, request: Request) -> Response:
    """Answer one parsed request."""
    resource = find_resource(api, request)
    match request.method:
        case "GET" | "HEAD":
            return read(api, resource, request)
        case "OPTIONS":
            return respond_options(allowed_methods(resource, request.key is not None))
        case _:
            return write(api, resource, request)


def read(api: Api, resource: Resource, request: Request) -> Response:
    """GET and HEAD: one statement."""
    context = Context(api.schema, api.settings)
    if request.key is not None:
        planned = plan_item(context, resource, split_key(request.key), request.query)
        return respond_item(request, execute_read(api.database, planned))
    planned = plan_list(
        context, resource, request.query, count=request.prefer.count, cursor_key=api.cursor_key
    )
    result = execute_read(api.database, planned)
    assert result is not None
    return respond_list(request, planned, result, api.cursor_key)


def write(api: Api, resource: Resource, request: Request) -> Response:
    """POST, PATCH, PUT and DELETE: one transaction."""
    context = Context(api.schema, api.settings)
    planned = plan_write(context, resource, request)
    return respond_write(request, planned, execute_write(api.database, planned))


def find_resource(api: Api, request: Request) -> Resource:
    """The exposed resource that the URL names, if it takes the method."""
    resource = api.schema.resources.get(request.resource)
    if resource is None or not resource.exposed:
        raise NotFound(f"there is no resource {request.resource!r}")
    allowed = allowed_methods(resource, request.key is not None)
    if request.method not in allowed:
        raise MethodNotAllowed(
            f"{request.resource!r} takes {', '.join(allowed)} here",
            headers=[("Allow", ", ".join(allowed))],
        )
    return resource


def allowed_methods(resource: Resource, item: bool) -> tuple[str, ...]:
    """The methods of a collection or an item."""
    if resource.read_only or not resource.key:
        return ("GET", "HEAD", "OPTIONS")
    if item:
        return ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
    return ("GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE")
