"""Requests as WSGI has them, and those that are answered in front of Flask's dispatch.

Flask's dispatch costs as much as a keyed read. Where the application has nothing registered that
should see a request, ``DirectReads`` answers GET and HEAD without it, and a POST that runs none of
the application's code; ``CARBOY_DIRECT_READS=0`` turns that off. Every other request takes
Flask's way.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from io import BytesIO
from time import perf_counter
from typing import TYPE_CHECKING, Any

import flask
from werkzeug.exceptions import HTTPException

from .access import ANONYMOUS, Actor
from .edge import Edge
from .errors import ApiError, InternalError, LimitExceeded
from .events import TRACE, RequestAnswered, Subscriber, Trace, mark, request_id
from .execute import Within, runs_no_code
from .identify import Identify
from .pipeline import Api, answer
from .request import Request, Upload, lower_limit, parse
from .respond import Response, respond_error
from .settings import Settings
from .streams import Streamed, connection_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_DIRECT = ("GET", "HEAD", "POST")
_HEADERS = {
    name: "HTTP_" + name.upper().replace("-", "_")
    for name in ("Accept", "Prefer", "If-Match", "If-None-Match", "Idempotency-Key")
} | {"Content-Type": "CONTENT_TYPE"}
_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))
_STATUSES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
logger = logging.getLogger("carboy")


class EnvironHeaders:
    """The headers of a WSGI environment that ``parse`` asks for."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    def get(self, name: str, /) -> str | None:
        return self._environ.get(_HEADERS[name])


def parse_environ(
    environ: WSGIEnvironment, settings: Settings, resource: str, key: str | None, body: bytes
) -> Request:
    """The request for a resource, or an item of it; raises what ``parse`` does."""
    query_string = environ.get("QUERY_STRING", "")
    if len(query_string) > settings.max_url_length:
        raise LimitExceeded(
            f"the query string is longer than {settings.max_url_length} bytes "
            "(CARBOY_MAX_URL_LENGTH)"
        )
    path = _decoded(environ.get("SCRIPT_NAME", "")) + _decoded(environ["PATH_INFO"])
    method, headers = environ["REQUEST_METHOD"], EnvironHeaders(environ)
    return parse(method, resource, key, query_string, headers, body, path=path)


def guarded(respond: Callable[[], Response]) -> Response:
    """What ``respond`` answers, or the problem document of what it raises."""
    try:
        return respond()
    except ApiError as error:
        return refused(error)
    except HTTPException:
        raise
    except Exception as error:  # noqa: BLE001  a 500 tells the client nothing, the log all
        return _internal_error(error)


def attended(
    edge: Edge,
    seconds: float,
    environ: WSGIEnvironment,
    identify: Callable[[], Actor] | None,
    respond: Callable[[Actor], Response],
) -> Response:
    """What ``respond`` answers to whoever asks, within the limits, with every header it needs.

    It has some seconds for it. Without ``identify`` nobody is asked who they are, and no limit
    holds.
    """
    if edge.is_preflight(environ):  # a browser sends no credentials with it
        return edge.preflight(environ, guarded(lambda: respond(ANONYMOUS)))
    actor = ANONYMOUS
    quota: tuple[tuple[str, str], ...] = ()

    def admitted() -> Response:
        nonlocal actor, quota
        if identify is None:
            return respond(ANONYMOUS)
        address = environ.get("REMOTE_ADDR", "")
        actor, quota = edge.admit(identify, address, environ["REQUEST_METHOD"])
        mark("identify")
        return respond(actor)

    # First, since it finds out who the actor is.
    with Within(seconds):
        answered = guarded(admitted)
    response = edge.finish(environ, actor, answered, quota)
    mark("respond")
    return response


def refused(error: ApiError) -> Response:
    """The answer to an ApiError."""
    return _internal_error(error) if isinstance(error, InternalError) else respond_error(error)


