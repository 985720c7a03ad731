"""Carboy beside Flask-SQLAlchemy, Flask-SQLAlchemy-Lite, and an Engine with declarative models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_sqlalchemy
import flask_sqlalchemy_lite
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import QueuePool

from carboy import OPEN, Carboy
from carboy.schema import SchemaError
from carboy.serve import Target, load


class Base(DeclarativeBase):
    """The models of an application that has its own engine."""


class Pot(Base):
    """A model with a column that not everybody may read."""

    __tablename__ = "pots"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret: Mapped[str | None]


@contextmanager
def flask_sqlalchemy_app(url: str) -> Iterator[Flask]:
    """Models that derive from ``db.Model``."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db = flask_sqlalchemy.SQLAlchemy(app)

    class Cup(db.Model):  # type: ignore[name-defined,misc]
        __tablename__ = "pots"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    Carboy(app, db, policy=OPEN).resource(Cup)
    with app.app_context():
        db.create_all()
        db.session.add(Cup(id=1, name="cup"))
        db.session.commit()
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@contextmanager
def flask_sqlalchemy_lite_app(url: str) -> Iterator[Flask]:
    """Declarative models, and sessions from the extension."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_ENGINES"] = {"default": url}
    db = flask_sqlalchemy_lite.SQLAlchemy(app)
    Carboy(app, db, policy=OPEN).resource(Pot, readable=("id", "name"))
    with app.app_context():
        Base.metadata.create_all(db.engine)
        db.session.add(Pot(id=1, name="cup"))
        db.session.commit()
    yield app
    with app.app_context():
        db.engine.dispose()


@contextmanager
def engine_app(url: str) -> Iterator[Flask]:
    """Nothing but SQLAlchemy."""
    app = Flask(__name__)
    engine = _filled(url)
    Carboy(app, engine, policy=OPEN).resource(Pot, readable=("id", "name"))
    yield app
    engine.dispose()


def _filled(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Pot(id=1, name="cup"))
        session.commit()
    return engine


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine whose database has one pot."""
    engine = _filled(database_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("make", [flask_sqlalchemy_app, flask_sqlalchemy_lite_app, engine_app])
def test_every_host_answers_the_same(database_url: str, make: Callable[..., Any]) -> None:
    """An application, a resource, a GET: the same JSON whoever owns the engine."""
    with make(database_url) as app:
        client = app.test_client()
        assert client.get("/api/pots/1").get_json() == {"id": 1, "name": "cup"}
        assert client.get("/api/pots").get_json()["data"] == [{"id": 1, "name": "cup"}]


def test_one_api_serves_two_applications(engine: sa.Engine) -> None:
    """Made without an application, it's given to each by init_app, with that one's settings."""
    api = Carboy(policy=OPEN)
    api.resource(Pot, hidden=("secret",))
    first, second = Flask("first"), Flask("second")
    second.config["CARBOY_PREFIX"] = "/v2"
    api.init_app(first, engine)
    api.init_app(second, engine)
    assert first.test_client().get("/api/pots/1").get_json() == {"id": 1, "name": "cup"}
    assert second.test_client().get("/v2/pots/1").get_json() == {"id": 1, "name": "cup"}
    assert second.test_client().get("/api/pots/1").status_code == 404


def test_resources_can_follow_init_app(engine: sa.Engine) -> None:
    """The order of init_app and resource doesn't matter before the first request."""
    app = Flask(__name__)
    api = Carboy(app, engine, policy=OPEN)
    api.resource(Pot, name="vessels", hidden=("secret",))
    client = app.test_client()
    assert client.get("/api/vessels/1").get_json() == {"id": 1, "name": "cup"}
    assert client.get("/api/pots/1").status_code == 404


@pytest.mark.parametrize(("prefix", "path"), [("/api", "/api"), ("/v1/", "/v1/"), ("/", "/")])
def test_the_prefix_answers_the_index(engine: sa.Engine, prefix: str, path: str) -> None:
    """The root of the API lists its resources, with URLs that work."""
    app = Flask(__name__)
    app.config["CARBOY_PREFIX"] = prefix
    api = Carboy(app, engine, policy=OPEN)
    api.resource(Pot)
    api.resource(Pot, name="shown", read_only=True)
    client = app.test_client()
    entries = client.get(path).get_json()["resources"]
    assert [(e["name"], e["writable"]) for e in entries] == [("pots", True), ("shown", False)]
    assert all(client.get(entry["url"]).status_code == 200 for entry in entries)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"readable": ("id", "nmae")}, "resource 'pots': readable='nmae' is no column; it has id"),
        ({"writable": ("nope",)}, "resource 'pots': writable='nope' is no column"),
        ({"hidden": ("nope",)}, "resource 'pots': hidden='nope' is no column"),
        ({"search": ("nope",)}, "resource 'pots': search='nope' is no column"),
        ({"name": "a/b"}, "'a/b' can't stand in a URL"),
    ],
)
def test_wrong_options_name_the_resource_and_the_fix(options: dict[str, Any], message: str) -> None:
    """A mistake shows when the resource is declared, not at the first request."""
    with pytest.raises(SchemaError, match=message):
        Carboy(policy=OPEN).resource(Pot, **options)


def test_a_database_is_asked_for() -> None:
    """Without db, init_app says how to give it."""
    with pytest.raises(SchemaError, match="Carboy needs the database"):
        Carboy(policy=OPEN).init_app(Flask(__name__))


def test_a_body_that_flask_or_the_client_cuts_is_a_problem_too(engine: sa.Engine) -> None:
    """Flask's own limit is a 413, a body shorter than it says a 400; neither is HTML."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 100
    Carboy(app, engine, policy=OPEN).resource(Pot)
    client = app.test_client()
    for length, body, status in ((101, b"x" * 101, 413), (50, b"{", 400)):
        response = client.post(
            "/api/pots",
            data=body,
            content_type="application/json",
            environ_overrides={"CONTENT_LENGTH": str(length)},
        )
        assert response.status_code == status, response.text
        assert response.content_type == "application/problem+json"


def test_the_applications_own_routes_stay_its_own(engine: sa.Engine) -> None:
    """A route under the prefix wins over the API's, and its other paths answer as before."""
    app = Flask(__name__)
    Carboy(app, engine, policy=OPEN).resource(Pot)
    app.add_url_rule("/api/pots/report", "report", lambda: "mine")
    client = app.test_client()
    assert client.get("/api/pots/report").text == "mine"
    assert client.get("/api/pots/1").status_code == 200
    assert client.get("/elsewhere").content_type.startswith("text/html")


def test_a_loaded_application_gives_its_connections_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that only starts the server keeps none of the database's."""
    source = (
        "import flask, sqlalchemy\n"
        "from carboy import Carboy\n"
        f"engine = sqlalchemy.create_engine('sqlite:///{tmp_path / 'any.sqlite'}')\n"
        "engine.connect().close()\n"
        "app = flask.Flask(__name__)\n"
        "Carboy(app, engine)\n"
    )
    (tmp_path / "given_back.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    served = load(Target("given_back:app"))
    (engine,) = served.engines
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedin() == 1
    served.close()
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedin() == 0
