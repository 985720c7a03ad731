"""A database that is slow, locked or silent: requests end in time, and the pool stays whole."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from werkzeug.test import TestResponse

from carboy import OPEN, Carboy
from carboy.execute import Within
from carboy.execute.api_keys import TABLE as KEYS
from carboy.execute.gate import Gate
from carboy.execute.watcher import Watched
from carboy.extension import built_api
from carboy.ops.api_keys import create_key
from tests.conftest import empty_mariadb_database, empty_postgresql_database
from tests.proxy import proxied

DEADLINE = 1
# The deadline, a cancel that nobody answers, the patience before the socket is shut; and room.
IN_TIME = 10


class Base(DeclarativeBase):
    """The models of this module."""


class Note(Base):
    """A row to read and to write."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Slow(Base):
    """A view whose row takes for ever."""

    __tablename__ = "slow"

    id: Mapped[int] = mapped_column(primary_key=True)


SLOW = {
    "postgresql": "CREATE VIEW slow AS SELECT 1 AS id FROM pg_sleep(60)",
    "sqlite": "CREATE VIEW slow AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL"
    " SELECT id + 1 FROM n) SELECT max(id) AS id FROM n",
}


def fill(url: str) -> None:
    """The tables, one note, and the slow view."""
    engine = sa.create_engine(url)
    Note.__table__.create(engine)  # type: ignore[attr-defined]
    with engine.begin() as connection:
        connection.execute(sa.insert(Note).values(id=1, text="hello"))
        connection.exec_driver_sql(SLOW[engine.dialect.name])
    engine.dispose()


@pytest.fixture
def database(postgresql_url: str) -> Iterator[str]:
    """A filled PostgreSQL database."""
    with empty_postgresql_database(postgresql_url) as url:
        fill(url)
        yield url


class Running:
    """An application on a database: its client and its engine, which has two connections."""

    def __init__(self, url: str, config: Mapping[str, Any] | None = None, **options: Any) -> None:
        options = {"pool_size": 2, "max_overflow": 0, **options}
        self.engine = sa.create_engine(url, **options)
        self.app = Flask("notes")
        self.app.config.update(CARBOY_DEADLINE=DEADLINE, **(config or {}))
        api = Carboy(self.app, self.engine, policy=OPEN)
        api.resource(Note, history=True)
        api.resource(Slow, read_only=True)

        @self.app.get("/own")
        def own() -> flask.Response:
            with Session(self.engine) as session:
                return api.read(sa.select(Slow), session=session)

        self.client: FlaskClient = self.app.test_client()

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        """The answer, which came in time."""
        started = time.monotonic()
        response = self.client.open(path, method=method, **options)
        assert time.monotonic() - started < IN_TIME
        return response

    def served(self, method: str, path: str, **options: Any) -> TestResponse:
        """The answer of a database that answers; a busy machine may miss the short deadline."""
        until = time.monotonic() + 30
        while True:
            response = self.ask(method, path, **options)
            if response.status_code not in (503, 504) or time.monotonic() > until:
                assert response.status_code == 200, response.text
                return response

    def warm_up(self) -> None:
        """Open a connection, and make the tables of the first use."""
        self.served("PATCH", "/api/notes/1", json={"text": "hello"})
        self.served("GET", "/api/notes/1/history")
        self.served("GET", "/api/notes/1")

    def gate(self) -> Gate:
        """What requests wait at."""
        with self.app.app_context():
            return built_api(self.app).database.gate

    def is_whole(self) -> bool:
        """Whether a read works, and all connections are back."""
        self.served("GET", "/api/notes/1")
        pool: Any = self.engine.pool
        return bool(pool.checkedout() == 0)


@contextmanager
def running(url: str, **options: Any) -> Iterator[Running]:
    """An application, whose connections are closed at the end."""
    app = Running(url, **options)
    try:
        yield app
    finally:
        app.engine.dispose()


@contextmanager
def held(url: str, statement: str) -> Iterator[Callable[[], int]]:
    """A lock that somebody else holds; answers how many statements wait for it."""
    engine = sa.create_engine(url)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with engine.connect() as connection, engine.connect() as other:
        connection.exec_driver_sql(statement)
        yield lambda: other.exec_driver_sql(waiting).scalar_one()
    engine.dispose()


