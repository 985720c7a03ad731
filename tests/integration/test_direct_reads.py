"""Reads in front of Flask's dispatch: the same answers, and no hook that is passed by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import OPEN, Carboy


class Base(DeclarativeBase):
    """The models of this module."""


class Note(Base):
    """A row to read."""

    __tablename__ = "notes"

    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """A database with some notes."""
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": key, "text": f"note {key}"} for key in ("1", "a/b", "ü", "x y")]
        connection.execute(sa.insert(Note), rows)
    yield engine
    engine.dispose()


def make_app(engine: sa.Engine, class_: type[Flask] = Flask, **config: Any) -> Flask:
    """An application with the notes, whose API is built already."""
    app = class_("notes")
    app.config.update(config)
    api = Carboy(app, engine, policy=OPEN)
    api.resource(Note)
    with app.app_context():
        assert api.schema.exposed()
    return app


class Dispatched(Flask):
    """An application that says whether Flask has dispatched a request."""


def flask_saw(app: Flask, monkeypatch: pytest.MonkeyPatch, url: str = "/api/notes/1") -> bool:
    """Whether a read passes Flask's dispatch."""
    seen: list[str] = []
    match = app.create_url_adapter

    def adapter(request: Any) -> Any:
        seen.append(url)
        return match(request)

    monkeypatch.setattr(app, "create_url_adapter", adapter)
    assert app.test_client().get(url).status_code == 200
    return bool(seen)


PATHS = [
    "/api/notes",
    "/api/notes?limit=2&order=text.desc",
    "/api/notes?page=2&per_page=1",
    "/api/notes/1",
    "/api/notes/1?select=text",
    "/api/notes/a%2Fb",
    "/api/notes/a/b",
    "/api/notes/%C3%BC",
    "/api/notes/x%20y",
    "/api/notes/none",
    "/api/notes/1/",
    "/api/notes/",
    "/api/nothing",
    "/api//notes",
    "/api",
    "/api/",
    "/api/notes?text=like.*",
    "/api/notes?nope=eq.1",
    "/api/notes?select=(",
    "/api/notes?q=%ED%A0%80",
    f"/api/notes?id=eq.{'x' * 9000}",
    "/elsewhere",
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
def test_the_answer_is_the_one_that_flask_gives(engine: sa.Engine, path: str, method: str) -> None:
    """Status, headers and body are equal, whichever way a request takes."""
    direct = make_app(engine, SECRET_KEY="k").test_client()
    dispatched = make_app(engine, SECRET_KEY="k", CARBOY_DIRECT_READS=0).test_client()
    headers = {"Prefer": "count=exact", "X-Request-ID": "same"}

    def answer(client: FlaskClient) -> tuple[int, dict[str, str], bytes]:
        response = client.open(path, method=method, headers=headers)
        return response.status_code, dict(response.headers), response.data

    assert answer(direct) == answer(dispatched)


def test_a_known_etag_is_a_304_either_way(engine: sa.Engine) -> None:
    """Without a body, and with the same headers."""
    clients = [make_app(engine, CARBOY_DIRECT_READS=n).test_client() for n in (0, 1)]
    for path in ("/api/notes", "/api/notes/1"):
        etag = clients[0].get(path).headers["ETag"]
        headers = {"If-None-Match": etag, "X-Request-ID": "same"}
        answers = [client.get(path, headers=headers) for client in clients]
        assert [a.status_code for a in answers] == [304, 304]
        assert dict(answers[0].headers) == dict(answers[1].headers)


def test_flask_is_passed_where_nothing_is_registered(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short way is the usual one, and one setting turns it off."""
    assert not flask_saw(make_app(engine), monkeypatch)
    assert flask_saw(make_app(engine, CARBOY_DIRECT_READS=0), monkeypatch)


def _before(app: Flask) -> None:
    app.before_request(lambda: None)


def _after(app: Flask) -> None:
    app.after_request(lambda response: response)


def _teardown(app: Flask) -> None:
    app.teardown_request(lambda _: None)


def _blueprint(app: Flask) -> None:
    blueprint = flask.Blueprint("b", __name__)
    blueprint.before_app_request(lambda: None)
    app.register_blueprint(blueprint)


def _preprocessor(app: Flask) -> None:
    app.url_value_preprocessor(lambda endpoint, values: None)


def _route(app: Flask) -> None:
    app.add_url_rule("/api/notes/special", view_func=lambda: "special", endpoint="special")


def _hosts(app: Flask) -> None:
    app.config["TRUSTED_HOSTS"] = ["localhost"]


@pytest.mark.parametrize(
    "register", [_before, _after, _teardown, _blueprint, _preprocessor, _route, _hosts]
)
def test_whatever_is_registered_sees_the_request(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, register: Callable[[Flask], None]
) -> None:
    """Hooks, routes of one's own under the prefix, and trusted hosts need Flask's dispatch."""
    app = make_app(engine)
    register(app)
    assert flask_saw(app, monkeypatch)


@pytest.mark.parametrize(
    "signal",
    [
        flask.request_started,
        flask.request_finished,
        flask.request_tearing_down,
        flask.got_request_exception,
        flask.appcontext_pushed,
        flask.appcontext_popped,
        flask.appcontext_tearing_down,
    ],
)
def test_who_waits_for_a_signal_gets_it(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, signal: Any
) -> None:
    """A connected signal needs Flask's dispatch."""
    app = make_app(engine)

    def receiver(*_: object, **__: object) -> None:
        """Wait."""

    with signal.connected_to(receiver, app):
        assert flask_saw(app, monkeypatch)


def test_a_route_of_ones_own_is_served(engine: sa.Engine) -> None:
    """The application's own route wins over an item's, as Flask's routing has it."""
    app = make_app(engine)
    _route(app)
    assert app.test_client().get("/api/notes/special").text == "special"


def test_a_middleware_is_never_passed_by(engine: sa.Engine) -> None:
    """One that wraps the application before Carboy comes sees every request."""
    app = Flask("notes")
    inner = app.wsgi_app
    seen: list[str] = []

    def middleware(environ: Any, start_response: Any) -> Any:
        seen.append(environ["PATH_INFO"])
        return inner(environ, start_response)

    app.wsgi_app = middleware  # type: ignore[method-assign]
    Carboy(app, engine, policy=OPEN).resource(Note)
    for _ in range(2):
        assert app.test_client().get("/api/notes/1").status_code == 200
    assert seen == ["/api/notes/1"] * 2


def test_a_class_of_ones_own_dispatches_itself(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subclass of Flask may have changed any part of the dispatch."""
    assert flask_saw(make_app(engine, Dispatched), monkeypatch)


def test_a_write_takes_flasks_way(engine: sa.Engine) -> None:
    """Only reads are answered directly, and a read after a write sees it."""
    client = make_app(engine).test_client()
    assert client.post("/api/notes", json={"id": "2", "text": "new"}).status_code == 201
    assert client.get("/api/notes/2?select=text").json == {"text": "new"}
