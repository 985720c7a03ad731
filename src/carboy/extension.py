"""The Flask extension: registers resources and hands requests to the pipeline."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import flask
import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Mapper, Session, scoped_session
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.routing import BaseConverter

from .errors import (
    ApiError,
    BadRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
)
from .execute import Database
from .pipeline import Api, answer, index, make_api, read_view, write
from .plan import Context, plan_view
from .request import Prefer, Query, Request, check_content_type, join_key, parse_select
from .respond import Response, respond_options
from .schema import (
    Registration,
    Resource,
    Schema,
    SchemaError,
    Validate,
    build_schema,
    default_name,
    subject_of,
)
from .settings import Settings, read_settings
from .wsgi import DirectReads, guarded, parse_environ, refused

_KEY = "carboy"
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
logger = logging.getLogger("carboy")


class KeyConverter(BaseConverter):
    """A row's key in a path: any text, slashes and line breaks included."""

    regex = r"(?s:.+)"
    part_isolating = False


class State(Struct, eq=False):
    """One application's part: its settings, its database, and the API once it is built."""

    carboy: Carboy
    settings: Settings
    source: Any
    lock: Any
    api: Api | None = None


class Carboy:
    """A REST API for the models of a Flask application.

    ``db`` is a Flask-SQLAlchemy or Flask-SQLAlchemy-Lite object, or an ``Engine``.
    """

    def __init__(self, app: flask.Flask | None = None, db: Any = None) -> None:
        self._registrations: list[Registration] = []
        # Whether an application has built its API already: what came later would be missing there.
        self._in_use = False
        self._db = db
        if app is not None:
            self.init_app(app, db)

    def init_app(self, app: flask.Flask, db: Any = None) -> None:
        """Add the API to an application."""
        source = db if db is not None else self._db
        if source is None:
            raise SchemaError("Carboy needs the database: Carboy(app, db) or init_app(app, db)")
        settings = read_settings(app.config)
        app.extensions[_KEY] = State(
            carboy=self, settings=settings, source=source, lock=threading.Lock()
        )
        app.register_error_handler(ApiError, _answer_error)
        prefix = settings.prefix.rstrip("/")
        app.url_map.converters["carboy_key"] = KeyConverter
        _add_view(app, "carboy_index", self._index_view, {prefix or "/", f"{prefix}/"})
        item = f"{prefix}/<string:resource>/<carboy_key:key>"
        _add_view(app, "carboy", self._view, {f"{prefix}/<string:resource>", item})
        if settings.direct_reads and DirectReads.fits(app):
            built = cast(State, app.extensions[_KEY])
            app.wsgi_app = DirectReads(app, settings, lambda: built.api)  # type: ignore[method-assign]
        _add_view(app, "carboy_nothing", self._nothing_view, {f"{prefix}/<carboy_key:path>"})

    def resource(  # noqa: PLR0913  each option is a keyword
        self,
        model: Any,
        *,
        name: str | None = None,
        readable: Sequence[str] | None = None,
        writable: Sequence[str] | None = None,
        hidden: Sequence[str] = (),
        read_only: bool = False,
        search: Sequence[str] = (),
        order: str | None = None,
        page_size: int | None = None,
        max_page_size: int | None = None,
        max_depth: int | None = None,
        require_match: bool = False,
        validate: Validate | None = None,
        history: bool = False,
    ) -> None:
        """Expose a mapped class or a Table; docs/reference/resource.md explains the options."""
        subject = subject_of(model)
        self.register(
            Registration(
                subject=subject,
                name=name or default_name(subject),
                readable=tuple(readable) if readable is not None else None,
                writable=tuple(writable) if writable is not None else None,
                hidden=tuple(hidden),
                read_only=read_only,
                search=tuple(search),
                order=order,
                page_size=page_size,
                max_page_size=max_page_size,
                max_depth=max_depth,
                require_match=require_match,
                validate=validate,
                history=history,
            )
        )

    def read(  # noqa: PLR0913  each option is a keyword
        self,
        select: sa.Select[Any],
        shape: str | None = None,
        *,
        one: bool = False,
        page: int | None = None,
        per_page: int | None = None,
        envelope: Mapping[str, object] | None = None,
        session: Session | scoped_session[Any] | None = None,
        status: int = 200,
    ) -> flask.Response:
        """Answer a view of your own with the rows of ``select``, in one statement.

        ``shape`` says in the grammar of the API's ``select=`` what becomes of each row of a mapped
        class; without one, all readable fields do. A select of labelled columns needs none. The
        answer is an array, or with ``one`` an object or a 404. ``envelope`` maps the keys of an
        outer object to a ``Part`` of the answer or a constant. With ``session``, the read happens
        in its open transaction and sees what it has written. Raises ``ApiError``, which the
        extension answers for you.
        """
        api = self._api()
        planned = plan_view(
            api.schema, api.settings, select, shape, one=one, page=page, per_page=per_page
        )
        return _to_flask(read_view(api, planned, envelope, session, status))

    def register(self, *registrations: Registration) -> None:
        """Expose what ``carboy.schema.reflect`` found."""
        if self._in_use and registrations:
            raise SchemaError(
                f"resource {registrations[0].name!r} is registered after the API was first used; "
                "register every resource before the first request"
            )
        self._registrations += registrations

    def create(
        self,
        model: Any,
        shape: str | None = None,
        *,
        body: Any = None,
        validate: Validate | None = None,
    ) -> flask.Response:
        """Answer a view of your own by creating the request's object, or its array of them.

        The resource's own rules hold, and ``validate`` beside them. ``body`` replaces the
        request's. The answer is the row in ``shape``, or ``{"data": [...]}``, with a 201.
        Raises ``ApiError``, which the extension answers for you.
        """
        return self._written("POST", model, None, shape, body, validate)

    def update(
        self,
        model: Any,
        key: Any,
        shape: str | None = None,
        *,
        body: Any = None,
        validate: Validate | None = None,
    ) -> flask.Response:
        """Answer a view of your own by changing what the request's object names in one row.

        ``key`` is the row's, a tuple where it has several parts. The rest is as in ``create``.
        """
        return self._written("PATCH", model, key, shape, body, validate)

    def delete(self, model: Any, key: Any, shape: str | None = None) -> flask.Response:
        """Answer a view of your own by deleting one row: with it in ``shape``, or with a 204."""
        return self._written("DELETE", model, key, shape, None, None)

    def _written(
        self,
        method: str,
        model: Any,
        key: Any,
        shape: str | None,
        body: Any,
        validate: Validate | None,
    ) -> flask.Response:
        api = self._api()
        resource = _resource_of(api.schema, model)
        context = Context(api.schema, api.settings, trusted=True, validate=validate)
        parts = key if isinstance(key, tuple) else (key,)
        request = Request(
            method=method,
            resource=resource.name,
            key=None if key is None else join_key(map(str, parts)),
            query=Query(select=parse_select(shape) if shape is not None else None),
            prefer=Prefer(return_="representation") if shape is not None else Prefer(),
            body=_own_body(api.settings, body) if method != "DELETE" else None,
            path=flask.request.script_root + flask.request.path,
        )
        return _to_flask(write(api, resource, request, context))

    @property
    def schema(self) -> Schema:
        """What is exposed, in the current application."""
        return self._api().schema

    @property
    def engine(self) -> Engine:
        """The current application's database."""
        return self._api().database.engine

    @property
    def settings(self) -> Settings:
        """The current application's settings."""
        return self._api().settings

    def _api(self) -> Api:
        state = cast(State, flask.current_app.extensions[_KEY])
        if state.api is None:
            with state.lock:
                if state.api is None:
                    state.api = self._build(state)
        return state.api

    def _build(self, state: State) -> Api:
        engine = _engine(state.source)
        settings = state.settings
        schema = build_schema(self._registrations)
        self._in_use = True
        return make_api(
            schema=schema,
            settings=settings,
            database=Database(engine, statements=settings.statement_cache),
            cursor_key=_cursor_key(flask.current_app, engine),
        )

    def _view(self, resource: str, key: str | None = None) -> flask.Response:
        return _to_flask(self._answer(resource, key))

    def _index_view(self) -> flask.Response:
        return _to_flask(guarded(self._index))

    def _index(self) -> Response:
        method, allowed = flask.request.method, ("GET", "HEAD", "OPTIONS")
        if method == "OPTIONS":
            return respond_options(allowed)
        if method not in allowed:
            raise MethodNotAllowed.here("the API's index", allowed)
        api = self._api()
        return index(api, flask.request.script_root + api.settings.prefix.rstrip("/"))

    def _nothing_view(self, path: str) -> flask.Response:
        """A path that is neither a collection's nor an item's, such as ``/api/users/``."""
        name = path.strip("/").partition("/")[0]
        return _answer_error(NotFound(f"there is no resource {path!r}; did you mean {name!r}?"))

    def _answer(self, resource: str, key: str | None) -> Response:
        def respond() -> Response:
            api = self._api()
            request = flask.request
            body = _body(api.settings) if request.method in _WITH_BODY else b""
            return answer(api, parse_environ(request.environ, api.settings, resource, key, body))

        return guarded(respond)


