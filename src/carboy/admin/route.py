"""A route outside the resources, and who may take it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from ..access import Actor
from ..errors import Forbidden, MethodNotAllowed, Unauthorized
from ..pipeline import Api
from ..respond import Response, respond_options

ADMIN = ("admin",)


class Visit(Struct, frozen=True):
    """One request of a route: who asks, the path's variables, and the API, once it is needed."""

    who: Actor
    names: Mapping[str, str]
    api: Callable[[], Api]


class Route(Struct, frozen=True):
    """A path in Flask's form, what answers it, and the roles of whom; everybody without roles."""

    name: str
    path: str
    answer: Callable[[Visit], Response]
    roles: tuple[str, ...] = ADMIN
    methods: tuple[str, ...] = ("GET", "HEAD")


def visit(route: Route, method: str, visitor: Visit) -> Response:
    """What a route answers; raises Unauthorized, Forbidden, MethodNotAllowed and its own."""
    allowed = (*route.methods, "OPTIONS")
    if method == "OPTIONS":
        return respond_options(allowed)
    if method not in allowed:
        raise MethodNotAllowed.here(route.path, allowed)
    if route.roles and not visitor.who.has(*route.roles):
        needed = " or ".join(route.roles)
        if visitor.who.is_anonymous:
            raise Unauthorized(f"this takes credentials with the role {needed}")
        raise Forbidden(f"this takes the role {needed}")
    return route.answer(visitor)
