"""API keys from first to last, on every database."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool

from carboy import OPEN, Actor, Carboy
from carboy.execute import api_keys
from carboy.execute.api_keys import TABLE
from carboy.ops.api_keys import ApiKeyError, create_key, list_keys, revoke_key
from tests.statements import StatementCounter


class Base(DeclarativeBase):
    """The models of this module."""


class Note(Base):
    """A row to read."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """A database with one note."""
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Note).values(text="hello"))
    yield engine
    engine.dispose()


def make_app(engine: sa.Engine) -> Flask:
    """An application with the notes, and a view that says who asks."""
    app = Flask("notes")
    api = Carboy(app, engine, policy=OPEN)
    api.resource(Note)

    @app.get("/who")
    def who() -> dict[str, Any]:
        if api.actor.is_anonymous:
            return {"id": None}
        return {"id": api.actor.id, "roles": sorted(api.actor.roles)}

    with app.app_context():
        assert api.schema.exposed()
    return app


def bearer(token: str) -> dict[str, str]:
    """The header of a key."""
    return {"Authorization": f"Bearer {token}"}


def used_at(engine: sa.Engine) -> dt.datetime | None:
    """When the only key was last used, as it is written down."""
    return list_keys(engine)[0].last_used_at


def test_a_key_names_its_actor(engine: sa.Engine) -> None:
    """The name or the id of the key, and its roles, by either header."""
    client = make_app(engine).test_client()
    plain = create_key(engine, "reports", ["reader", "editor", "reader"])
    other = create_key(engine, "sync of Ada", id="7")
    assert client.get("/who").json == {"id": None}
    for headers in (
        bearer(plain),
        {"Authorization": f"bearer  {plain} "},
        {"X-API-Key": plain},
        {**bearer(plain), "X-API-Key": other},
    ):
        found = {"id": "reports", "roles": ["editor", "reader"]}
        assert client.get("/who", headers=headers).json == found
    assert client.get("/who", headers=bearer(other)).json == {"id": "7", "roles": []}


def test_reads_and_writes_are_answered_with_a_key(engine: sa.Engine) -> None:
    """A key changes nothing about the answer where no policy asks for one."""
    app = make_app(engine)
    client = app.test_client()
    headers = bearer(create_key(engine, "reports"))
    assert client.get("/api/notes/1", headers=headers).json == {"id": 1, "text": "hello"}
    assert client.get("/api", headers=headers).status_code == 200
    made = client.post("/api/notes", json={"text": "new"}, headers=headers)
    assert made.status_code == 201


BAD = {
    "a secret of another's": lambda one, other: one[:20] + other[20:],
    "a character less": lambda one, _: one[:-1],
    "a character more": lambda one, _: one + "x",
    "a prefix of nobody's": lambda one, _: "carboy_" + "0" * 12 + one[19:],
    "no secret": lambda one, _: one[:20],
    "the hash": lambda one, _: one[:20] + api_keys.hash_secret(one[20:])[:43],
    "capitals": lambda one, _: one.upper(),
    "other characters": lambda one, _: one[:-1] + "é",
    "nothing": lambda *_: "",
}


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_wrong_key_is_a_401(engine: sa.Engine, make: Any, header: str) -> None:
    """On every path of the API, and by either header; never taken for nobody's request."""
    client = make_app(engine).test_client()
    one, other = create_key(engine, "one"), create_key(engine, "other")
    text = make(one, other)
    headers = {header: text if header == "X-API-Key" else f"Bearer {text}"}
    for method, path in (
        ("GET", "/api/notes/1"),
        ("HEAD", "/api/notes/1"),
        ("POST", "/api/notes"),
        ("OPTIONS", "/api/notes"),
        ("GET", "/api"),
        ("GET", "/who"),
    ):
        response = client.open(path, method=method, headers=headers)
        assert response.status_code == 401, path
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        if method != "HEAD":
            assert response.json is not None
            assert response.json["type"] == "urn:carboy:error:unauthorized"
            assert text == "" or text not in response.text
    assert client.get("/api/notes/1").status_code == 200