def is_problem(response: TestResponse, status: int) -> bool:
    """Whether an answer is such an error, with the time to come back after."""
    kind = {503: "unavailable", 504: "deadline-exceeded"}[status]
    assert response.json is not None, response.text
    assert (response.status_code, response.json["type"]) == (status, f"urn:carboy:error:{kind}")
    return int(response.headers["Retry-After"]) >= 1


LOCK = "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE"


@pytest.mark.parametrize(
    ("table", "method", "path", "body"),
    [
        ("notes", "GET", "/api/notes", None),
        ("notes", "GET", "/api/notes/1", None),
        ("notes", "HEAD", "/api/notes", None),
        ("notes", "PATCH", "/api/notes/1", {"text": "other"}),
        ("notes", "POST", "/api/notes", {"text": "other"}),
        ("notes", "DELETE", "/api/notes/1", None),
        ("carboy_history", "GET", "/api/notes/1/history", None),
        ("carboy_history", "PATCH", "/api/notes/1", {"text": "other"}),
    ],
)
def test_a_locked_table_is_a_504(
    database: str, table: str, method: str, path: str, body: Any
) -> None:
    """Reads, counts, histories and writes wait for a lock no longer than the deadline."""
    with running(database) as app:
        app.warm_up()
        with held(database, LOCK.format(table)) as waiting:
            answer = app.ask(method, path, json=body, headers={"Prefer": "count=exact"})
            assert answer.status_code == 504
            assert answer.headers["Retry-After"]
            # The server was told, and has stopped waiting.
            assert waiting() == 0
        assert app.is_whole()
        assert app.served("GET", "/api/notes").json["data"] == [{"id": 1, "text": "hello"}]  # type: ignore[index]


def test_a_locked_row_is_a_504(database: str) -> None:
    """A PATCH of a row that somebody else is writing ends, and has changed nothing."""
    with running(database) as app:
        app.warm_up()
        with held(database, "SELECT * FROM notes FOR UPDATE"):
            assert is_problem(app.ask("PATCH", "/api/notes/1", json={"text": "x"}), 504)
            assert app.served("GET", "/api/notes/1").json == {"id": 1, "text": "hello"}
        app.served("PATCH", "/api/notes/1", json={"text": "x"})


def test_a_lookup_of_a_key_is_a_504(database: str) -> None:
    """Who asks is looked up within the deadline; who brings nothing valid doesn't wait at all."""
    engine = sa.create_engine(database)
    key = create_key(engine, "client")
    engine.dispose()
    with running(database) as app:
        with held(database, LOCK.format(KEYS.name)):
            authorized = {"Authorization": f"Bearer {key}"}
            assert is_problem(app.ask("GET", "/api/notes", headers=authorized), 504)
            malformed = {"Authorization": "Bearer carboy_x"}
            assert app.ask("GET", "/api/notes", headers=malformed).status_code == 401
            app.served("GET", "/api/notes")
        app.served("GET", "/api/notes", headers=authorized)


@pytest.mark.parametrize("path", ["/api/slow", "/api/slow/1", "/own"])
def test_a_slow_statement_is_a_504(database: str, path: str) -> None:
    """A statement that takes too long is ended, in a session of the application's own as well."""
    with running(database) as app:
        assert is_problem(app.ask("GET", path), 504)
        assert app.is_whole()


@pytest.mark.parametrize("path", ["/api/slow", "/api/slow/1", "/own"])
def test_a_slow_statement_on_sqlite_is_a_504(tmp_path: Path, path: str) -> None:
    """SQLite works in this process, and is interrupted."""
    url = f"sqlite:///{tmp_path / 'notes.sqlite'}"
    fill(url)
    with running(url) as app:
        assert is_problem(app.ask("GET", path), 504)
        assert app.is_whole()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/notes"), ("PATCH", "/api/notes/1"), ("GET", "/own")]
)
def test_a_locked_file_is_a_503(tmp_path: Path, method: str, path: str) -> None:
    """Somebody else writes to the file; the application would wait longer than the deadline."""
    file = tmp_path / "notes.sqlite"
    fill(f"sqlite:///{file}")
    with running(f"sqlite:///{file}", connect_args={"timeout": 600}) as app:
        app.warm_up()
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert app.ask(method, path, json={"text": "x"}).status_code in (503, 504)
        other.close()
        assert app.is_whole()


