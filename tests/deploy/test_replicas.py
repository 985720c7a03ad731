"""Reads from a real streaming replica, whose replay is paused and resumed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import OPEN, Carboy, SettingError
from carboy.execute import replica as module
from carboy.execute.replica import Replica
from carboy.extension import built_api
from carboy.serve.checks import check_app
from tests.conftest import empty_postgresql_database
from tools.beside import replica
from tools.servers import postgresql

PATIENCE = 60
LONG = 300.0
"""Seconds of a lease that outlives a test."""


class Base(DeclarativeBase):
    """The models of this module."""


class Note(Base):
    """A row."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@dataclass
class Pair:
    """A primary and its replica, each as an engine for tests to ask directly."""

    primary: sa.Engine
    replica: sa.Engine

    def sql(self, statement: str, *, on_replica: bool = False) -> Any:
        """What a statement answers, if it answers."""
        engine = self.replica if on_replica else self.primary
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            result = connection.exec_driver_sql(statement)
            return result.scalar() if result.returns_rows else None

    def pause(self) -> None:
        """Let the replica stand still, where it has all there is."""
        self.catch_up()
        self.sql("SELECT pg_wal_replay_pause()", on_replica=True)
        state = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        until(lambda: bool(self.sql(state, on_replica=True)))

    def resume(self) -> None:
        """Let it go on."""
        self.sql("SELECT pg_wal_replay_resume()", on_replica=True)

    def catch_up(self) -> None:
        """Wait until the replica has all there is."""
        position = self.sql("SELECT pg_current_wal_insert_lsn()::text")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"
        until(lambda: bool(self.sql(replayed, on_replica=True)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, str]]:
    """The URLs of a cluster of one's own, and of its replica."""
    with postgresql() as primary, replica(primary) as url:
        yield primary, url


@pytest.fixture
def pair(cluster: tuple[str, str]) -> Iterator[Pair]:
    """An empty database with a table, on both."""
    with empty_postgresql_database(cluster[0]) as url:
        primary = sa.create_engine(url)
        copy = sa.create_engine(make_url(cluster[1]).set(database=make_url(url).database))
        Base.metadata.create_all(primary)
        found = Pair(primary, copy)
        until_there(copy)
        yield found
        found.resume()
        primary.dispose()
        copy.dispose()


def until_there(copy: sa.Engine) -> None:
    """Wait until the replica has the table."""

    def is_there() -> bool:
        try:
            return sa.inspect(copy).has_table("notes")
        except sa.exc.OperationalError:
            return False

    until(is_there)


class Worker:
    """An application as one worker process has it: nothing of it is another's."""

    def __init__(self, pair: Pair, **config: Any) -> None:
        self.engine = sa.create_engine(pair.primary.url)
        self.app = flask.Flask("notes")
        url = pair.replica.url.render_as_string(hide_password=False)
        self.app.config.update({"CARBOY_REPLICA_URL": url, **config})
        Carboy(self.app, self.engine, policy=OPEN).resource(Note)
        with self.app.app_context():
            found = built_api(self.app).replica
        assert found is not None
        self.replica: Replica = found

    @property
    def client(self) -> FlaskClient:
        """A client without cookies: it keeps nothing from one request to the next."""
        return self.app.test_client(use_cookies=False)

    def texts(self) -> list[str]:
        """What a GET shows."""
        answer = self.client.get("/api/notes?order=id&limit=1000")
        assert answer.status_code == 200, answer.text
        return [row["text"] for row in answer.get_json()["data"]]

    def post(self, text: str) -> None:
        """A write."""
        answer = self.client.post("/api/notes", json={"text": text})
        assert answer.status_code == 201, answer.text

    def leased(self) -> None:
        """Wait until it reads from the replica."""
        until(self.replica.is_leased)

    def close(self) -> None:
        """Give its connections back, when nothing uses them any more."""
        assert self.replica._asking.acquire(timeout=PATIENCE)
        self.engine.dispose()
        self.replica.database.engine.dispose()


