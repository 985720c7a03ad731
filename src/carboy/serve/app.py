"""What a command is given, a database or ``module:app``, to an application."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import flask
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Engine
from werkzeug.wrappers import Response

from ..access import CLOSED, OPEN, PUBLIC
from ..extension import Carboy, built_api, engine_of, settings_of
from ..pipeline import Api
from ..schema import Reflected, Schema, SchemaError, reflect
from ..settings import SettingError, Settings, outside, read_settings
from .database import database_url, first_line, open_engine, shown, sqlite_path, unreachable
from .errors import TargetError

Openness: TypeAlias = Literal["open", "public", "closed"]
"""To whom a database is open: to everybody, to everybody for reading, or to nobody unknown."""

_POLICIES = {"open": OPEN, "public": PUBLIC, "closed": CLOSED}
_SQLITE_SUFFIXES = (".sqlite", ".sqlite3", ".db", ".db3")


class Target(Struct, frozen=True):
    """What to serve and how, in a form that can be sent to another process."""

    text: str
    writable: bool = False
    schema: str | None = None
    prefix: str = "/api"
    connections: int = 5
    openness: Openness = "open"

    @property
    def is_database(self) -> bool:
        """Whether it names a database, and not an application."""
        if "://" in self.text:
            return True
        path = Path(self.text)
        return path.suffix.lower() in _SQLITE_SUFFIXES or path.exists()

    @property
    def shown(self) -> str:
        """What people call it, without a password."""
        if not self.is_database:
            return self.text
        url = database_url(self.text)
        return str(url.database) if url.get_backend_name() == "sqlite" else shown(url)


class Served(Struct, frozen=True, eq=False):
    """An application, and what people want to know of it.

    ``reflected`` is None for an application, ``api`` too for one without Carboy. ``held`` is the
    most requests of a process that the database can hold up; ``metrics`` says whether it counts
    any. ``engines`` are all that it has opened, ``engine`` that of a database.
    """

    wsgi: Callable[..., Any]
    title: str
    api: Schema | None
    prefix: str
    reflected: Reflected | None = None
    writable: bool = False
    engine: Engine | None = None
    engines: tuple[Engine, ...] = ()
    metrics: bool = False
    held: int = 0

    def close(self) -> None:
        """Give back the connections that it has opened."""
        for engine in self.engines:
            engine.dispose()


class Opened(Struct, frozen=True, eq=False):
    """What a command works on where nothing is served: a database, and the settings for it."""

    engine: Engine
    settings: Settings


def load(target: Target) -> Served:
    """The application that a target means; TargetError where there is none."""
    return _load_database(target) if target.is_database else _load_application(target.text)


@contextmanager
def application(target: Target) -> Iterator[flask.Flask]:
    """The application that a target means; TargetError where it has no API."""
    served = load(target)
    try:
        if served.api is None or not isinstance(served.wsgi, flask.Flask):
            raise without_api(target)
        yield served.wsgi
    finally:
        served.close()


@contextmanager
def reviewed(target: Target) -> Iterator[Api]:
    """The API of a target, in its application's context; TargetError where it has none."""
    with application(target) as app, app.app_context():
        yield built_api(app)


@contextmanager
def opened(target: Target) -> Iterator[Opened]:
    """A target's database, and its settings; what the database refuses is a TargetError."""
    with ExitStack() as stack:
        if target.is_database:
            found = _opened_database(target)
            stack.callback(found.engine.dispose)
        else:
            wsgi = _find_application(target.text)
            if not isinstance(wsgi, flask.Flask) or "carboy" not in wsgi.extensions:
                raise without_api(target)
            stack.enter_context(wsgi.app_context())
            found = Opened(engine_of(wsgi), settings_of(wsgi))
        try:
            yield found
        except sa.exc.SQLAlchemyError as error:
            engine = found.engine
            is_file = engine.dialect.name == "sqlite"
            name = sqlite_path(engine.url) if is_file else shown(engine.url)
            original = getattr(error, "orig", None) or error
            raise TargetError(f"{name}: {first_line(original)}") from None


def located(target: Target) -> tuple[sa.URL, Settings]:
    """The URL of a target's database, which need not be there yet, and its settings.

    Raises TargetError.
    """
    if target.is_database:
        return database_url(target.text), outer_settings()
    with opened(target) as found:
        return found.engine.url, found.settings


def _opened_database(target: Target) -> Opened:
    known = outer_settings()
    return Opened(open_engine(target.text, writable=target.writable, connections=1), known)


def outer_settings() -> Settings:
    """The settings of a database, which has no code to set any; TargetError for wrong ones."""
    try:
        return read_settings({}, outside())
    except SettingError as error:
        raise TargetError(str(error)) from None