class Traced:
    """WSGI around an application: each request has an id, which its answer tells, and a trace.

    With ``timed`` the answer tells how long each stage took, too.
    """

    def __init__(
        self, inner: WSGIApplication, subscribers: tuple[Subscriber, ...], *, timed: bool
    ) -> None:
        self._inner = inner
        self._subscribers = subscribers
        self._timed = timed

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
        started = perf_counter()
        trace = Trace(
            request_id(environ.get("HTTP_X_REQUEST_ID")),
            self._subscribers,
            stages={} if self._timed else None,
            marked=started,
        )
        status = 500

        def begin(line: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            nonlocal status
            status = int(line[:3])
            # Flask forgets the request before it returns.
            trace.resource = trace.resource or _route(environ)
            headers.append(("X-Request-ID", trace.id))
            if trace.stages is not None:
                headers.append(("Server-Timing", _timing(trace.stages, perf_counter() - started)))
            return start_response(line, headers, *exc_info)

        def end() -> None:
            if self._subscribers:
                trace.emit(_answered(trace, environ, status, perf_counter() - started))

        token = TRACE.set(trace)  # as ``traced`` does, for less
        try:
            body = self._inner(environ, begin)
            if trace.streams:
                return Streamed(body, connection_of(environ), end)
        finally:
            TRACE.reset(token)
            if not trace.streams:
                end()
        return body


def _answered(
    trace: Trace, environ: WSGIEnvironment, status: int, seconds: float
) -> RequestAnswered:
    """What there is to say of a request: of names that clients make up, nothing."""
    method = environ["REQUEST_METHOD"]
    return RequestAnswered(
        id=trace.id,
        method=method if method in _METHODS else "other",
        resource=trace.resource,
        status=status,
        seconds=seconds,
        statements=trace.statements,
        rows_read=trace.rows_read,
        rows_written=trace.rows_written,
        cache=trace.cache,
    )


def _route(environ: WSGIEnvironment) -> str:
    """The rule of the view that Flask has found for a request; empty where it found none."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return "" if rule is None else str(rule.rule)


def _timing(stages: Mapping[str, float], total: float) -> str:
    """A Server-Timing header (W3C Server Timing); durations are in milliseconds."""
    parts = {**stages, "total": total}
    return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in parts.items())


class DirectReads:
    """WSGI in front of an application: its API's reads answered, the rest passed on.

    ``built`` answers the API once a request has built it.
    """

    def __init__(
        self,
        app: flask.Flask,
        settings: Settings,
        edge: Edge,
        identify: Identify,
        built: Callable[[], Api | None],
    ) -> None:
        self._app = app
        self._flask: WSGIApplication = app.wsgi_app
        self._prefix = settings.prefix.rstrip("/") + "/"
        self._settings = settings
        self._edge = edge
        self._identify = identify
        self._built = built
        self._rules: dict[int, bool] = {}

    @staticmethod
    def fits(app: flask.Flask) -> bool:
        """Whether nothing stands between the application's dispatch and its server."""
        return type(app) is flask.Flask and app.wsgi_app == app.__class__.wsgi_app.__get__(app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
        method = environ["REQUEST_METHOD"]
        api = self._built() if method in _DIRECT else None
        target = self._target(environ["PATH_INFO"]) if api is not None else None
        if api is None or target is None or target[0] not in api.schema.resources:
            return self._flask(environ, start_response)
        if not self._unobserved():
            return self._flask(environ, start_response)
        if self._identify.needs_flask(environ):
            return self._flask(environ, start_response)
        creates = method == "POST"
        if creates and (target[1] is not None or not _creates_alone(api, target[0], environ)):
            return self._flask(environ, start_response)

        def identify() -> Actor:
            return self._identify(environ, api.database)

        def respond(who: Actor) -> Response:
            body = self._body(environ) if creates else b""
            parsed = parse_environ(environ, self._settings, *target, body=body)
            mark("parse")
            # For what turns out to be more than new rows.
            return answer(api, parsed, who, around=lambda: self._app.request_context(environ))

        response = attended(self._edge, self._settings.deadline, environ, identify, respond)
        headers = list(response.headers)
        if response.stream is not None:
            start_response(_STATUSES[response.status], headers)
            return response.stream
        if response.status != HTTPStatus.NOT_MODIFIED:
            headers.append(("Content-Length", str(len(response.body))))
        start_response(_STATUSES[response.status], headers)
        return [] if method == "HEAD" else [response.body]

    def _body(self, environ: WSGIEnvironment) -> bytes:
        """The request's body, which stays there for whoever asks Flask for it."""
        own, limit = self._app.config["MAX_CONTENT_LENGTH"], self._settings.max_body_bytes
        body = Upload(environ, *lower_limit(own, limit, "CARBOY_MAX_BODY_BYTES")).whole()
        environ["wsgi.input"] = BytesIO(body)
        return body

    def _target(self, path: str) -> tuple[str, str | None] | None:
        """The resource and the key that a path may name; None for what Flask's routes answer."""
        if not path.startswith(self._prefix):
            return None
        resource, slash, key = _decoded(path[len(self._prefix) :]).partition("/")
        if not resource or (slash and not key):
            return None
        return resource, key if slash else None

    def _unobserved(self) -> bool:
        """Whether the application has registered nothing that a request should pass."""
        app = self._app
        return not (
            app.before_request_funcs
            or app.after_request_funcs
            or app.teardown_request_funcs
            or app.url_value_preprocessors
            or flask.request_started.receivers
            or flask.request_finished.receivers
            or flask.request_tearing_down.receivers
            or flask.got_request_exception.receivers
            or any(flask.appcontext_pushed.receivers_for(app))
            or flask.appcontext_popped.receivers
            or flask.appcontext_tearing_down.receivers
            or app.config.get("TRUSTED_HOSTS")
            or not self._only_our_routes()
        )

    def _only_our_routes(self) -> bool:
        """Whether the application has no routes of its own under the prefix, or by host."""
        url_map: Any = self._app.url_map
        # What iter_rules() goes through; it takes longer.
        count = sum(map(len, url_map._rules_by_endpoint.values()))
        if count not in self._rules:
            ours = all(
                rule.endpoint.startswith("carboy") or not rule.rule.startswith(self._prefix)
                for rule in url_map.iter_rules()
            )
            by_host = url_map.host_matching or self._app.subdomain_matching
            self._rules = {count: ours and not by_host}
        return self._rules[count]


def _creates_alone(api: Api, name: str, environ: WSGIEnvironment) -> bool:
    """Whether what a POST creates is the database's affair alone, as far as that is known yet."""
    resource = api.schema.resources[name]
    return (
        environ.get("CONTENT_TYPE", "").startswith("application/json")
        and "respond-async" not in environ.get("HTTP_PREFER", "").lower()
        and resource.exposed
        and not api.policies.policies[name].set_on_create
        and runs_no_code(api.databases[resource.bind], api.schema, resource)
    )


def _decoded(text: str) -> str:
    """WSGI's one character for each byte, as text."""
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "replace")


def _internal_error(error: Exception) -> Response:
    """A 500 with an id that the log has too, and nothing else."""
    number = uuid.uuid4().hex
    logger.error("internal error %s", number, exc_info=error)
    return respond_error(
        InternalError("an internal error; the log has it under this id", instance=number)
    )