@pytest.fixture
def workers(pair: Pair) -> Iterator[Callable[..., Worker]]:
    """Makes workers."""
    made: list[Worker] = []

    def make(**config: Any) -> Worker:
        made.append(Worker(pair, **config))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def test_reads_come_from_the_replica(
    pair: Pair, workers: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else writes to the primary isn't seen while the replica stands still."""
    worker = workers()
    monkeypatch.setattr(worker.replica, "_window", LONG)
    worker.leased()
    pair.pause()
    pair.sql("INSERT INTO notes (text) VALUES ('past Carboy')")
    assert worker.texts() == []
    assert worker.client.get("/api/notes/1").status_code == 404
    assert worker.client.head("/api/notes/1").status_code == 404
    pair.resume()
    pair.catch_up()
    assert worker.texts() == ["past Carboy"]


def test_what_was_written_is_seen_by_every_worker(
    pair: Pair, workers: Callable[..., Worker]
) -> None:
    """Each of three workers reads by a lease; once one has answered a write, all show it."""
    found = [workers() for _ in range(3)]
    expected: list[str] = []
    for turn in range(6):
        for worker in found:
            worker.leased()
        expected.append(f"note {turn}")
        found[turn % 3].post(expected[-1])
        assert [worker.texts() for worker in found] == [expected] * 3


def test_a_replica_that_stands_still_hides_no_write(
    pair: Pair, workers: Callable[..., Worker]
) -> None:
    """Every worker has a lease when the replay stops, and still none misses what was answered."""
    found = [workers() for _ in range(2)]
    for worker in found:
        worker.leased()
    pair.pause()
    found[0].post("one")
    assert [worker.texts() for worker in found] == [["one"]] * 2
    assert not any(worker.replica.is_leased() for worker in found)
    found[1].post("two")
    assert [worker.texts() for worker in found] == [["one", "two"]] * 2
    assert pair.sql("SELECT count(*) FROM notes", on_replica=True) == 0


def test_writes_wait_once_for_a_replica_that_is_behind(
    pair: Pair, workers: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first says to all workers that they should leave it alone; the others ask it nothing."""
    found = [workers() for _ in range(2)]
    pair.pause()
    found[0].post("one")
    time.sleep(2 * module.WINDOW)
    asked: list[str] = []
    for worker in found:
        monkeypatch.setattr(worker.replica, "_catches_up", lambda at, _: asked.append(at))
    for worker in found:
        worker.post("another")
    assert asked == []


def test_a_replica_that_caught_up_is_read_again(
    pair: Pair, workers: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time that it was left for."""
    monkeypatch.setattr(module, "AWAY", 2.0)
    worker = workers()
    pair.pause()
    worker.post("one")
    assert not worker.replica.is_leased()
    pair.resume()
    worker.leased()
    assert worker.texts() == ["one"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody:x@127.0.0.1:1/gone",
        "the primary's own",
    ],
)
def test_what_is_no_replica_is_not_read(
    pair: Pair, workers: Callable[..., Worker], url: str
) -> None:
    """One that is down, and one that is no replica: the primary answers, and check says it."""
    if url == "the primary's own":
        url = pair.primary.url.render_as_string(hide_password=False)
    worker = workers(CARBOY_REPLICA_URL=url)
    worker.post("one")
    assert worker.texts() == ["one"]
    assert not worker.replica.is_leased()
    findings = [f for f in check_app(worker.app) if f.name == "replica"]
    assert len(findings) == 1
    assert ":x@" not in findings[0].detail


def test_check_has_nothing_to_say_of_a_replica_that_works(
    pair: Pair, workers: Callable[..., Worker]
) -> None:
    """It is there, and is one."""
    assert "replica" not in {f.name for f in check_app(workers().app)}


def test_a_replica_that_goes_away_is_no_error(
    pair: Pair, workers: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read whose connection is cut is answered by the primary."""
    worker = workers()
    monkeypatch.setattr(worker.replica, "_window", LONG)
    worker.leased()
    broken = sa.create_engine("postgresql+psycopg://nobody:x@127.0.0.1:1/gone")
    monkeypatch.setattr(worker.replica.database, "engine", broken)
    pair.sql("INSERT INTO notes (text) VALUES ('on the primary')")
    assert worker.replica.is_leased()
    assert worker.texts() == ["on the primary"]


def test_nobody_misses_a_write_while_the_replica_stops_and_goes(
    pair: Pair, workers: Callable[..., Worker]
) -> None:
    """Writers on several workers each read what they wrote, from another worker, all the while."""
    found = [workers() for _ in range(3)]
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            pair.sql("SELECT pg_wal_replay_pause()", on_replica=True)
            stop.wait(0.3)
            pair.resume()
            stop.wait(0.3)

    def write(name: int) -> bool:
        for turn in range(8):
            text = f"{name} {turn}"
            found[turn % 3].post(text)
            if text not in found[(turn + 1) % 3].texts():
                return False
        return True

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        with ThreadPoolExecutor(3) as pool:
            assert all(pool.map(write, range(3)))
    finally:
        stop.set()
        disturber.join()


def test_a_dry_run_waits_for_nothing(
    pair: Pair, workers: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has stored nothing that a replica could lack."""
    worker = workers()
    monkeypatch.setattr(worker.replica, "settle", pytest.fail)
    headers = {"Prefer": "tx=rollback"}
    answer = worker.client.post("/api/notes", json={"text": "dry"}, headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize("url", ["sqlite:///x", "nonsense", "postgresql://u:secret@h:port/d"])
def test_a_url_of_something_else_is_refused(pair: Pair, url: str) -> None:
    """By name of the setting, and without what the URL holds."""
    with pytest.raises(SettingError, match="CARBOY_REPLICA_URL must be") as refused:
        Worker(pair, CARBOY_REPLICA_URL=url)
    assert "secret" not in str(refused.value)
