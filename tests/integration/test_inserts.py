"""Rows that are inserted by one statement: the same answers and rows as through mapped objects."""

from __future__ import annotations

import datetime as dt
import enum
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from carboy import OPEN, Actor, Carboy, Policy
from tests.statements import StatementCounter

# A row alone is a transaction by itself; for more there are BEGIN and COMMIT.
ONE, MANY, MAPPED = 1, 3, 4
"""Statements of a POST: BEGIN, COMMIT and one, or an INSERT and a SELECT."""


class Base(DeclarativeBase):
    """The models of this module."""


class Colour(enum.Enum):
    """What is stored by name, and shown by value."""

    RED = "red"
    GREEN = "green"


class Maker(Base):
    """What things refer to."""

    __tablename__ = "makers"

    id: Mapped[int] = mapped_column(primary_key=True)


class _Columns:
    """One column of each kind."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(10), unique=True)
    note: Mapped[str | None] = mapped_column(sa.Text)
    small: Mapped[int | None] = mapped_column(sa.SmallInteger)
    big: Mapped[int | None] = mapped_column(sa.BigInteger)
    weight: Mapped[float | None]
    price: Mapped[Decimal | None] = mapped_column(sa.Numeric(8, 2))
    exact: Mapped[Decimal | None] = mapped_column(sa.Numeric)
    is_new: Mapped[bool] = mapped_column(default=True)
    state: Mapped[str] = mapped_column(server_default="fresh")
    colour: Mapped[Colour | None]
    made_at: Mapped[dt.datetime | None] = mapped_column(sa.DateTime(timezone=True))
    seen_at: Mapped[dt.datetime | None]
    day: Mapped[dt.date | None]
    hour: Mapped[dt.time | None]
    token: Mapped[uuid.UUID | None]
    data: Mapped[Any | None] = mapped_column(sa.JSON)
    count: Mapped[int] = mapped_column(sa.CheckConstraint("count >= 0"), default=lambda: 7)


class Plain(_Columns, Base):
    """A table whose rows need nothing but the database."""

    __tablename__ = "plain"
    maker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("makers.id"))


class Watched(_Columns, Base):
    """The same, of which an event is told each row."""

    __tablename__ = "watched"
    maker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("makers.id"))


@sa.event.listens_for(Watched, "before_insert")
def _nothing(*_: object) -> None:
    """Keeps the rows on the way through mapped objects."""


class Bare(Base):
    """A table whose rows run none of the application's code."""

    __tablename__ = "bare"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(10), unique=True)
    maker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("makers.id"))
    maker: Mapped[Maker | None] = relationship()


