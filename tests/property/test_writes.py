"""Random writes: never a 500, the same on every database, all of it or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import flask
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from carboy import OPEN, Carboy
from tests.conftest import empty_databases
from tests.databases import count_from

from .things import DEFAULTS, DOCUMENTS, KINDS, REQUIRED, TEXTS, Base, Part, Slot, Thing, is_shown

# Each test has as many; a write costs more than a read, since the rows are put back before it.
EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "1200")) // 12
ON_DEMAND = "PROPERTY_EXAMPLES" in os.environ
SELECT = "select=*,parts(name)&parts.order=id"
ODD: SearchStrategy[Any] = st.sampled_from([
    None, True, 0, -1, 0.5, 2**31, 2**63, -(2**63), 10**30, 1e308, float("nan"), float("inf"),
    "", "0", "x" * 300, "\0", "\ud800", "😀" * 6, "NaN", "1e400", "null", "AA==", "2024-02-30",
    "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "24:00:00", "2024-01-01", [], {},
    [[]], [None], {"id": 1}, {"name": "n"}, [{"id": 1}], [{"id": 9}], [{"name": 1}], [{}],
    [{"id": 1, "name": "n"}], [{"name": "n", "thing_id": 2}],
])  # fmt: skip


@dataclass(frozen=True)
class Write:
    """One request; ``rows`` are what it sends and what is answered for that, by field."""

    method: str
    path: str
    rows: tuple[dict[str, Any], ...]
    many: bool = False
    prefer: str = ""
    body: bytes | None = None

    @property
    def sent(self) -> Any:
        """The body's JSON."""
        rows = [{name: sent for name, (sent, _) in row.items()} for row in self.rows]
        return rows if self.many else rows[0]


class Server:
    """The API on one database."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url)
        Base.metadata.create_all(self.engine)
        app = flask.Flask("writes")
        api = Carboy(app, self.engine, policy=OPEN)
        for model in (Thing, Part, Slot):
            api.resource(model, show=("token",) if model is Thing else ())
        self.client: FlaskClient = app.test_client()

    def reset(self) -> None:
        """Three rows, and keys that go on after them."""
        with Session(self.engine) as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(table.delete())
            session.add_all([
                Thing(id=1, code="one", title="a", amount=1, data={"a": 1}),
                Part(id=1, name="p", thing_id=1),
                Thing(id=2, code="two", title="b", amount=2, flag=True),
                Slot(a=1, b="x", note="n"),
            ])  # fmt: skip
            session.flush()
            count_from(session.connection(), 3, ["things", "parts"])
            session.commit()

    def contents(self) -> list[Any]:
        """Every row, as the database has it."""
        with self.engine.connect() as connection:
            return [
                sorted(map(repr, connection.exec_driver_sql(f"SELECT * FROM {table.name}")))
                for table in Base.metadata.sorted_tables
            ]

    def send(self, write: Write) -> TestResponse:
        """Send it."""
        body = write.body if write.body is not None else json.dumps(write.sent).encode()
        headers = {"Prefer": write.prefer} if write.prefer else {}
        return self.client.open(
            f"/api/{write.path}",
            method=write.method,
            data=body,
            headers=headers,
            content_type="application/json",
        )

    def read(self, path: str) -> Any:
        """A row, or a list's rows."""
        response = self.client.get(f"/api/{path}")
        assert response.status_code == 200, f"{path}: {response.text}"
        answer: Any = response.json
        return answer["data"] if "data" in answer and "next" in answer else answer


@pytest.fixture(scope="module")
def apis(
    servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Server]]:
    """The same API on each database."""
    with empty_databases(servers, tmp_path_factory.mktemp("writes")) as urls:
        made = [Server(url) for url in urls.values()]
        yield made
        for server in made:
            server.engine.dispose()


@st.composite
def things(draw: DrawFn, *, whole: bool, nested: bool = True) -> dict[str, Any]:
    """A thing's fields, some nulls among them."""
    optional = [name for name in KINDS if name not in REQUIRED]
    names = draw(st.lists(st.sampled_from(optional), unique=True, max_size=6))
    if whole or draw(st.booleans()):
        names += REQUIRED
    row = {name: draw(KINDS[name]) for name in names}
    for name in names:
        if name not in REQUIRED and name not in DEFAULTS and draw(st.integers(0, 5)) == 0:
            row[name] = (None, None)
    if nested and draw(st.integers(0, 3)) == 0:
        parts = [{"name": name} for name in draw(st.lists(TEXTS, max_size=2))]
        row["parts"] = (parts, parts)
    return row


