"""The Flask extension: registers resources and hands requests to the pipeline."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, cast

import flask
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, scoped_session
from werkzeug.middleware.proxy_fix import ProxyFix

from .access import (
    CLOSED,
    PUBLIC,
    UNLIMITED,
    Access,
    Actor,
    Policies,
    Policy,
    check_policy,
)
from .admin import Route, Visit, routes, visit
from .background import Background, check_broker, has_own, jobs_path, jobs_url
from .cache import Caches
from .cached import CachedViews, hear_writes
from .databases import databases_of, engine_in, engines_in, replica_of
from .edge import Edge, make_edge, own_answer
from .errors import (
    ApiError,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
)
from .events import mark
from .hosts import (
    KeyConverter,
    add_view,
    body_of,
    cursor_key_of,
    own_body,
    prepare_migrations,
    resource_of,
    to_flask,
    upload_of,
)
from .identify import Identify, Login
from .imports import import_rows
from .jobs import Jobs, answer_later, is_for_later, respond_job
from .ops.observers import Observers
from .pipeline import Api, View, answer, index, read_view, write
from .plan import Context, KeptPlans
from .request import Prefer, Query, Request, import_form, join_key, parse_select
from .respond import Response, respond_options
from .schema import (
    Registration,
    Schema,
    SchemaError,
    Validate,
    about_secrets,
    build_schema,
    default_name,
    subject_of,
)
from .settings import Settings, outside, read_settings
from .wsgi import DirectReads, Traced, attended, parse_environ, refused

_KEY = "carboy"
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
logger = logging.getLogger("carboy")


class State(Struct, eq=False):
    """One application's part: its settings, its database, and the API once it is built."""

    carboy: Carboy
    settings: Settings
    edge: Edge
    source: Any
    identify: Identify
    observers: Observers
    caches: Caches
    lock: Any
    process: int
    api: Api | None = None


class _OwnWrite(Struct, frozen=True):
    """What ``create``, ``update`` and ``delete`` were given."""

    method: str
    model: Any
    key: Any
    shape: str | None
    body: Any = None
    validate: Validate | None = None
    policy: bool = True