class World:
    """Both tables, served, and what reaches the database."""

    def __init__(self, url: str, **config: Any) -> None:
        self.engine = sa.create_engine(url)
        self.counter = StatementCounter(self.engine)
        Base.metadata.drop_all(self.engine)
        Base.metadata.create_all(self.engine)
        with Session(self.engine) as session:
            session.add_all([Maker(id=1), Maker(id=2)])
            session.commit()
        self.client = self.serve(OPEN, **config)

    def serve(
        self, policy: Policy, who: Callable[[], Actor] | None = None, **config: Any
    ) -> FlaskClient:
        """A client of an application with the tables."""
        app = Flask("inserts")
        app.config.update(config)
        api = Carboy(app, self.engine, actor=who, policy=OPEN)
        api.resource(Plain, policy=policy)
        for model in (Watched, Maker, Bare):
            api.resource(model)
        with app.app_context():
            assert api.schema.exposed()
        client = app.test_client()
        client.get("/api/plain?limit=1")
        return client

    def rows(self, table: str) -> list[Any]:
        """All that is stored."""
        with self.engine.connect() as connection:
            return list(connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY id")))

    def empty(self) -> None:
        """Take all rows away."""
        with self.engine.begin() as connection:
            connection.execute(sa.text("TRUNCATE plain, watched, bare RESTART IDENTITY"))

    def count_on(self, *tables: str) -> None:
        """Let keys follow the rows: what was refused counts on one way more often."""
        with self.engine.begin() as connection:
            for table in tables or ("plain", "watched"):
                last = f"(SELECT coalesce(max(id), 0) + 1 FROM {table})"
                connection.execute(sa.text(f"SELECT setval('{table}_id_seq', {last}, false)"))

    def statements(self, ask: Callable[[], Any]) -> int:
        """How many statements it takes."""
        before = self.counter.count()
        ask()
        return self.counter.count() - before

    def close(self) -> None:
        """End it."""
        self.engine.dispose()
        self.counter.close()


@pytest.fixture(scope="module")
def world(shared_postgresql_url: str) -> Iterator[World]:
    """The tables on PostgreSQL."""
    made = World(shared_postgresql_url)
    yield made
    made.close()


def post(
    client: FlaskClient, table: str, body: str, prefer: str | None = None, query: str = ""
) -> Any:
    """Status, headers and body of a POST, with the table's name taken out."""
    headers = {"Sec-Fetch-Site": "same-origin", **({"Prefer": prefer} if prefer else {})}
    answer = client.post(
        f"/api/{table}{query}", data=body, headers=headers, content_type="application/json"
    )
    kept = {
        k: v
        for k, v in answer.headers.items()
        if k not in ("X-Request-ID", "Content-Length", "ETag")
    }
    text = answer.get_data(as_text=True)
    shown = json.loads(text) if text else None
    tag = answer.headers.get("ETag", "").partition("-")[0]
    return json.loads(json.dumps([answer.status_code, kept, shown, tag]).replace(table, "TABLE"))


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
OTHERS_ENDED = """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def both(world: World, body: str, prefer: str | None = None, query: str = "") -> Any:
    """The same POST to both tables, which must not differ."""
    plain = post(world.client, "plain", body, prefer, query)
    watched = post(world.client, "watched", body, prefer, query)
    assert plain == watched
    assert world.rows("plain") == world.rows("watched")
    world.count_on()
    return plain


FULL = {
    "name": "a",
    "note": 'line\nwith "quotes" and \\ and ü',
    "small": -32768,
    "big": 2**63 - 1,
    "weight": 0.1,
    "price": "12.50",
    "exact": "1e-20",
    "is_new": False,
    "state": "old",
    "colour": "green",
    "made_at": "2024-03-31T02:30:00.123456789+02:00",
    "seen_at": "2024-03-31T02:30:00+02:00",
    "day": "0001-01-01",
    "hour": "23:59:59.5",
    "token": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "data": {"a": [1, None, "x"], "b": 1.5},
    "count": 0,
    "maker_id": 1,
}

BODIES = [
    json.dumps(FULL),
    json.dumps([{"name": f"n{i}"} for i in range(20)]),
    json.dumps([{"name": "m1", "big": 1}, {"name": "m2"}, {"name": "m3", "note": None}]),
    json.dumps([{"name": "d1", "is_new": False}, {"name": "d2"}]),
    json.dumps([{"name": "s1", "state": "x"}, {"name": "s2"}]),
    json.dumps([{"name": "j1", "data": None}, {"name": "j2"}]),
    json.dumps([{"name": "j3", "data": "text"}, {"name": "j4", "data": 'a "b"'}]),
    json.dumps([{"name": "j5", "data": None}, {"name": "j6", "data": [[]]}]),
    json.dumps({"name": "two", "price": 1.005}),
    '{"name": "price", "price": 12345678.9}',
    '{"name": "big", "big": 9223372036854775808}',
    '{"name": "small", "small": 32768}',
    '{"name": "small", "small": 1.0}',
    '{"name": "bool", "is_new": 1}',
    '{"name": "null", "is_new": null}',
    '{"name": null}',
    "{}",
    "[]",
    "[[]]",
    '[{"name": "ok1"}, 7]',
    '{"name": "twice", "name": "twice"}',
    '{"name": "twice", "note": "a", "note": "b"}',
    '{"name": "zero", "note": "\\u0000"}',
    '{"name": "half", "note": "\\ud800"}',
    '{"name": "much too long a name"}',
    '{"name": "unknown", "nam": 1}',
    '{"name": "key", "id": 77}',
    '{"name": "missing", "maker_id": 99}',
    '[{"name": "ref1", "maker_id": 1}, {"name": "ref2", "maker_id": 99}]',
    '{"name": "check", "count": -1}',
    '[{"name": "c1", "count": 1}, {"name": "c2", "count": -1}]',
    '[{"name": "same"}, {"name": "same"}]',
    '{"name": "a"}',
    '{"name": "nan", "weight": NaN}',
    '{"name": "inf", "weight": 1e999}',
    '{"name": "tiny", "weight": 1e-320}',
    '{"name": "exp", "exact": 1e300}',
    '{"name": "day", "day": "2024-02-30"}',
    '{"name": "never", "made_at": "infinity"}',
    '{"name": "naive", "made_at": "2024-01-01", "seen_at": "2024-01-01T10:00"}',
    '{"name": "late", "made_at": "9999-12-31T23:59:59-01:00"}',
    '{"name": "colour", "colour": "GREEN"}',
    '{"name": "token", "token": "no"}',
    '{"name": "nested", "maker": {"id": 1}}',
    '{"name": "deep", "data": ' + "[" * 70 + "]" * 70 + "}",
    '{"name": "ws"  ,\n "note" :\t"x" }',
    "nonsense",
    "",
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_is_taken_the_same_way(world: World, body: str) -> None:
    """Status, headers, answer, problems, version and stored rows are those of mapped objects."""
    world.empty()
    both(world, '{"name": "a"}')
    both(world, body)
    world.empty()
    both(world, body, "return=minimal, missing=null")


@pytest.mark.parametrize(
    ("query", "prefer"),
    [
        ("?select=id,n:name,data->a", None),
        ("?select=name,maker(id)", None),
        ("?select=nothing", None),
        ("?name=eq.a", None),
        ("?on_conflict=name", "resolution=merge-duplicates"),
        ("?columns=name", None),
        ("", "tx=rollback"),
        ("", "return=headers-only"),
    ],
)
def test_a_query_holds_the_same_way(world: World, query: str, prefer: str | None) -> None:
    """What the answer shows, and dry runs, are as they were."""
    both(world, json.dumps({**FULL, "name": "q"}), prefer, query)
    both(world, json.dumps([{**FULL, "name": "q1"}, {**FULL, "name": "q2"}]), prefer, query)


_TEXTS = st.text(max_size=12)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": _TEXTS,
    "note": _TEXTS | st.none(),
    "small": st.integers(-40000, 40000),
    "big": st.integers(-(2**64), 2**64) | st.floats(),
    "weight": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    "price": st.decimals(-(10**7), 10**7, places=3).map(str) | st.floats(-1e7, 1e7),
    "exact": st.decimals(allow_nan=False, allow_infinity=False, places=8).map(str),
    "is_new": st.booleans() | st.none() | st.just("true"),
    "state": _TEXTS,
    "colour": st.sampled_from(["red", "green", "blue", None, 1]),
    "made_at": st.datetimes(timezones=st.just(dt.UTC)).map(dt.datetime.isoformat) | _TEXTS,
    "seen_at": st.datetimes().map(dt.datetime.isoformat) | st.none(),
    "day": st.dates().map(dt.date.isoformat),
    "hour": st.times().map(dt.time.isoformat),
    "token": st.uuids().map(str) | st.uuids().map(lambda u: u.hex),
    "data": st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXTS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXTS, inner, max_size=2),
        max_leaves=3,
    ),
    "count": st.integers(-1, 3),
    "maker_id": st.sampled_from([1, 2, 3, None]),
}
_ROWS = st.fixed_dictionaries({}, optional=_VALUES)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=_ROWS | st.lists(_ROWS, min_size=1, max_size=4))
def test_any_body_is_taken_the_same_way(world: World, body: Any) -> None:
    """Whatever is sent, one way accepts what the other does, and stores and answers the same."""
    world.empty()
    both(world, json.dumps(body))


@pytest.mark.parametrize(
    ("body", "statements"),
    [(FULL, ONE), ([{"name": "n1"}, {"name": "n2"}], MANY)],
    ids=["one", "many"],
)
def test_a_plain_row_is_one_statement(world: World, body: Any, statements: int) -> None:
    """Many have a BEGIN and a COMMIT around it; an event of the application's needs more."""
    world.empty()
    text = json.dumps(body)
    assert world.statements(lambda: post(world.client, "plain", text)) == statements
    assert world.statements(lambda: post(world.client, "watched", text)) == MAPPED


def test_an_isolation_of_ones_own_is_kept(world: World) -> None:
    """It is asked for in a BEGIN, without which the row would be stored in another."""
    world.empty()
    engine = sa.create_engine(world.engine.url, isolation_level="SERIALIZABLE")
    counter = StatementCounter(engine)
    app = Flask("inserts")
    Carboy(app, engine, policy=OPEN).resource(Plain)
    client = app.test_client()
    try:
        client.get("/api/plain?limit=1")
        before = counter.count()
        assert post(client, "plain", '{"name": "a"}')[0] == 201
        assert counter.count() - before == MANY
    finally:
        engine.dispose()
        counter.close()


AWARE = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
ANN = Actor(id="7", roles=frozenset({"writer"}))


@pytest.mark.parametrize(
    ("policy", "body", "status", "statements"),
    [
        (Policy(read=True, create=lambda who: Plain.count < 5), {"count": 4}, 201, ONE),
        (Policy(read=True, create=lambda who: Plain.count < 5), {"count": 5}, 403, None),
        (Policy(read=True, create=lambda who: Plain.big > 5), {"big": None}, 403, None),
        (Policy(read=lambda who: Plain.count == 1, create=True), {"count": 1}, 201, ONE),
        (Policy(read=lambda who: Plain.count == 1, create=True), {"count": 2}, 201, None),
        (Policy(create=True, set_on_create={"count": lambda who: who.id}), {}, 201, ONE),
        # What becomes of a time zone that the column lacks is the driver's affair.
        (Policy(create=True, set_on_create={"seen_at": lambda who: AWARE}), {}, 201, MAPPED),
        (Policy(create=True, write_fields={"count": False}), {"count": 1}, 400, None),
        (Policy(create=False), {}, 403, None),
    ],
)
def test_policies_hold(
    world: World, policy: Policy, body: dict[str, Any], status: int, statements: int | None
) -> None:
    """Rows that may not be created aren't, and what may not be read isn't answered."""
    world.empty()
    client = world.serve(policy, lambda: ANN)
    answers = []

    def ask() -> None:
        answers.append(post(client, "plain", json.dumps({"name": "p", **body})))

    # The first finds out what the tables are.
    ask()
    world.empty()
    taken = world.statements(ask)
    assert answers[1][0] == status
    assert len(world.rows("plain")) == (status == 201)
    if statements is not None:
        assert taken == statements
    if status == 201 and statements is None:
        assert answers[1][2] is None, "the row may not be read"


@contextmanager
def trigger(world: World, when: str, does: str) -> Iterator[None]:
    """A trigger on each row of the plain table."""
    with world.engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE FUNCTION triggered() RETURNS trigger LANGUAGE plpgsql"
                f" AS $$ BEGIN {does}; RETURN NULL; END $$"
            )
        )
        connection.execute(
            sa.text(
                f"CREATE TRIGGER triggered {when} INSERT ON plain"
                " FOR EACH ROW EXECUTE FUNCTION triggered()"
            )
        )
    try:
        yield
    finally:
        with world.engine.begin() as connection:
            connection.execute(sa.text("DROP FUNCTION triggered CASCADE"))


