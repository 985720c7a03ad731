"""Ids, stages and events of requests, whichever way they take."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from carboy import Job
from carboy.events import TRACE, Event, RequestAnswered, StatementRan, rows, statement_ran
from carboy.ops.observers import Observers

from .errands import Errands
from .notes import Note, Notes

STAGES = ("identify", "parse", "plan", "compile", "execute", "respond", "total")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """The events of applications that are made from now on."""
    events: list[Event] = []
    init = Observers.__init__

    def listening(self: Observers, settings: Any) -> None:
        init(self, settings)
        self.subscribers += (events.append,)

    monkeypatch.setattr(Observers, "__init__", listening)
    return events


def answered(events: list[Event]) -> RequestAnswered:
    """The last request's event."""
    found = events[-1]
    assert isinstance(found, RequestAnswered)
    return found


def test_a_request_keeps_the_id_that_it_came_with(notes: Notes, way: int) -> None:
    """So that a proxy's log and this one's can be read together; on every kind of route."""
    client = notes.client(CARBOY_DIRECT_READS=way)
    sent = "Ab3-_.:/+=@~" + "x" * 116
    for path in ("/api/notes/1", "/api/none", "/own", "/health/live", "/nowhere"):
        assert client.get(path, headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", [None, "", "a b", "a\tb", "ä", '"', "x" * 129, "a;b", "<b>"])
def test_any_other_id_is_replaced_by_a_new_one(notes: Notes, way: int, sent: str | None) -> None:
    """What would break a log or a header, or is longer than an id, comes back nowhere."""
    client = notes.client(CARBOY_DIRECT_READS=way)
    headers = {} if sent is None else {"X-Request-ID": sent}
    found = {client.get("/api/notes/1", headers=headers).headers["X-Request-ID"] for _ in range(2)}
    assert len(found) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in found)


def test_an_answered_request_is_an_event(notes: Notes, way: int, seen: list[Event]) -> None:
    """With the resource's name, the status, its statements, and the rows that it read."""
    client = notes.client(CARBOY_DIRECT_READS=way)
    client.get("/api/notes?limit=5", headers={"X-Request-ID": "r1"})
    ran, done = seen[-2], answered(seen)
    assert isinstance(ran, StatementRan)
    assert (ran.request_id, ran.sql.startswith("SELECT")) == ("r1", True)
    assert 0 < ran.seconds < done.seconds
    assert (done.id, done.method, done.resource, done.status) == ("r1", "GET", "notes", 200)
    assert (done.statements, done.rows_read, done.rows_written) == (1, 1, 0)


def test_a_write_tells_its_statements_and_rows(notes: Notes, seen: list[Event]) -> None:
    """SQLAlchemy's statements count as direct ones do, failed ones too; BEGIN and COMMIT don't."""
    client = notes.client()
    client.post("/api/notes", json=[{"text": "two"}, {"text": "three"}])
    done = answered(seen)
    kinds = [event.sql.split()[0] for event in seen if isinstance(event, StatementRan)]
    assert (done.resource, done.status, done.rows_written) == ("notes", 201, 2)
    assert done.statements == len(kinds)
    assert kinds.count("INSERT") == 2
    seen.clear()
    assert client.post("/api/notes", json={"text": "two"}).status_code == 409
    assert answered(seen).rows_written == 0
    assert [e.sql.split()[0] for e in seen if isinstance(e, StatementRan)].count("INSERT") == 1
    seen.clear()
    client.post("/api/notes", json={"text": "dry"}, headers={"Prefer": "tx=rollback"})
    assert answered(seen).rows_written == 0


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/own", ("GET", "/own", 200)),
        ("GET", "/health/live", ("GET", "/health/live", 200)),
        ("GET", "/api/no-such-secret", ("GET", "/api/<string:resource>", 404)),
        ("GET", "/nowhere", ("GET", "", 404)),
        ("SECRET", "/api/notes", ("other", "notes", 405)),
    ],
)
def test_names_that_clients_make_up_are_in_no_event(
    notes: Notes, way: int, seen: list[Event], method: str, path: str, told: tuple[str, str, int]
) -> None:
    """A view is told by its route: so nobody can fill metrics with names of their own."""
    notes.client(CARBOY_DIRECT_READS=way).open(path, method=method)
    done = answered(seen)
    assert (done.method, done.resource, done.status) == told