@st.composite
def writes(draw: DrawFn) -> Write:
    """A request that is right in itself; the rows that are there may still be in its way."""
    kind = draw(st.sampled_from(("post", "post", "many", "patch", "put", "bulk", "upsert", "slot")))
    one = f"things/{draw(st.sampled_from((1, 2)))}?{SELECT}"
    many = f"things?{SELECT}"
    if kind == "post":
        return Write("POST", many, (draw(things(whole=True)),))
    if kind == "many":
        return Write("POST", many, tuple(draw(st.lists(things(whole=True), max_size=3))), many=True)
    if kind == "patch":
        return Write("PATCH", one, (draw(things(whole=False)),))
    if kind == "put":
        return Write("PUT", one, (draw(things(whole=True)),))
    if kind == "bulk":
        return Write(
            "PATCH", f"{many}&id=gt.{draw(st.integers(0, 2))}", (draw(things(whole=False)),)
        )
    if kind == "upsert":
        rows = draw(st.lists(things(whole=True, nested=False), min_size=1, max_size=3))
        rows = [{**row, "code": draw(KINDS["code"])} for row in rows]
        prefer = draw(st.sampled_from(("merge", "ignore")))
        path = f"{many}&on_conflict=code"
        return Write("POST", path, tuple(rows), True, f"resolution={prefer}-duplicates")
    a, b = draw(KINDS["amount"])[0], draw(TEXTS)
    note = draw(TEXTS)
    return Write("PUT", f"slots/{a},{_quoted(b)}", ({"note": (note, note)},))


def _quoted(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return quote(f'"{escaped}"', safe="")


@st.composite
def mutated(draw: DrawFn) -> Write:
    """A request with something wrong in it, most of the time."""
    write = draw(writes())
    body = write.sent
    row = draw(st.sampled_from(body)) if isinstance(body, list) and body else body
    names = [*KINDS, "parts", "id", "nope", "", "note", "a", "b"]
    match draw(st.sampled_from(("odd", "odd", "any", "drop", "whole", "cut", "twice", "insert"))):
        case "odd" if isinstance(row, dict):
            row[draw(st.sampled_from(names))] = draw(ODD)
        case "any" if isinstance(row, dict):
            row[draw(st.sampled_from(names))] = draw(DOCUMENTS)
        case "drop" if row and isinstance(row, dict):
            del row[draw(st.sampled_from(sorted(row)))]
        case "whole":
            body = draw(DOCUMENTS | ODD)
        case "twice":
            body = [body, body]
        case "insert":
            text = json.dumps(body).encode()
            at = draw(st.integers(0, len(text)))
            extra = draw(st.binary(min_size=1, max_size=2) | st.sampled_from((b",", b"]", b"}")))
            return replace(write, body=text[:at] + extra + text[at:])
        case "cut":
            text = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
            return replace(write, body=text[: draw(st.integers(0, len(text)))])
    return replace(write, body=json.dumps(body).encode())


_settings = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=not ON_DEMAND,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def test_what_was_written_is_read_back(apis: list[Server]) -> None:
    """Every value of every kind comes back, and what a write doesn't name stays or is default."""

    @_settings
    @given(writes())
    def check(write: Write) -> None:
        answers = [_sent(server, write) for server in apis]
        assert answers[0] == answers[1], write
        status, body = answers[0]
        assert status in (200, 201, 409) or _repeats(write, body), f"{write}: {status} {body}"
        if status < 300:
            for server in apis:
                _check_rows(server, write, body)

    check()


def test_a_bad_write_is_the_same_everywhere_and_changes_nothing(apis: list[Server]) -> None:
    """A 4xx with the same document and no trace, or a success with the same rows."""

    @_settings
    @given(mutated())
    def check(write: Write) -> None:
        answers = [_sent(server, write) for server in apis]
        assert answers[0] == answers[1], write
        assert answers[0][0] < 500, write

    check()


def _sent(server: Server, write: Write) -> tuple[int, Any]:
    """Status and JSON of a request to fresh rows, which are the same after a refusal."""
    server.reset()
    before = server.contents()
    response = server.send(write)
    assert response.status_code < 500, f"{write}: {response.text}"
    if response.status_code >= 400:
        assert response.content_type == "application/problem+json"
        assert server.contents() == before, write
    return response.status_code, response.json


def _repeats(write: Write, body: Any) -> bool:
    """Whether an upsert names a row twice, which is a 400."""
    codes = [row["code"][0] for row in write.rows if "code" in row]
    named = [code for code in codes if code is not None]
    return len(set(named)) < len(named) and body["errors"][0]["code"] == "repeated"


def _check_rows(server: Server, write: Write, body: Any) -> None:
    """The answer's rows are what was sent, and what a read finds."""
    if write.path.startswith("slots"):
        assert server.read(write.path) == body
        assert body["note"] == write.rows[0]["note"][1]
        return
    found = body["data"] if "data" in body and "id" not in body else [body]
    rows = write.rows * len(found) if write.method == "PATCH" else write.rows
    assert len(found) == len(rows)
    ids = {"one": 1, "two": 2}
    for row, answer in zip(rows, found, strict=True):
        assert server.read(f"things/{answer['id']}?{SELECT}") == answer
        kept = write.prefer.startswith("resolution=ignore") and answer["id"] <= max(ids.values())
        if not kept:
            for name, (_, shown) in row.items():
                assert is_shown(shown, answer[name]), f"{write}: {name}: {shown} {answer[name]}"
        if write.method == "PUT":
            left_out = answer.keys() - row.keys() - {"id", "parts"}
            assert {name: answer[name] for name in left_out} == {
                name: DEFAULTS.get(name) for name in left_out
            }