def test_triggers_are_seen_in_the_answer(world: World) -> None:
    """What a trigger does after the INSERT is answered as it is stored, and then expected."""
    world.empty()
    client = world.serve(OPEN)
    with trigger(world, "AFTER", "UPDATE plain SET count = 99 WHERE id = NEW.id"):
        answer = post(client, "plain", '{"name": "t"}')
        again = world.statements(lambda: post(client, "plain", '{"name": "v"}'))
        many = post(world.serve(OPEN), "plain", '[{"name": "u"}]')
    assert answer[2]["count"] == many[2]["data"][0]["count"] == 99
    assert again == MAPPED
    assert [row.name for row in world.rows("plain")] == ["t", "v", "u"]


def test_a_trigger_that_keeps_a_row_away_is_obeyed(world: World) -> None:
    """It runs for the way through mapped objects alone, and nothing of the first try stays."""
    world.empty()
    noted = "INSERT INTO bare (name) VALUES (NEW.name || nextval('bare_id_seq'))"
    with trigger(world, "BEFORE", noted):
        answer = post(world.serve(OPEN), "plain", '{"name": "t"}')
    assert world.rows("plain") == []
    assert (answer[0], len(world.rows("bare"))) == (409, 0)


def test_connections_that_the_server_has_ended_are_replaced(world: World) -> None:
    """A row is stored at the first try, and once."""
    world.empty()
    client = world.serve(OPEN)
    for name in "ab":
        with world.engine.connect() as connection:
            connection.execute(sa.text(OTHERS_ENDED))
        assert post(client, "plain", json.dumps({"name": name}))[0] == 201
    assert [row.name for row in world.rows("plain")] == ["a", "b"]