SILENT = ("pause", "half-open")


@pytest.mark.parametrize(
    ("mode", "pre_ping", "method", "path"),
    [
        ("pause", False, "GET", "/api/notes/1"),
        ("half-open", False, "PATCH", "/api/notes/1"),
        ("half-open", True, "GET", "/api/notes/1"),
        ("pause", True, "PATCH", "/api/notes/1"),
    ],
)
def test_a_silent_server_is_a_504(
    database: str, mode: Any, pre_ping: bool, method: str, path: str
) -> None:
    """An open connection on which nothing comes is shut, and the next one works."""
    with proxied(database) as (proxy, url), running(url, pool_pre_ping=pre_ping) as app:
        app.warm_up()
        proxy.set(mode)
        assert is_problem(app.ask(method, path, json={"text": "hello"}), 504)
        proxy.set("open")
        assert app.is_whole()


@pytest.mark.parametrize("mode", SILENT)
def test_a_server_that_accepts_and_says_nothing_is_a_503(database: str, mode: Any) -> None:
    """An attempt to connect ends in time, and so does the next."""
    with proxied(database) as (proxy, url), running(url) as app:
        proxy.set(mode)
        for _ in range(2):
            assert is_problem(app.ask("GET", "/api/notes/1"), 503)
        proxy.set("open")
        assert app.is_whole()


def test_a_reset_connection_is_replaced(database: str) -> None:
    """Connections that were reset while they were idle cost no answer."""
    with proxied(database) as (proxy, url), running(url) as app:
        app.warm_up()
        proxy.set("reset")
        assert is_problem(app.ask("GET", "/api/notes/1"), 503)
        proxy.set("open")
        assert app.is_whole()
        proxy.set("reset")
        proxy.set("open")
        app.served("PATCH", "/api/notes/1", json={"text": "hello"})


def test_a_lost_commit_is_told(database: str) -> None:
    """Nobody knows whether a COMMIT without an answer was done: it isn't sent again."""
    with proxied(database) as (proxy, url), running(url) as app:
        app.warm_up()

        @sa.event.listens_for(app.engine, "commit")
        def lose(_: object) -> None:
            proxy.set("half-open")

        answer = app.ask("PATCH", "/api/notes/1", json={"text": "stored"})
        assert is_problem(answer, 504)
        assert answer.json is not None
        assert "may have stored it" in answer.json["detail"]
        sa.event.remove(app.engine, "commit", lose)
        proxy.set("open")
        assert app.served("GET", "/api/notes/1").json == {"id": 1, "text": "stored"}


def test_all_connections_silent_at_once_starve_nobody(database: str) -> None:
    """Each thread is answered, those beyond the connections as well; then the pool is whole."""
    with proxied(database) as (proxy, url), running(url) as app:
        app.warm_up()
        proxy.set("pause")
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(app.app.test_client().get, "/api/notes/1") for _ in range(8)]
            started = time.monotonic()
            statuses = {each.result().status_code for each in asked}
        assert statuses <= {503, 504}
        assert time.monotonic() - started < IN_TIME
        proxy.set("open")
        assert app.is_whole()


def test_a_full_queue_is_a_503_at_once(database: str) -> None:
    """With all places and the whole queue taken, the next is turned away without waiting."""
    with running(database, config={"CARBOY_QUEUE": 1}) as app:
        app.warm_up()
        with held(database, LOCK.format("notes")), ThreadPoolExecutor(3) as threads:
            clients = [app.app.test_client() for _ in range(3)]
            waiting = [threads.submit(client.get, "/api/notes") for client in clients]
            gate = app.gate()
            while len(gate._waiting) < gate.queue:
                # Were the queue never full, all of them would be done.
                assert not all(each.done() for each in waiting)
                time.sleep(0.005)
            assert "CARBOY_QUEUE" in app.ask("GET", "/api/notes").text
            assert app.ask("GET", "/api/nothing").status_code == 404
            assert {each.result().status_code for each in waiting} == {503, 504}


