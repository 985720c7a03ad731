"""Readiness and the database's health: in time, with true figures, and without secrets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import NullPool, StaticPool

from carboy import Carboy
from carboy.ops.health import examine, pool_figures
from tests.conftest import empty_postgresql_database
from tools.servers import postgresql

from .test_unavailable import closed

PATHS = ("/health/ready", "/health/database")
# On a machine that is busy a second is soon over.
PATIENT = {"CARBOY_HEALTH_TIMEOUT_MS": 30_000}


def client_of(engine: sa.Engine, **config: Any) -> FlaskClient:
    """A client of an application without resources, which asks for patience."""
    app = Flask(__name__)
    app.config.update({**PATIENT, **config})
    Carboy(app, engine)
    return app.test_client()


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An empty database, with a pool of three."""
    engine = sa.create_engine(database_url, pool_size=2, max_overflow=1, pool_timeout=0.2)
    yield engine
    engine.dispose()


def test_a_healthy_database_tells_its_pool(engine: sa.Engine) -> None:
    """The figures are those of the pool, without the connection that asks."""
    client = client_of(engine)
    assert client.get("/health/ready").json == {"status": "ok"}
    with engine.connect(), engine.connect():
        health = client.get("/health/database").json
    primary = {"role": "primary", "replicas": 0, "lag_seconds": None}
    assert health == {
        "status": "healthy",
        "pool_size": 2,
        "checked_in": 0,
        "checked_out": 2,
        "overflow": 0,
        "replication": None if engine.dialect.name == "sqlite" else primary,
        "migrations": None,
    }
    assert client.get("/health/database").json["checked_out"] == 0  # type: ignore[index]


def test_a_pool_without_a_free_connection_is_unhealthy_and_says_so(engine: sa.Engine) -> None:
    """Requests would wait in vain; the figures show why."""
    client = client_of(engine)
    with engine.connect(), engine.connect(), engine.connect():
        answer = client.get("/health/database")
    assert answer.status_code == 503
    assert answer.json == {
        "status": "unhealthy",
        "reason": "no connection is free",
        "pool_size": 2,
        "checked_in": 0,
        "checked_out": 3,
        "overflow": 1,
    }


def test_a_stopped_server_is_a_503_without_secrets() -> None:
    """The process lives on; what is answered names no host, no account and no password."""
    with postgresql() as url:
        engine = sa.create_engine(url)
        client = client_of(engine)
        assert [client.get(path).status_code for path in PATHS] == [200, 200]
    parsed = sa.make_url(url)
    for path in PATHS:
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (503, "no-store")
        text = answer.get_data(as_text=True)
        for secret in (
            parsed.password or "?",
            str(parsed.port),
            "127.0.0.1",
            "postgres",
            "psycopg",
        ):
            assert secret not in text
    assert client.get("/health/database").json["status"] == "unhealthy"  # type: ignore[index]
    assert client.get("/health/live").status_code == 200
    engine.dispose()


def test_a_database_that_is_back_is_healthy_at_once(postgresql_url: str) -> None:
    """Connections of the pool that went stale meanwhile are no fault of its."""
    with empty_postgresql_database(postgresql_url) as url:
        engine = sa.create_engine(url)
        client = client_of(engine)
        assert client.get("/health/ready").status_code == 200
        with closed(postgresql_url, url):
            assert [client.get(path).status_code for path in PATHS] == [503, 503]
        assert client.get("/health/ready").status_code == 200
        with closed(postgresql_url, url):
            pass
        assert client.get("/health/database").status_code == 200
        engine.dispose()


def test_a_server_that_never_answers_costs_one_thread_and_little_time() -> None:
    """Whoever asks meanwhile waits for the same answer, and no longer than the setting says."""
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://me:s3cret@127.0.0.1:{silent.getsockname()[1]}/db"
        engine = sa.create_engine(url)
        app = client_of(engine, CARBOY_HEALTH_TIMEOUT_MS=100).application
        with ThreadPoolExecutor(4) as asking:
            answers = list(asking.map(lambda path: app.test_client().get(path), PATHS * 4))
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.json["reason"] for answer in answers} == {"no answer within 100 ms"}  # type: ignore[index]
        assert threading.active_count() <= before + 1
    # The server's end is the thread's.
    deadline = time.monotonic() + 30
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before
    engine.dispose()


@pytest.mark.parametrize("pool", [NullPool, StaticPool])
def test_pools_that_count_nothing_say_nothing(pool: Any) -> None:
    """They are asked all the same."""
    options = {"check_same_thread": False}
    engine = sa.create_engine("sqlite://", poolclass=pool, connect_args=options)
    health = client_of(engine).get("/health/database").json
    assert health is not None
    assert (health["status"], health["pool_size"], health["overflow"]) == ("healthy", None, None)
    engine.dispose()


def test_mariadb_tells_its_part_where_the_account_may_ask(mariadb_url: str) -> None:
    """Replication takes a privilege of its own there; without it nothing is said."""
    engine = sa.create_engine(mariadb_url)
    root = examine(engine).replication
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE OR REPLACE USER plain IDENTIFIED BY 'p'")
    plain = sa.create_engine(
        engine.url.set(username="plain", password="p", database="information_schema")
    )
    assert examine(plain).replication is None
    assert root is None or root.role == "primary"
    assert pool_figures(plain).checked_out == 0
    for each in (plain, engine):
        each.dispose()


def test_an_api_that_cant_be_built_is_not_ready(tmp_path: Any) -> None:
    """A process that would answer every request with a 500 gets none."""
    app = Flask(__name__)
    api = Carboy(app, sa.create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}"))
    elsewhere = sa.MetaData(info={"bind_key": "nowhere"})
    api.resource(sa.Table("t", elsewhere, sa.Column("id", sa.Integer, primary_key=True)))
    client = app.test_client()
    assert client.get("/health/live").status_code == 200
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json) == (
        503,
        {"status": "unavailable", "reason": "the API can't be built; the log says why"},
    )


def test_every_database_of_an_application_counts(tmp_path: Any) -> None:
    """One of them away is enough for a 503, which says of each how it is."""
    app = Flask(__name__)
    app.config.update(PATIENT)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'a.sqlite'}"
    app.config["SQLALCHEMY_BINDS"] = {"far": "postgresql+psycopg://me:s3cret@127.0.0.1:1/none"}
    db = SQLAlchemy(app)
    api = Carboy(app, db)
    far = db.Table("far", sa.Column("id", sa.Integer, primary_key=True), bind_key="far")
    api.resource(far)
    client = app.test_client()
    answer = client.get("/health/database")
    assert answer.status_code == 503
    assert answer.json is not None
    assert (answer.json["status"], answer.json["pool_size"]) == ("unhealthy", 5)
    assert answer.json["binds"]["far"]["status"] == "unhealthy"
    assert client.get("/health/ready").status_code == 503


def test_probes_are_outside_the_limits(engine: sa.Engine) -> None:
    """A probe that gets a 429 would end a process that works."""
    client = client_of(engine, CARBOY_RATE_LIMIT="1/minute")
    assert [client.get("/health/ready").status_code for _ in range(3)] == [200] * 3