def test_a_connection_lost_in_an_insert_is_told(world: World) -> None:
    """Nobody knows whether it happened, so it isn't tried again."""
    world.empty()
    client = world.serve(OPEN)
    answers = []
    alone = world.engine.execution_options(isolation_level="AUTOCOMMIT")
    with world.engine.connect() as locking, alone.connect() as looking:
        locking.execute(sa.text("LOCK TABLE plain IN SHARE MODE"))
        ask = partial(post, client, "plain", '{"name": "a"}')
        asking = threading.Thread(target=lambda: answers.append(ask()))
        asking.start()
        while not looking.scalar(sa.text(WAITING)):
            time.sleep(0.01)
        looking.execute(sa.text(f"{OTHERS_ENDED} AND wait_event_type = 'Lock'"))
        asking.join()
    assert answers[0][0] == 503
    assert "may have stored it" in answers[0][2]["detail"]
    assert world.rows("plain") == []


@pytest.mark.parametrize(
    ("target", "event"),
    [
        (Session, "before_flush"),
        (Plain, "init"),
        (Plain.name, "set"),
        (Plain, "after_insert"),
        ("engine", "before_cursor_execute"),
        ("engine", "commit"),
    ],
)
def test_an_event_that_is_asked_for_later_happens(world: World, target: Any, event: str) -> None:
    """Whoever listens is told of new rows from then on."""
    world.empty()
    post(world.client, "plain", '{"name": "before"}')
    heard: list[object] = []

    def listener(*arguments: object) -> None:
        heard.append(arguments)

    on = world.engine if target == "engine" else target
    sa.event.listen(on, event, listener)
    try:
        assert post(world.client, "plain", '{"name": "after"}')[0] == 201
    finally:
        sa.event.remove(on, event, listener)
    assert heard