def without_api(target: Target) -> TargetError:
    """The fault of an application that Carboy is no part of."""
    return TargetError(f"{target.text} has no Carboy; it was never given to Carboy(app, db)")


# --- a database ---


def _load_database(target: Target) -> Served:
    engine = open_engine(target.text, writable=target.writable, connections=target.connections)
    try:
        reflected = _reflect(engine, target)
        app = reflected_app(engine, reflected, target)
        with app.app_context():
            api = built_api(app)
    except (SchemaError, SettingError) as error:
        engine.dispose()
        raise TargetError(str(error)) from None
    except TargetError:
        engine.dispose()
        raise
    is_file = engine.dialect.name == "sqlite"
    return Served(
        wsgi=app,
        title=str(sqlite_path(engine.url)) if is_file else shown(engine.url),
        api=api.schema,
        prefix=target.prefix.rstrip("/"),
        reflected=reflected,
        writable=target.writable,
        engine=engine,
        engines=(engine,),
        metrics=settings_of(app).metrics != "off",
        held=api.database.gate.held,
    )


def _reflect(engine: Engine, target: Target) -> Reflected:
    try:
        reflected = reflect(engine, schema=target.schema, writable=target.writable)
    except sa.exc.SQLAlchemyError as error:
        raise unreachable(engine, error) from None
    if not reflected.registrations:
        where = f"schema {target.schema!r}" if target.schema else "the database"
        hint = "" if engine.dialect.name == "sqlite" else "; --schema names another schema"
        raise TargetError(f"{where} has no tables or views that can be served{hint}")
    return reflected


def reflected_app(engine: Engine, reflected: Reflected, target: Target) -> flask.Flask:
    """A Flask application that is nothing but the API."""
    prefix = target.prefix
    app = flask.Flask("carboy", static_folder=None, template_folder=None)
    app.config["CARBOY_PREFIX"] = prefix
    Carboy(app, engine, policy=_POLICIES[target.openness]).register(*reflected.registrations)
    if prefix.strip("/"):

        def home() -> Response:
            return flask.redirect(flask.request.script_root + prefix)

        app.add_url_rule("/", view_func=home)
    return app


# --- an application ---


def _load_application(text: str) -> Served:
    wsgi = _find_application(text)
    schema, prefix, metrics, held = None, "", False, 0
    engines: tuple[Engine, ...] = ()
    if isinstance(wsgi, flask.Flask) and "carboy" in wsgi.extensions:
        try:
            with wsgi.app_context():
                api, settings = built_api(wsgi), settings_of(wsgi)
        except (SchemaError, SettingError, sa.exc.SQLAlchemyError) as error:
            raise TargetError(f"{text}: {error}") from None
        schema, held = api.schema, api.database.gate.held
        engines = tuple(each.engine for each in api.databases.values())
        prefix, metrics = settings.prefix.rstrip("/"), settings.metrics != "off"
    return Served(
        wsgi=wsgi,
        title=text,
        api=schema,
        prefix=prefix,
        engines=engines,
        metrics=metrics,
        held=held,
    )


def _find_application(text: str) -> Callable[..., Any]:
    module_name, colon, attribute = text.partition(":")
    called = attribute.endswith("()")
    names = attribute.removesuffix("()").split(".")
    if not colon or not all(n.isidentifier() for n in [*module_name.split("."), *names]):
        raise TargetError(
            f"{text!r} is neither a database URL, nor a file that is there, nor module:app"
        )
    found: Any = _module(module_name)
    for name in names:
        if not hasattr(found, name):
            raise TargetError(f"{text}: {module_name!r} has no {'.'.join(names)!r}")
        found = getattr(found, name)
    if called:
        found = _guarded(text, found)
    elif inspect.isfunction(found) and not inspect.signature(found).parameters:
        raise TargetError(f"{text} is a function that makes an application; write '{text}()'")
    if not callable(found) or inspect.isclass(found):
        raise TargetError(f"{text} is no WSGI application, but a {type(found).__name__}")
    wsgi: Callable[..., Any] = found
    return wsgi


def _module(name: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return _guarded(name, lambda: importlib.import_module(name))
    except ModuleNotFoundError as error:
        raise TargetError(f"{name!r} can't be imported: {error}") from None


def _guarded(text: str, make: Callable[[], Any]) -> Any:
    """Run the application's code; what it raises becomes one line with the place."""
    try:
        return make()
    except ModuleNotFoundError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise TargetError(
            f"{text} failed: {type(error).__name__}: {error} ({place.filename}:{place.lineno})"
        ) from error
