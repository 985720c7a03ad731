"""Exports as streams: their connections, their deadlines, and clients that are slow or leave."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool
from werkzeug.test import TestResponse

from carboy import OPEN, Carboy
from carboy.events import Event, RequestAnswered, StatementRan
from carboy.request import EXPORTS
from tests.conftest import KINDS, empty_database

NDJSON = EXPORTS[0]
ROWS = 5_000
WAIT = 30


class Base(DeclarativeBase):
    """The tables of this module."""


class Line(Base):
    """Far more than is read ahead."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.String(500))


class Slow(Base):
    """A view whose first row takes for ever."""

    __tablename__ = "slow"
    id: Mapped[int] = mapped_column(primary_key=True)


SLOW = {
    "postgresql": "CREATE VIEW slow AS SELECT 1 AS id FROM pg_sleep(60)",
    "sqlite": "CREATE VIEW slow AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL"
    " SELECT id + 1 FROM n WHERE id < 1e12) SELECT max(id) AS id FROM n",
    "mariadb": "CREATE VIEW slow AS SELECT 1 + sleep(60) AS id",
}


class Site:
    """An application over the lines, with a small pool; ``seen`` are its events."""

    def __init__(self, engine: sa.Engine, **config: Any) -> None:
        self.engine = engine
        self.app = flask.Flask("site")
        self.app.config |= {"CARBOY_LOG": "", **config}
        api = Carboy(self.app, engine, policy=OPEN)
        api.resource(Line)
        api.resource(Slow)
        self.client = self.app.test_client()
        assert self.client.get("/api/notes?limit=1").status_code == 200

    def export(self, path: str = "/api/notes", media: str = NDJSON) -> TestResponse:
        """The answer to an export, of which only the beginning is read."""
        return self.client.get(path, headers={"Accept": media}, buffered=False)

    def is_idle(self) -> bool:
        """Whether every connection is back, and no thread of an export is left."""
        names = [t.name for t in threading.enumerate() if t.name == "carboy-export"]
        return not names and self.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a database with many lines, of each kind in turn."""
    file = tmp_path_factory.mktemp("exports") / "test.sqlite"
    with empty_database(request, request.param, file) as url:
        engine = sa.create_engine(url)
        Base.metadata.tables["notes"].create(engine)
        rows = [{"id": n, "text": "x" * 400} for n in range(ROWS)]
        with engine.begin() as connection:
            connection.execute(sa.insert(Line), rows)
            connection.exec_driver_sql(SLOW[engine.dialect.name])
        engine.dispose()
        yield url


@pytest.fixture
def engine(filled: str) -> Iterator[sa.Engine]:
    """A pool of four connections to it."""
    engine = sa.create_engine(filled, pool_size=4, max_overflow=0)
    yield engine
    engine.dispose()


def wait_until(condition: Callable[[], bool]) -> None:
    """Fail if it doesn't become true in time."""
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_all_is_sent_in_chunks_and_counted(engine: sa.Engine, way: int) -> None:
    """One statement; an event at the end of the body, and not before, has all rows."""
    site, seen = Site(engine, CARBOY_DIRECT_READS=way), list[Event]()
    watch(site, seen)
    answer = site.export()
    chunks = iter(answer.iter_encoded())
    sizes = [len(next(chunks))]
    assert not [e for e in seen if isinstance(e, RequestAnswered)]
    sizes += [len(chunk) for chunk in chunks]
    answer.close()
    assert max(sizes) < 80 * 1024
    done = [e for e in seen if isinstance(e, RequestAnswered)]
    assert [(e.status, e.resource, e.statements, e.rows_read) for e in done] == [
        (200, "notes", 1, ROWS)
    ]
    assert len([e for e in seen if isinstance(e, StatementRan)]) == 1
    wait_until(site.is_idle)