BARE = [
    '{"name": "a"}',
    '[{"name": "b"}, {"name": "c", "maker_id": 1}]',
    '{"name": "a"}',
    '{"name": "d", "maker": {"id": 2}}',
    '{"name": "e", "maker_id": 9}',
    '{"name": "f", "nope": 1}',
    "nonsense",
    '{"name": "' + "x" * 400 + '"}',
]


def test_a_post_in_front_of_flask_is_answered_alike(world: World) -> None:
    """With the same status, headers and body, whether the rows turn out to be plain or not."""
    ways = []
    for direct in (True, False):
        world.empty()
        client = world.serve(OPEN, CARBOY_DIRECT_READS=direct, CARBOY_MAX_BODY_BYTES=300)
        answers = []
        for body in BARE:
            answers.append(post(client, "bare", body))
            world.count_on("bare")
        answers.append(post(client, "bare", '{"name": "g"}', "tx=rollback"))
        answers.append(post(client, "bare", '{"name": "h"}', "return=minimal"))
        ways.append((answers, world.rows("bare")))
    assert ways[0] == ways[1]
    statuses = [answer[0] for answer in ways[0][0]]
    assert statuses == [201, 201, 409, 201, 409, 400, 400, 413, 201, 201]


@pytest.mark.parametrize(
    ("direct", "table", "body", "dispatched"),
    [
        (True, "bare", '{"name": "a"}', False),
        (False, "bare", '{"name": "a"}', True),
        (True, "plain", '{"name": "a"}', True),
        (True, "watched", '{"name": "a"}', True),
        (True, "bare", '{"name": "a", "maker": {"id": 1}}', True),
    ],
    ids=["plain", "off", "default", "event", "nested"],
)
def test_what_may_run_the_applications_code_has_flasks_context(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    direct: bool,
    table: str,
    body: str,
    dispatched: bool,
) -> None:
    """A function for a default, an event, or another class's rules may look at the request."""
    world.empty()
    client = world.serve(OPEN, CARBOY_DIRECT_READS=direct)
    seen: list[object] = []
    adapter = client.application.create_url_adapter

    def noticed(request: Any) -> Any:
        seen.append(request)
        return adapter(request)

    monkeypatch.setattr(client.application, "create_url_adapter", noticed)
    assert post(client, table, body)[0] == 201
    assert bool(seen) == dispatched


def test_policies_that_fill_in_have_flasks_context(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a policy sets may come from the request."""
    world.empty()
    app = Flask("filled")
    api = Carboy(app, world.engine, policy=OPEN)
    asked = {"name": lambda who: flask.request.headers["X-Name"]}
    api.resource(Bare, policy=Policy(read=True, create=True, set_on_create=asked))
    client = app.test_client()
    client.get("/api/bare")
    for name in ("one", "two"):
        assert client.post("/api/bare", json={}, headers={"X-Name": name}).status_code == 201
    assert [row.name for row in world.rows("bare")] == ["one", "two"]
