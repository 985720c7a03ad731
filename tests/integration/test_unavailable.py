"""The database away or all its connections taken: 503, and on again without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import OPEN, Carboy
from tests.conftest import empty_mariadb_database, empty_postgresql_database


class Base(DeclarativeBase):
    """The models of this module."""


class Note(Base):
    """A row to read."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@pytest.fixture
def database(postgresql_url: str) -> Iterator[str]:
    """A database with one note."""
    with empty_postgresql_database(postgresql_url) as url:
        engine = sa.create_engine(url)
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(sa.insert(Note).values(text="hello"))
        engine.dispose()
        yield url


def client_of(engine: sa.Engine) -> FlaskClient:
    """A client of an application on the engine."""
    app = Flask("notes")
    Carboy(app, engine, policy=OPEN).resource(Note)
    return app.test_client()


@contextmanager
def closed(server_url: str, database: str) -> Iterator[None]:
    """Throw everybody out of a database, and let nobody in."""
    name = sa.make_url(database).database
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"
            ),
            {"name": name},
        )
        try:
            yield
        finally:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    engine.dispose()


def test_a_database_that_went_away_is_a_503_until_it_is_back(
    postgresql_url: str, database: str
) -> None:
    """While nobody may connect each read is a 503 with Retry-After; the first one after works."""
    engine = sa.create_engine(database)
    client = client_of(engine)
    assert client.get("/api/notes/1").json == {"id": 1, "text": "hello"}
    with closed(postgresql_url, database):
        for path in ("/api/notes", "/api/notes/1"):
            response = client.get(path)
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"
            assert response.json is not None
            assert response.json["type"] == "urn:carboy:error:unavailable"
    assert client.get("/api/notes/1").json == {"id": 1, "text": "hello"}
    engine.dispose()


def test_connections_that_went_stale_cost_no_answer(postgresql_url: str, database: str) -> None:
    """After the server has closed every pooled connection, reads still answer, by the same pool."""
    engine = sa.create_engine(database, pool_size=3)
    pool = engine.pool
    client = client_of(engine)
    held = [engine.raw_connection() for _ in range(3)]
    for connection in held:
        connection.close()
    with closed(postgresql_url, database):
        pass
    for _ in range(4):
        assert client.get("/api/notes/1").status_code == 200
    # A second one beside it would open more connections than its limit.
    assert engine.pool is pool
    engine.dispose()


def test_a_database_that_takes_no_writes_is_a_503_for_them(database: str) -> None:
    """As on a standby: reads are answered, and a write is told to try again."""
    read_only = sa.make_url(database).update_query_dict(
        {"options": "-c default_transaction_read_only=on"}
    )
    engine = sa.create_engine(read_only)
    client = client_of(engine)
    assert client.get("/api/notes/1").status_code == 200
    response = client.post("/api/notes", json={"text": "new"})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    engine.dispose()


def test_a_full_disk_is_a_503(tmp_path: Path) -> None:
    """SQLite's file may grow no more: a 503 that leaves nothing behind, until it may again."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'notes.sqlite'}", pool_size=1, max_overflow=0)
    Base.metadata.create_all(engine)
    client = client_of(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
    response = client.post("/api/notes", json={"text": "x" * 100_000})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 10000")
    assert client.get("/api/notes").json == {"data": [], "next": None}
    assert client.post("/api/notes", json={"text": "x" * 100_000}).status_code == 201
    engine.dispose()


def test_a_full_table_is_a_503(mariadb_url: str) -> None:
    """MariaDB says of a full disk that a table is full; here one that may have so many bytes."""
    with empty_mariadb_database(mariadb_url) as url:
        engine = sa.create_engine(url, pool_size=1, max_overflow=0)
        with engine.begin() as connection:
            connection.exec_driver_sql("SET max_heap_table_size = 16384")
            connection.exec_driver_sql(
                "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTO_INCREMENT, text VARCHAR(2000)) "
                "ENGINE = MEMORY MAX_ROWS = 1"
            )
        client = client_of(engine)
        rows = [{"text": "x" * 2000}] * 1000
        response = client.post("/api/notes", json=rows)
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        engine.dispose()


def test_nobody_listening_is_a_503() -> None:
    """A port where no server is, and a password that is kept out of the answer."""
    engine = sa.create_engine("postgresql+psycopg://carboy:s3cret@127.0.0.1:1/none")
    response = client_of(engine).get("/api/notes")
    assert response.status_code == 503
    assert "s3cret" not in response.get_data(as_text=True)


def test_an_empty_pool_is_a_503(database: str) -> None:
    """With every connection taken a read waits as long as the pool says, and is told to retry."""
    engine = sa.create_engine(database, pool_size=1, max_overflow=0, pool_timeout=0.1)
    client = client_of(engine)
    with engine.connect():
        response = client.get("/api/notes")
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
    assert client.get("/api/notes").status_code == 200
    engine.dispose()


def test_an_internal_error_carries_an_id_that_the_log_has(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that is missing is nobody's bad request: 500, an id, and no SQL."""
    engine = sa.create_engine(database)
    client = client_of(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE notes")
    response = client.get("/api/notes")
    assert response.status_code == 500
    problem = response.json
    assert problem is not None
    assert problem["instance"] in caplog.text
    assert "notes" not in response.get_data(as_text=True).replace("/api/notes", "")
    engine.dispose()