def _add_view(app: flask.Flask, endpoint: str, view: Callable[..., Any], paths: set[str]) -> None:
    """Let a view answer every method, even those that HTTP doesn't know: a 405 is a problem too.

    ``add_url_rule`` can't say so, and adds an OPTIONS of its own.
    """
    app.view_functions[endpoint] = view
    for path in sorted(paths):
        rule = app.url_rule_class(
            path, endpoint=endpoint, methods=None, strict_slashes=True, merge_slashes=False
        )
        rule.provide_automatic_options = False  # type: ignore[attr-defined]
        app.url_map.add(rule)


def api_of(app: flask.Flask) -> Carboy:
    """The Carboy that an application was given to."""
    return cast(State, app.extensions[_KEY]).carboy


def _to_flask(response: Response) -> flask.Response:
    return flask.Response(response.body, response.status, list(response.headers))


def _answer_error(error: ApiError) -> flask.Response:
    """What the application's own views raise, by ``read`` or by hand."""
    return _to_flask(refused(error))


def _body(settings: Settings) -> bytes:
    """The request's body, read no further than the limit; Flask's own may be lower."""
    request, limit = flask.request, settings.max_body_bytes
    setting = "CARBOY_MAX_BODY_BYTES"
    if request.max_content_length is None or request.max_content_length > limit:
        request.max_content_length = limit
    else:
        limit, setting = request.max_content_length, "Flask's MAX_CONTENT_LENGTH"
    try:
        return request.get_data()
    except RequestEntityTooLarge:
        raise PayloadTooLarge(f"the body is larger than {limit} bytes ({setting})") from None
    except ClientDisconnected:
        raise BadRequest("the body ends before its Content-Length") from None


def _own_body(settings: Settings, body: Any) -> bytes:
    """What a view of the application's own writes: its own data, or the request's JSON."""
    if body is not None:
        return msgspec.json.encode(body)
    check_content_type(flask.request.content_type)
    return _body(settings)


def _resource_of(schema: Schema, model: Any) -> Resource:
    subject = subject_of(model)
    found = schema.of_mapper(subject) if isinstance(subject, Mapper) else None
    if found is None:
        raise SchemaError(f"give {model!r} to api.resource() first")
    return found


def _engine(source: Any) -> Engine:
    """The engine of a Flask extension's object, or the engine itself."""
    engine = source if isinstance(source, Engine) else getattr(source, "engine", None)
    if isinstance(engine, Engine):
        return engine
    raise SchemaError(f"{source!r} is no Engine and has none; give Carboy your db object")


def _cursor_key(app: flask.Flask, engine: Engine) -> bytes:
    """Signs cursors; the same in every worker even where the application has no secret."""
    secret = app.secret_key or engine.url.render_as_string(hide_password=False)
    material = secret if isinstance(secret, bytes) else str(secret).encode()
    return hashlib.sha256(b"carboy cursors" + material).digest()