class Carboy:
    """A REST API for the models of a Flask application.

    ``db`` is a Flask-SQLAlchemy or Flask-SQLAlchemy-Lite object, or an ``Engine``. ``actor`` is
    the application's own login: it takes nothing and answers the ``Actor`` that is logged in, or
    None; it is called within the request, where no API key or token has come. ``policy`` is that
    of the resources that are given none.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        db: Any = None,
        *,
        actor: Login | None = None,
        policy: Policy = CLOSED,
    ) -> None:
        self._registrations: list[Registration] = []
        self._statistics: dict[str, Callable[[], sa.Select[Any]]] = {}
        self._policies: dict[str, Policy] = {}
        self._default = policy
        # Whether an application has built its API already: what came later would be missing there.
        self._in_use = False
        self._db = db
        self._login = actor
        background = Background(self._api, lambda: self.actor)
        self.job = background.job
        self.enqueue = background.enqueue
        self.update_later = background.update_later
        self.run_jobs = background.run_jobs
        self._background = background
        self._cached = CachedViews(self._api, lambda: self.actor)
        self.cached = self._cached.cached
        if app is not None:
            self.init_app(app, db)

    def init_app(self, app: flask.Flask, db: Any = None, *, actor: Login | None = None) -> None:
        """Add the API to an application; raises SchemaError, and SettingError for its settings."""
        source = db if db is not None else self._db
        if source is None:
            raise SchemaError("Carboy needs the database: Carboy(app, db) or init_app(app, db)")
        settings = read_settings(app.config, outside())
        identify = Identify(settings, actor or self._login)
        edge = make_edge(settings, identify.headers)
        check_broker(settings)
        observers = Observers(settings)
        caches = Caches(
            settings, lambda: self._is_cached, lambda: cursor_key_of(app, engine_in(source))
        )
        app.extensions[_KEY] = State(
            carboy=self,
            settings=settings,
            edge=edge,
            source=source,
            identify=identify,
            observers=observers,
            caches=caches,
            lock=threading.Lock(),
            process=os.getpid(),
        )
        prepare_migrations(app)
        hear_writes(app, source, caches)
        app.register_error_handler(ApiError, _answer_error)
        prefix = settings.prefix.rstrip("/")
        app.url_map.converters["carboy_key"] = KeyConverter
        add_view(app, "carboy_index", self._index_view, {prefix or "/", f"{prefix}/"})
        item = f"{prefix}/<string:resource>/<carboy_key:key>"
        add_view(app, "carboy", self._view, {f"{prefix}/<string:resource>", item})
        if settings.direct_reads and DirectReads.fits(app):
            built = cast(State, app.extensions[_KEY])
            reads = DirectReads(app, settings, edge, identify, lambda: built.api)
            app.wsgi_app = reads  # type: ignore[method-assign]
        timed = settings.server_timing
        traced = Traced(app.wsgi_app, observers.subscribers, timed=timed)
        app.wsgi_app = traced  # type: ignore[method-assign]
        if settings.trusted_proxies:
            # Around everything, so that limits and the application's own views see the client.
            app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
                app.wsgi_app, x_for=settings.trusted_proxies
            )
        for route in routes(settings):
            add_view(app, f"carboy_{route.name}", partial(self._route_view, route), {route.path})
        add_view(app, "carboy_job", self._job_view, {f"{jobs_path(settings)}/<string:key>"})
        add_view(app, "carboy_nothing", self._nothing_view, {f"{prefix}/<carboy_key:path>"})

    def resource(  # noqa: PLR0913  each option is a keyword
        self,
        model: Any,
        *,
        name: str | None = None,
        readable: Sequence[str] | None = None,
        writable: Sequence[str] | None = None,
        hidden: Sequence[str] = (),
        show: Sequence[str] = (),
        read_only: bool = False,
        search: Sequence[str] = (),
        order: str | None = None,
        page_size: int | None = None,
        max_page_size: int | None = None,
        max_depth: int | None = None,
        require_match: bool = False,
        validate: Validate | None = None,
        history: bool = False,
        policy: Policy | None = None,
        public: Literal["read"] | None = None,
        cache: int = 0,
        stale: int = 0,
    ) -> None:
        """Expose a mapped class or a Table; docs/reference/resource.md explains the options.

        What looks like a secret is hidden until ``readable`` or ``show`` names it, as the log says.
        """
        subject = subject_of(model)
        name = name or default_name(subject)
        if policy is not None and public is not None:
            raise SchemaError(f"resource {name!r}: public=... is a policy; give one of the two")
        if public not in (None, "read"):
            raise SchemaError(f"resource {name!r}: public={public!r} must be 'read'")
        if policy is not None or public is not None:
            self._policies[name] = policy or PUBLIC
        registration = Registration(
            subject=subject,
            name=name,
            readable=tuple(readable) if readable is not None else None,
            writable=tuple(writable) if writable is not None else None,
            hidden=tuple(hidden),
            show=tuple(show),
            read_only=read_only,
            search=tuple(search),
            order=order,
            page_size=page_size,
            max_page_size=max_page_size,
            max_depth=max_depth,
            require_match=require_match,
            validate=validate,
            history=history,
            cache=cache,
            stale=stale,
        )
        self.register(registration)
        for message in about_secrets(registration):
            logger.warning(message)

    def read(  # noqa: PLR0913  each option is a keyword
        self,
        select: sa.Select[*tuple[Any, ...]],
        shape: str | None = None,
        *,
        one: bool = False,
        page: int | None = None,
        per_page: int | None = None,
        envelope: Mapping[str, object] | None = None,
        session: Session | scoped_session[Any] | None = None,
        status: int = 200,
        policy: bool = True,
    ) -> flask.Response:
        """Answer a view of your own with the rows of ``select``, in one statement.

        ``shape`` says in the grammar of the API's ``select=`` what becomes of each row of a mapped
        class; without one, all readable fields do. A select of labelled columns needs none. The
        answer is an array, or with ``one`` an object or a 404. ``envelope`` maps the keys of an
        outer object to a ``Part`` of the answer or a constant. With ``session``, the read happens
        in its open transaction and sees what it has written. The rows of mapped classes, nested
        ones too, are those that the request's actor may read, unless ``policy`` is false; the
        fields are those that the shape names. Raises ``ApiError``, which the extension answers
        for you.
        """
        api = self._api()
        view = View(shape, one, page, per_page, envelope, session, status)
        return _own(read_view(api, select, view, self._access(api, policy)))

    def statistic(self, make: Callable[[], sa.Select[Any]], /) -> Callable[[], sa.Select[Any]]:
        """Add a figure to ``/admin/db-stats``, as a decorator of a function that makes a select.

        The select answers one value; it is made and run at each request. The function's name is
        the figure's.
        """
        self._statistics[make.__name__] = make
        return make

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
        policy: bool = True,
    ) -> flask.Response:
        """Answer a view of your own by creating the request's object, or its array of them.

        The resource's own rules hold, and ``validate`` beside them; so does its policy, unless
        ``policy`` is false. ``body`` replaces the request's. The answer is the row in ``shape``,
        or ``{"data": [...]}``, with a 201. Raises ``ApiError``, which the extension answers for
        you.
        """
        write = _OwnWrite("POST", model, None, shape, body, validate, policy)
        return self._written(write)

    def update(
        self,
        model: Any,
        key: Any,
        shape: str | None = None,
        *,
        body: Any = None,
        validate: Validate | None = None,
        policy: bool = True,
    ) -> flask.Response:
        """Answer a view of your own by changing what the request's object names in one row.

        ``key`` is the row's, a tuple where it has several parts. The rest is as in ``create``.
        """
        return self._written(_OwnWrite("PATCH", model, key, shape, body, validate, policy))

    def delete(
        self, model: Any, key: Any, shape: str | None = None, *, policy: bool = True
    ) -> flask.Response:
        """Answer a view of your own by deleting one row: with it in ``shape``, or with a 204."""
        return self._written(_OwnWrite("DELETE", model, key, shape, policy=policy))

    def _written(self, own: _OwnWrite) -> flask.Response:
        api = self._api()
        resource = resource_of(api.schema, own.model)
        access = self._access(api, own.policy)
        context = Context(api.schema, api.settings, access, trusted=True, validate=own.validate)
        parts = own.key if isinstance(own.key, tuple) else (own.key,)
        shape = own.shape
        request = Request(
            method=own.method,
            resource=resource.name,
            key=None if own.key is None else join_key(map(str, parts)),
            query=Query(select=parse_select(shape) if shape is not None else None),
            prefer=Prefer(return_="representation") if shape is not None else Prefer(),
            body=own_body(api.settings, own.body) if own.method != "DELETE" else None,
            path=flask.request.script_root + flask.request.path,
        )
        return _own(write(api, resource, request, context))

    @property
    def schema(self) -> Schema:
        """What is exposed, in the current application."""
        return self._api().schema

    @property
    def actor(self) -> Actor:
        """Who makes the current request, for views of your own; ``ANONYMOUS`` without credentials.

        Raises what the API itself answers to bad ones: Unauthorized, or Forbidden for a write by
        cookie from another site.
        """
        database = self._api().database
        state = cast(State, flask.current_app.extensions[_KEY])
        return state.identify(flask.request.environ, database)

    def _api(self) -> Api:
        state = cast(State, flask.current_app.extensions[_KEY])
        if state.api is None:
            with state.lock:
                if state.api is None:
                    state.api = self._build(state)
        return state.api

    def _build(self, state: State) -> Api:
        engines, settings = engines_in(state.source), state.settings
        schema = build_schema(self._registrations)
        policies = {r.name: self._policies.get(r.name, self._default) for r in schema.exposed()}
        for name, policy in policies.items():
            check_policy(schema.resources[name], policy)
        self._background.check(schema, settings)
        self._in_use = True
        databases = databases_of(engines, schema, settings)
        if os.getpid() != state.process:
            # Forked since: what is in the pools may have been connected before that.
            for database in databases.values():
                database.forget_connections()
        state.caches.watch({bind: each.engine for bind, each in databases.items()})
        caches = {bind: state.caches.of(each) for bind, each in databases.items()}
        state.observers.watch({bind: each.engine for bind, each in databases.items()})
        return Api(
            schema=schema,
            policies=Policies(policies),
            settings=settings,
            databases=databases,
            cursor_key=cursor_key_of(flask.current_app, engines[None]),
            plans=KeptPlans(settings.statement_cache),
            statistics=self._statistics,
            replica=replica_of(databases[None], settings),
            subscribers=state.observers.subscribers,
            caches={bind: cache for bind, cache in caches.items() if cache is not None},
        )

    @property
    def _is_cached(self) -> bool:
        """Whether any answer is to be kept."""
        return self._cached.used or any(each.cache for each in self._registrations)

    def _access(self, api: Api, policy: bool) -> Access:
        """The access of a view of the application's own; the database's own policies stay."""
        if policy:
            return api.policies.access(self.actor)
        return Access(self.actor, {}) if api.database.row_security else UNLIMITED

    def _view(self, resource: str, key: str | None = None) -> flask.Response:
        def respond(who: Actor) -> Response:
            api = self._api()
            request = flask.request
            if request.method == "POST" and (form := import_form(request.content_type)):
                upload = upload_of(api.settings)
                parsed = parse_environ(request.environ, api.settings, resource, key, b"")
                mark("parse")
                return import_rows(api, parsed, form, upload, who)
            body = body_of(api.settings) if request.method in _WITH_BODY else b""
            parsed = parse_environ(request.environ, api.settings, resource, key, body)
            mark("parse")
            if is_for_later(api, parsed) and not has_own(api.schema, api.settings):
                return answer_later(api, jobs_url(api.settings), parsed, who)
            return answer(api, parsed, who)

        return self._attended(respond, imports=_is_import(flask.request))

    def _index_view(self) -> flask.Response:
        return self._attended(self._index)

    def _index(self, who: Actor) -> Response:
        method, allowed = flask.request.method, ("GET", "HEAD", "OPTIONS")
        if method == "OPTIONS":
            return respond_options(allowed)
        if method not in allowed:
            raise MethodNotAllowed.here("the API's index", allowed)
        api = self._api()
        prefix = flask.request.script_root + api.settings.prefix.rstrip("/")
        return index(api, prefix, who)

    def _nothing_view(self, path: str) -> flask.Response:
        """A path that is neither a collection's nor an item's, such as ``/api/users/``."""
        name = path.strip("/").partition("/")[0]

        def respond(_: Actor) -> Response:
            raise NotFound(f"there is no resource {path!r}; did you mean {name!r}?")

        return self._attended(respond)

    def _route_view(self, route: Route, **names: str) -> flask.Response:
        def respond(who: Actor) -> Response:
            return visit(route, flask.request.method, Visit(who, names, self._api))

        return self._attended(respond, known=bool(route.roles))

    def _job_view(self, key: str) -> flask.Response:
        api = self._api()
        if has_own(api.schema, api.settings):
            return self._view(api.settings.jobs_path, key)
        route = Route("job", "a job", lambda by: respond_job(api, by.who, key), roles=())
        method = flask.request.method
        return self._attended(lambda who: visit(route, method, Visit(who, {}, self._api)))

    def _attended(
        self, respond: Callable[[Actor], Response], *, known: bool = True, imports: bool = False
    ) -> flask.Response:
        """The answer to a request; whoever sent it isn't asked who they are unless ``known``."""
        state = cast(State, flask.current_app.extensions[_KEY])
        settings, environ = state.settings, flask.request.environ
        seconds = settings.import_deadline if imports else settings.deadline
        identify = (lambda: self.actor) if known else None
        return to_flask(attended(state.edge, seconds, environ, identify, respond))