def test_an_own_query_that_has_every_connection_is_waited_for_shortly(database: str) -> None:
    """The application's own code uses the same pool, past the gate."""
    with running(database) as app, app.engine.connect(), app.engine.connect():
        started = time.monotonic()
        assert is_problem(app.ask("GET", "/api/notes"), 503)
        assert time.monotonic() - started < IN_TIME


def test_nothing_is_left_of_a_request_that_came_in_time(database: str) -> None:
    """A connection that a request has used isn't ended later, when its deadline would have been."""
    with running(database) as app:
        app.warm_up()
        with app.engine.connect() as connection:
            seconds = DEADLINE + 0.5
            assert connection.scalar(sa.text(f"SELECT 1 FROM pg_sleep({seconds})")) == 1


def in_child(run: Callable[[], object]) -> str:
    """What a function answers in a process that is forked for it; empty where it raises."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.write(writer, str(run()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        answer = said.read()
    os.waitpid(child, 0)
    return answer


def backend(engine: sa.Engine) -> str:
    """The server's process behind a connection of the engine."""
    with engine.connect() as connection:
        return str(connection.scalar(sa.text("SELECT pg_backend_pid()")))


def test_a_process_that_forks_shares_no_connection(database: str) -> None:
    """The child of a process that has used its engine opens connections of its own."""
    with running(database) as app:
        app.warm_up()
        assert in_child(lambda: backend(app.engine)) not in ("", backend(app.engine))
        # Its own thread ends what takes too long there.
        assert in_child(lambda: app.client.get("/api/slow").status_code) == "504"
        assert app.is_whole()


def test_an_engine_used_before_the_api_was_built_is_not_shared_either(database: str) -> None:
    """What was connected while the application was loaded stays with the parent."""
    with running(database) as app:
        mine = backend(app.engine)
        others = in_child(lambda: (app.served("GET", "/api/notes/1"), backend(app.engine))[1])
        assert others not in ("", mine)
        assert backend(app.engine) == mine


# MariaDB, whose connections are watched in the same way


@pytest.fixture
def mariadb_database(mariadb_url: str) -> Iterator[str]:
    """An empty MariaDB database."""
    with empty_mariadb_database(mariadb_url) as url:
        yield url


def ask_mariadb(engine: sa.Engine, query: str) -> Any:
    """The one value of a query, as a request would ask for it."""
    with Within(DEADLINE), engine.connect() as connection:
        return connection.scalar(sa.text(query))


def test_a_slow_statement_on_mariadb_is_killed(mariadb_database: str) -> None:
    """KILL QUERY ends the statement at the server, and the connection isn't used again."""
    engine = sa.create_engine(mariadb_database)
    Watched(engine)
    first = ask_mariadb(engine, "SELECT connection_id()")
    # A SLEEP alone would answer that it was ended.
    with pytest.raises(sa.exc.OperationalError):
        ask_mariadb(engine, "SELECT count(*) FROM information_schema.tables WHERE sleep(60)")
    assert ask_mariadb(engine, "SELECT connection_id()") != first
    assert ask_mariadb(engine, "SELECT max(time) FROM information_schema.processlist") < 30
    engine.dispose()


@pytest.mark.parametrize("connected", [True, False])
def test_a_silent_mariadb_ends_in_time(mariadb_database: str, connected: bool) -> None:
    """Whether it falls silent on an open connection, or before one is made."""
    with proxied(mariadb_database) as (proxy, url):
        engine = sa.create_engine(url)
        Watched(engine)
        if connected:
            ask_mariadb(engine, "SELECT 1")
        proxy.set("pause")
        started = time.monotonic()
        with pytest.raises(sa.exc.OperationalError):
            ask_mariadb(engine, "SELECT 1")
        assert time.monotonic() - started < IN_TIME
        proxy.set("open")
        assert ask_mariadb(engine, "SELECT 1") == 1
        engine.dispose()
