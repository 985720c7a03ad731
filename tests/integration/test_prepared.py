"""Reads past psycopg's cursor: prepared as psycopg would, and right whatever happens to that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import OPEN, Carboy
from carboy.execute.prepared import Prepared
from tests.conftest import empty_postgresql_database


class Base(DeclarativeBase):
    """The models of this module."""


class Note(Base):
    """A row to read."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None]


@pytest.fixture
def url(postgresql_url: str) -> Iterator[str]:
    """A database with two notes."""
    with empty_postgresql_database(postgresql_url) as url:
        engine = sa.create_engine(url)
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            rows: list[dict[str, Any]] = [{"text": "hällo"}, {"text": None}]
            connection.execute(sa.insert(Note), rows)
        engine.dispose()
        yield url


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    """An engine with one connection, so that a test meets the one that a request had."""
    engine = sa.create_engine(url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


def client_of(engine: sa.Engine) -> FlaskClient:
    """A client of an application on the engine."""
    app = Flask("notes")
    Carboy(app, engine, policy=OPEN).resource(Note)
    return app.test_client()


def prepared(engine: sa.Engine) -> set[str]:
    """The names of what is prepared on the engine's connection."""
    with engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT name FROM pg_prepared_statements").scalars()
        return set(names)


def reads(client: FlaskClient, times: int, path: str = "/api/notes/1") -> None:
    """Ask for a note a number of times."""
    for _ in range(times):
        assert client.get(path).json == {"id": 1, "text": "hällo"}


def test_a_read_is_prepared_once_it_comes_often(engine: sa.Engine) -> None:
    """As often as psycopg's prepare_threshold says, and then it stays the same statement."""
    client = client_of(engine)
    reads(client, 5)
    assert not prepared(engine)
    reads(client, 3)
    assert prepared(engine) == {"carboy_0"}


def test_first_pages_are_planned_once(engine: sa.Engine) -> None:
    """PostgreSQL plans for an offset that it doesn't know each time; and deep ones share a text."""
    client = client_of(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO notes (text) SELECT i FROM generate_series(1, 5000) i")
        )
        connection.execute(sa.text("ANALYZE notes"))
    for _ in range(20):
        assert client.get("/api/notes?limit=20&offset=20").get_json()["data"][0]["id"] == 21
    known = "SELECT statement, generic_plans FROM pg_prepared_statements"
    with engine.connect() as connection:
        ((text, generic),) = connection.exec_driver_sql(known)
        assert "OFFSET 20" in text
        assert generic > 5
    for offset in range(200, 1000, 20):
        client.get(f"/api/notes?limit=20&offset={offset}")
    assert len(prepared(engine)) == 2


def test_the_oldest_is_given_back(engine: sa.Engine) -> None:
    """No more are kept than psycopg's prepared_max, of those that are used the least."""
    client = client_of(engine)
    client.get("/api/notes")
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.prepared_max = 2
    for path in ("/api/notes/1", "/api/notes", "/api/notes?order=text"):
        for _ in range(8):
            assert client.get(path).status_code == 200
        reads(client, 1)
    assert prepared(engine) == {"carboy_0", "carboy_2"}


def test_nothing_is_prepared_where_a_pooler_forbids_it(url: str) -> None:
    """``prepare_threshold`` None is psycopg's setting for that."""
    engine = sa.create_engine(url, connect_args={"prepare_threshold": None})
    reads(client_of(engine), 8)
    assert not prepared(engine)
    engine.dispose()


def test_what_is_no_longer_prepared_is_sent_again(engine: sa.Engine) -> None:
    """DISCARD ALL takes prepared statements away; the read that finds out is answered."""
    client = client_of(engine)
    reads(client, 8)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("DISCARD ALL")
    reads(client, 8)
    assert len(prepared(engine)) == 1


def test_a_read_leaves_no_transaction_behind(engine: sa.Engine) -> None:
    """The connection is idle after a read, good or bad, and so is psycopg's own view of it."""
    client = client_of(engine)
    for path in ("/api/notes/1", "/api/notes/3", "/api/notes?text=eq.%2577"):
        client.get(path)
        raw = engine.raw_connection()
        driver: Any = raw.driver_connection
        assert driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert driver.autocommit is False
        raw.close()


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("/api/notes?text=eq.h%C3%A4llo&select=text", ["hällo"]),
        ("/api/notes?text=is.null&select=text", [None]),
        ("/api/notes?id=in.(1,2)&select=text", ["hällo", None]),
        ("/api/notes?text=like.h%25&select=text", ["hällo"]),
        ("/api/notes?id=lt.2147483647&select=text", ["hällo", None]),
        ("/api/notes?text=eq.%2525%27%22%5C&select=text", []),
    ],
)
def test_values_arrive_as_they_are(engine: sa.Engine, path: str, texts: list[str | None]) -> None:
    """Texts, numbers of every size, lists and per cents, before and after it is prepared."""
    client = client_of(engine)
    for _ in range(8):
        answer: Any = client.get(path).json
        assert [row["text"] for row in answer["data"]] == texts


def test_an_instrumented_connection_keeps_its_cursor(url: str) -> None:
    """What a cursor of somebody else's wants to see, it sees."""
    seen: list[str] = []

    class Seeing(psycopg.Cursor[Any]):
        def execute(self, query: Any, *args: Any, **options: Any) -> Any:
            seen.append(str(query))
            return super().execute(query, *args, **options)

    engine = sa.create_engine(url, connect_args={"cursor_factory": Seeing})
    reads(client_of(engine), 1)
    assert any("json_build_object" in sql for sql in seen)
    engine.dispose()


def test_a_connection_in_another_encoding_keeps_its_cursor(url: str) -> None:
    """Its texts aren't the UTF-8 that an answer is."""
    engine = sa.create_engine(url, connect_args={"client_encoding": "latin1"})
    reads(client_of(engine), 8)
    raw = engine.raw_connection()
    assert not Prepared.fits(raw.driver_connection)
    raw.close()
    engine.dispose()