def engine_of(app: flask.Flask) -> Engine:
    """The engine of an application that was given to a Carboy, within its context."""
    return engine_in(cast(State, app.extensions[_KEY]).source)


def api_of(app: flask.Flask) -> Carboy:
    """The Carboy that an application was given to."""
    return cast(State, app.extensions[_KEY]).carboy


def built_api(app: flask.Flask) -> Api:
    """What all requests of an application share, within its context; raises as it is built."""
    return api_of(app)._api()


def jobs_of(app: flask.Flask) -> Jobs:
    """The jobs of an application, within its context; raises as its API is built."""
    return api_of(app)._background.jobs(built_api(app), app.app_context)


def settings_of(app: flask.Flask) -> Settings:
    """The settings of an application that was given to a Carboy."""
    return cast(State, app.extensions[_KEY]).settings


def takes_logins(app: flask.Flask) -> bool:
    """Whether it has a login of its own, and so cookies that stand for an actor."""
    return "Cookie" in cast(State, app.extensions[_KEY]).identify.headers


def _is_import(request: flask.Request) -> bool:
    """Whether a request's body is rows, which may take their time."""
    if request.method != "POST":
        return False
    try:
        return import_form(request.content_type) is not None
    except UnsupportedMediaType:
        return False


def _own(response: Response) -> flask.Response:
    """The answer to a view of the application's own."""
    return to_flask(own_answer(flask.request.method, response))


def _answer_error(error: ApiError) -> flask.Response:
    """What the application's own views raise, by ``read`` or by hand."""
    return _own(refused(error))