def test_a_view_that_fails_is_an_event_too(notes: Notes, seen: list[Event]) -> None:
    """Even where the exception goes on to the server, as it does in tests."""
    app = notes.app(TESTING=True)

    @app.get("/broken")
    def broken() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/broken")
    assert (answered(seen).status, answered(seen).resource) == (500, "")


def test_what_runs_outside_a_request_is_nobodys(notes: Notes, seen: list[Event]) -> None:
    """Statements of the application's own, in a command or a thread, are no event."""
    notes.app()
    with notes.engine.connect() as connection:
        connection.execute(sa.select(Note)).all()
    rows(read=1)
    statement_ran("SELECT 1", 0.0)
    assert seen == []


def test_stages_are_told_where_the_setting_says_so(notes: Notes, way: int) -> None:
    """Server-Timing has each stage of a read in milliseconds; a compiled statement is kept."""
    client = notes.client(CARBOY_DIRECT_READS=way, CARBOY_SERVER_TIMING=True)
    first, second = (client.get("/api/notes/1").headers["Server-Timing"] for _ in range(2))
    times = {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([0-9.]+)", first)}
    assert set(times) == set(STAGES)
    total = times.pop("total")
    assert 0 < sum(times.values()) <= total + 0.01
    assert "compile" not in second
    assert "execute" in client.post("/api/notes", json={"text": "x"}).headers["Server-Timing"]
    assert "execute" in client.get("/own").headers["Server-Timing"]


def test_stages_are_told_to_developers_only(notes: Notes) -> None:
    """How long something took can tell what it found."""
    assert "Server-Timing" not in notes.client().get("/api/notes/1").headers
    developers = notes.client(CARBOY_PROFILE="development")
    assert "Server-Timing" in developers.get("/api/notes/1").headers


@contextmanager
def slow_sql(engine: sa.Engine, seconds: float) -> Iterator[None]:
    """A function of SQL that takes its time."""

    def slowly(value: Any) -> Any:
        time.sleep(seconds)
        return value

    def add(connection: Any, _: object) -> None:
        connection.create_function("slowly", 1, slowly)

    sa.event.listen(engine, "connect", add)
    engine.dispose()
    yield
    sa.event.remove(engine, "connect", add)


def test_slow_statements_are_logged_without_values(
    notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    """The shape of the SQL, its time, and the request; and nothing where the setting is 0."""
    with slow_sql(notes.engine, 0.05):
        for limit, logged in ((20, True), (0, False), (60_000, False)):
            app = notes.app(CARBOY_SLOW_STATEMENT_MS=limit)
            add_slow_view(app)
            caplog.clear()
            with caplog.at_level(logging.INFO, "carboy.statements"):
                answer = app.test_client().get("/slow?text=s3cret", headers={"X-Request-ID": "r9"})
            assert answer.json == []
            found = [r for r in caplog.records if r.name == "carboy.statements"]
            assert bool(found) is logged, limit
            if logged:
                extra: dict[str, Any] = vars(found[0])
                assert "slowly(" in extra["sql"]
                assert extra["request_id"] == "r9"
                assert extra["milliseconds"] >= 50
                assert "s3cret" not in str(extra)


def add_slow_view(app: Flask) -> None:
    """A view whose select takes its time."""
    import flask

    api = app.extensions["carboy"].carboy

    @app.get("/slow")
    def slow() -> Any:
        text = sa.func.slowly(flask.request.args["text"])
        return api.read(sa.select(Note).where(Note.text == text))


def test_a_job_has_the_id_of_the_request_that_queued_it(
    database_url: str, seen: list[Event]
) -> None:
    """Its statements and its lines in the log can be found by it; a job of nobody's has its own."""
    errands = Errands(database_url)

    @errands.api.job
    def tell(job: Job) -> None:
        job.session.execute(sa.text("SELECT 'told'"))
        trace = TRACE.get()
        assert trace is not None
        errands.seen.append(trace.id)

    errands.app.add_url_rule("/tell", view_func=lambda: errands.api.enqueue(tell))
    client = errands.app.test_client()
    assert client.get("/tell", headers={"X-Request-ID": "from-client"}).status_code == 200
    errands.enqueue(tell)
    seen.clear()
    assert errands.run() == 2
    assert TRACE.get() is None
    assert errands.seen[0] == "from-client"
    assert re.fullmatch("[0-9a-f]{32}", errands.seen[1])
    told = [e for e in seen if isinstance(e, StatementRan) and "told" in e.sql]
    assert [event.request_id for event in told] == errands.seen
    errands.engine.dispose()