@pytest.mark.parametrize(
    "header", ["Basic YTpi", "Digest x", "Bearer", "Bearer ", "", "carboy_x", "Negotiate"]
)
def test_another_scheme_is_a_401(engine: sa.Engine, header: str) -> None:
    """Whoever sends credentials that aren't known here isn't answered as nobody."""
    client = make_app(engine).test_client()
    response = client.get("/api/notes/1", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_where_only_keys_are_set_up_is_a_401(engine: sa.Engine) -> None:
    """Without a key for tokens, none is taken, whatever it says."""
    client = make_app(engine).test_client()
    for text in ("eyJhbGciOiJub25lIn0.e30.", "x"):
        response = client.get("/api/notes/1", headers=bearer(text))
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_before_the_first_key_every_key_is_a_401(engine: sa.Engine) -> None:
    """The table is made with the first key, and no request makes it; keys work from then on."""
    client = make_app(engine).test_client()
    missing = bearer(f"carboy_{'0' * 12}_{'x' * 43}")
    assert client.get("/api/notes/1", headers=missing).status_code == 401
    assert list_keys(engine) == []
    assert not sa.inspect(engine).has_table(TABLE.name)
    headers = bearer(create_key(engine, "first"))
    assert client.get("/api/notes/1", headers=headers).status_code == 200


def test_keys_are_made_at_the_same_time(engine: sa.Engine) -> None:
    """The first keys of several processes: one makes the table, and all keys are there."""
    engine.dispose()
    with ThreadPoolExecutor(4) as pool:
        tokens = list(pool.map(lambda n: create_key(engine, f"key {n}"), range(8)))
    assert len(list_keys(engine)) == len(set(tokens)) == 8


def test_a_revoked_key_is_refused_at_the_next_request(engine: sa.Engine) -> None:
    """In every process, for nothing is kept of a key; revoking twice is no fault."""
    client, other_process = (make_app(engine).test_client() for _ in range(2))
    headers = bearer(create_key(engine, "reports"))
    for each in (client, other_process):
        assert each.get("/api/notes/1", headers=headers).status_code == 200
    prefix = list_keys(engine)[0].prefix
    revoke_key(engine, prefix)
    revoked = list_keys(engine)[0]
    for each in (client, other_process):
        response = each.get("/api/notes/1", headers=headers)
        assert response.status_code == 401
        assert f"the API key {prefix} was revoked" in response.text
    revoke_key(engine, prefix)
    assert list_keys(engine)[0].revoked_at == revoked.revoked_at
    assert revoked.status == "revoked"


def test_an_expired_key_is_refused(engine: sa.Engine) -> None:
    """From the very second on."""
    client = make_app(engine).test_client()
    headers = bearer(create_key(engine, "reports", expires_in=dt.timedelta(days=30)))
    key = list_keys(engine)[0]
    assert key.expires_at == key.created_at + dt.timedelta(days=30)
    assert key.status == "active"
    assert client.get("/api/notes/1", headers=headers).status_code == 200
    with engine.begin() as connection:
        connection.execute(sa.update(TABLE).values(expires_at=int(time.time())))
    response = client.get("/api/notes/1", headers=headers)
    assert response.status_code == 401
    assert "has expired" in response.text
    assert list_keys(engine)[0].status == "expired"


def test_the_secret_is_nowhere_in_the_database(engine: sa.Engine) -> None:
    """Of the token only the prefix can be found in the row."""
    token = create_key(engine, "reports")
    with engine.connect() as connection:
        row = connection.execute(sa.select(TABLE)).one()
    assert row.prefix == token.split("_")[1]
    assert token[20:] not in str(row)


def test_a_key_costs_one_statement_and_its_use_is_noted_once_a_minute(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read by key is two statements; without credentials, and of anything else, it is one."""
    plain = sa.create_engine(database_url)
    counter = StatementCounter(plain)
    Base.metadata.create_all(plain)
    client = make_app(plain).test_client()
    headers = bearer(create_key(plain, "reports"))
    assert used_at(plain) is None
    client.get("/api/notes", headers=headers)
    first = used_at(plain)
    assert first is not None

    def statements(**options: Any) -> int:
        before = counter.count()
        assert client.get("/api/notes", **options).status_code == 200
        return counter.count() - before

    statements()
    assert statements() == 1
    assert statements(headers=headers) == 2
    with plain.begin() as connection:
        connection.execute(sa.update(TABLE).values(last_used_at=None))
    statements(headers=headers)
    assert used_at(plain) is None
    monkeypatch.setattr(api_keys, "_NOTED_SECONDS", 0)
    statements(headers=headers)
    assert used_at(plain) is not None
    plain.dispose()
    counter.close()


def test_a_use_that_cant_be_noted_harms_no_request(engine: sa.Engine) -> None:
    """Where the database takes no writes, a key works, and nobody waits for the note."""
    headers = bearer(create_key(engine, "reports"))
    read_only = sa.create_engine(engine.url)

    @sa.event.listens_for(read_only, "connect")
    def forbid(connection: Any, _: object) -> None:
        if engine.dialect.name == "sqlite":
            connection.execute("PRAGMA query_only = ON")
        elif engine.dialect.name == "mariadb":
            connection.query("SET SESSION TRANSACTION READ ONLY")
        else:
            connection.execute("SET default_transaction_read_only = on")
            connection.commit()

    client = make_app(read_only).test_client()
    assert client.get("/api/notes/1", headers=headers).status_code == 200
    assert used_at(engine) is None
    read_only.dispose()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_key_doesnt_wait_for_another_writer(engine: sa.Engine) -> None:
    """While somebody writes to an SQLite file for long, reads by key go on, and at once."""
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL").close()
    client = make_app(engine).test_client()
    headers = bearer(create_key(engine, "reports"))
    with engine.connect() as writer:
        writer.exec_driver_sql("BEGIN IMMEDIATE")
        started = time.monotonic()
        assert client.get("/api/notes/1", headers=headers).status_code == 200
        assert time.monotonic() - started < 1
        writer.rollback()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    assert used_at(engine) is None


def test_an_uncommitted_change_on_a_shared_connection_stays_so() -> None:
    """A read by key commits nothing of what a session does on an in-memory database."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    headers = bearer(create_key(engine, "reports"))
    app = make_app(engine)
    with engine.connect() as connection:
        connection.execute(sa.insert(Note).values(id=2, text="draft"))
        assert app.test_client().get("/api/notes/2", headers=headers).status_code == 200
        connection.rollback()
    assert app.test_client().get("/api/notes/2", headers=headers).status_code == 404
    engine.dispose()


def test_a_database_that_is_away_is_a_503() -> None:
    """Nobody can tell whether the key is good, so the client is told to come back."""
    engine = sa.create_engine("postgresql+psycopg://carboy:s3cret@127.0.0.1:1/none")
    app = Flask("away")
    Carboy(app, engine, policy=OPEN).resource(Note)
    client: FlaskClient = app.test_client()
    for path in ("/api/notes", "/api"):
        response = client.get(path, headers=bearer(f"carboy_{'0' * 12}_{'x' * 43}"))
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
    # What can't be a key needs no database to be refused.
    assert client.get("/api/notes", headers=bearer("carboy_x")).status_code == 401


def test_a_view_of_ones_own_asks_once(engine: sa.Engine) -> None:
    """However often a view asks who it is, the key is looked up once a request."""
    app = make_app(engine)
    token = create_key(engine, "reports")
    api: Carboy = app.extensions["carboy"].carboy
    with app.test_request_context("/who", headers=bearer(token)):
        actor = api.actor
        assert actor == Actor("reports")
        revoke_key(engine, list_keys(engine)[0].prefix)
        assert api.actor is actor
    with app.test_request_context("/who"):
        assert flask.request.path == "/who"
        assert api.actor.is_anonymous


@pytest.mark.parametrize("text", ["", " ", "x" * 300, "a\0b", "a\nb", "\ud800"])
@pytest.mark.parametrize("place", ["name", "role", "id"])
def test_names_that_nobody_could_read_are_refused(place: str, text: str) -> None:
    """A name, a role or an id is some printable characters; nothing is asked of the database."""
    engine = sa.create_engine("sqlite://")
    with pytest.raises(ApiKeyError, match="printable characters"):
        create_key(
            engine,
            text if place == "name" else "name",
            [text] if place == "role" else [],
            id=text if place == "id" else None,
        )


def test_an_unknown_key_cant_be_revoked(engine: sa.Engine) -> None:
    """With and without a table, a prefix that isn't there is a fault."""
    for _ in range(2):
        with pytest.raises(ApiKeyError, match="there is no API key 'nope'"):
            revoke_key(engine, "nope")
        create_key(engine, "other")
