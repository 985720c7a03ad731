"""The edge: a request is let in or not, and its answer gets the headers that every answer has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..access import Actor
from ..errors import Unauthorized
from ..respond import Response
from ..settings import Settings
from .cors import Cors, Headers, make_cors
from .limits import RateLimits, make_limits

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_READS = ("GET", "HEAD")
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"

# What OWASP asks of REST APIs, without what only pages need. Nothing that a browser is lured to
# open here runs, is framed, or is taken for another type. Strict-Transport-Security belongs to
# whoever ends TLS.
_SAFETY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)

# no-cache lets a cache keep an answer, but not use it without asking with its ETag whether it
# still holds: rows change at any time, and so does what somebody may see. An actor's answers are
# moreover kept by nobody but the actor's own browser. An anonymous one is the same for everybody;
# should a shared cache ignore Vary and ask about it for an actor, the ETag differs.
_ANYBODYS = ("Cache-Control", "no-cache")
_ACTORS = ("Cache-Control", "private, no-cache")
# What a write or an error answers is about one moment.
_NOBODYS = ("Cache-Control", "no-store")


class Edge:
    """What one application does before and after the pipeline.

    ``credentials`` are the names of the request headers that tell who asks.
    """

    def __init__(
        self, cors: Cors | None, limits: RateLimits | None, credentials: Sequence[str] = ()
    ) -> None:
        self._cors = cors
        self._limits = limits
        origin = ("Origin",) if cors is not None and cors.varies else ()
        # Accept may lead to a 406, Prefer to another body.
        vary = ("Vary", ", ".join(("Accept", "Prefer", *credentials, *origin)))
        self._anybodys = (*_SAFETY, _ANYBODYS, vary)
        self._actors = (*_SAFETY, _ACTORS, vary)
        self._nobodys = (*_SAFETY, _NOBODYS, vary)

    def admit(
        self, identify: Callable[[], Actor], address: str, method: str
    ) -> tuple[Actor, Headers]:
        """Who asks, and headers that say what the limits leave.

        Raises TooManyRequests, and what ``identify`` raises. Credentials that aren't valid count
        against the address, so that guessing is slow.
        """
        limits = self._limits
        if limits is None:
            return identify(), ()
        limits.check_guesses(address)
        try:
            actor = identify()
        except Unauthorized:
            limits.count_guess(address)
            raise
        return actor, limits.spend(actor, address, method)

    def finish(
        self, environ: WSGIEnvironment, actor: Actor, response: Response, quota: Headers = ()
    ) -> Response:
        """An answer with the headers that every answer of the API has."""
        if environ["REQUEST_METHOD"] not in _READS or response.status >= 400:
            constant = self._nobodys
        else:
            constant = self._anybodys if actor.is_anonymous else self._actors
        cors = self._cors.of_answer(environ.get("HTTP_ORIGIN")) if self._cors else ()
        headers = (*response.headers, *constant, *quota, *cors)
        return Response(response.status, headers, response.body, response.stream)

    def is_preflight(self, environ: WSGIEnvironment) -> bool:
        """Whether a browser asks, before a request, whether it may send it."""
        return (
            self._cors is not None
            and environ["REQUEST_METHOD"] == "OPTIONS"
            and "HTTP_ORIGIN" in environ
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        )

    def preflight(self, environ: WSGIEnvironment, response: Response) -> Response:
        """The answer to a preflight, from the one to OPTIONS.

        Where that is an error, such as for an unknown resource, the browser may send its request
        nevertheless: a page can read what the request is answered, but no preflight.
        """
        assert self._cors is not None
        allowed = dict(response.headers).get("Allow", _METHODS)
        cors = self._cors.of_preflight(
            environ["HTTP_ORIGIN"],
            environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"],
            environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"),
            allowed,
        )
        return Response(204, (("Allow", allowed), *self._nobodys, *cors), b"")


def own_answer(method: str, response: Response) -> Response:
    """An answer to a view of the application's own: safe, and nobody's but the client's.

    What such a view depends on isn't known here. Its CORS and its limits are the application's.
    """
    kept = method in _READS and response.status < 400
    headers = (*response.headers, *_SAFETY, _ACTORS if kept else _NOBODYS)
    return Response(response.status, headers, response.body, response.stream)


def make_edge(settings: Settings, credentials: Sequence[str] = ()) -> Edge:
    """The edge that the settings describe; SettingError for what they can't mean."""
    return Edge(make_cors(settings), make_limits(settings), credentials)