def watch(site: Site, seen: list[Event]) -> None:
    """Have the application's events."""
    inner: Any = site.app.wsgi_app
    inner._subscribers = (seen.append,)


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_a_client_that_leaves_frees_the_connection(engine: sa.Engine, how: str) -> None:
    """Whether its server says so, or just drops the answer; the pool works as before."""
    site = Site(engine)
    for _ in range(5):  # more than there are connections
        answer = site.export()
        assert next(iter(answer.iter_encoded()))
        if how == "closed":
            answer.close()
            wait_until(site.is_idle)
        del answer
        if how == "forgotten":
            gc.collect()
        wait_until(site.is_idle)
    assert site.client.get("/api/notes/1").status_code == 200
    assert site.export("/api/notes?limit=3").data.count(b"\n") == 3


def test_a_slow_reader_keeps_no_connection_beyond_the_deadline(engine: sa.Engine) -> None:
    """It is back in time, with nobody reading; what is read afterwards breaks off."""
    site = Site(engine, CARBOY_EXPORT_DEADLINE=1)
    answer = site.export()
    chunks = iter(answer.iter_encoded())
    next(chunks)
    assert not site.is_idle()
    wait_until(lambda: site.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="CARBOY_EXPORT_DEADLINE"):
        list(chunks)
    answer.close()
    wait_until(site.is_idle)
    assert site.client.get("/api/notes/1").status_code == 200


def test_an_export_may_take_longer_than_a_request(engine: sa.Engine) -> None:
    """CARBOY_DEADLINE isn't its deadline."""
    site = Site(engine, CARBOY_DEADLINE=1)
    answer = site.export()
    chunks = iter(answer.iter_encoded())
    rest = [next(chunks)]
    time.sleep(1.5)
    assert b"".join([*rest, *chunks]).count(b"\n") == ROWS
    wait_until(site.is_idle)


def test_what_goes_wrong_before_the_first_byte_is_a_problem(engine: sa.Engine) -> None:
    """A statement that takes too long is a 504 that names the setting."""
    site = Site(engine, CARBOY_EXPORT_DEADLINE=1)
    answer = site.export("/api/slow")
    assert (answer.status_code, answer.mimetype) == (504, "application/problem+json")
    assert b"CARBOY_EXPORT_DEADLINE" in answer.data
    wait_until(site.is_idle)


def test_exports_leave_connections_to_others(engine: sa.Engine) -> None:
    """Half of the pool at most, and CARBOY_EXPORTS; more are a 503, and reads go on."""
    for setting, most in ((4, 2), (1, 1)):
        site = Site(engine, CARBOY_EXPORTS=setting)
        under_way = [site.export() for _ in range(most)]
        assert {answer.status_code for answer in under_way} == {200}
        refused = site.export()
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert b"CARBOY_EXPORTS" in refused.data
        assert site.client.get("/api/notes/1").status_code == 200
        for answer in under_way:
            answer.close()
        wait_until(site.is_idle)
        assert site.export("/api/notes?limit=1").status_code == 200


def test_a_stale_connection_is_replaced(engine: sa.Engine) -> None:
    """One that was cut while it was in the pool: nobody sees it."""
    if engine.dialect.name == "sqlite":
        return  # it has none
    site = Site(engine)
    kill = {
        "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "mariadb": "KILL {}",
    }[engine.dialect.name]
    own = engine.raw_connection()
    number = own.driver_connection.thread_id() if engine.dialect.name == "mariadb" else ""  # type: ignore[union-attr]
    own.close()
    other = sa.create_engine(engine.url)
    with other.connect() as connection:
        connection.exec_driver_sql(kill.format(number))
    other.dispose()
    answer = site.export()
    assert answer.status_code == 200
    assert answer.data.count(b"\n") == ROWS


def test_a_database_in_memory_is_exported(way: int) -> None:
    """It has one connection for all, which stays theirs."""
    engine = sa.create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    Base.metadata.tables["notes"].create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Line), [{"id": n, "text": "x"} for n in range(3)])
    site = Site(engine, CARBOY_DIRECT_READS=way)
    with engine.connect() as connection:
        connection.execute(sa.insert(Line), {"id": 3, "text": "not yet committed"})
        assert site.export().data.count(b"\n") == 4
        connection.commit()
    assert site.export().data.count(b"\n") == 4
    engine.dispose()
