"""Imports by request: all rows or none, or those that fit, on every database."""

from __future__ import annotations

import datetime as dt
import io
import json
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, validates
from werkzeug.test import TestResponse

from carboy import OPEN, Carboy
from tests import commands

NDJSON, CSV = "application/x-ndjson", "text/csv"


class Base(DeclarativeBase):
    """The models of this module."""


class Maker(Base):
    """What things refer to."""

    __tablename__ = "makers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Thing(Base):
    """A row that needs nothing but the database."""

    __tablename__ = "things"
    __table_args__ = (sa.CheckConstraint("size > 0", name="size_is_positive"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)
    note: Mapped[str | None] = mapped_column(sa.Text)
    title: Mapped[str] = mapped_column(sa.String(20), default="untitled")
    size: Mapped[int | None]
    price: Mapped[Decimal | None] = mapped_column(sa.Numeric(8, 2))
    is_new: Mapped[bool | None]
    made_on: Mapped[dt.date | None]
    data: Mapped[Any | None] = mapped_column(sa.JSON)
    maker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("makers.id"))


class Ruled(Base):
    """A row with rules of its class's own."""

    __tablename__ = "ruled"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20))
    maker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("makers.id"))
    maker: Mapped[Maker | None] = relationship()

    @validates("name")
    def _no_shouting(self, _: str, name: str) -> str:
        if name.isupper():
            raise ValueError("mustn't shout")
        return name.strip()


def _is_kind(values: Any) -> dict[str, str] | None:
    return {"name": "is rude"} if values.get("name") == "rude" else None


class Shop:
    """The tables, and clients of applications over them."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url)
        Base.metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(sa.insert(Maker), [{"name": "one"}])
        self.client = self.serve()

    def serve(self, **config: Any) -> FlaskClient:
        """A client of an application with the settings."""
        app = Flask("imports")
        app.config.update(config)
        api = Carboy(app, self.engine, policy=OPEN)
        api.resource(Thing)
        api.resource(Maker)
        api.resource(Ruled, validate=_is_kind, history=True)
        return app.test_client()

    def rows(self, column: Any, *more: Any) -> list[tuple[Any, ...]]:
        """What is stored, in the order of its keys."""
        query = sa.select(column, *more).order_by(column.class_.id)
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    """The shop on each database."""
    made = Shop(database_url)
    yield made
    made.engine.dispose()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Shop]:
    """The shop on SQLite, for what is the same everywhere."""
    made = Shop(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    yield made
    made.engine.dispose()


def send(
    client: FlaskClient, body: str | bytes, form: str, to: str = "things", **headers: str
) -> TestResponse:
    """The answer to an import; a header's name has _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/api/{to}", data=body, content_type=form, headers=named)


def lines(*rows: Any) -> str:
    """Rows as NDJSON."""
    return "".join(json.dumps(row) + "\n" for row in rows)


_TABLE = "\r\n".join(
    (
        "name,note,title,size,price,is_new,made_on,data,maker_id",
        '"a ""quoted"", name",,,1,1.50,true,2024-02-29,"{""a"": [1, null]}",1',
        'b,"",t,,,,,,',
        "",
        'c,"two\r\nlines",\'=1+1,2,1e1,f,2024-01-01,"""text""",',
        "",
    )
)


def test_csv_is_read_by_the_columns_types(shop: Shop) -> None:
    """An empty cell is null or the default, a quoted one an empty text; a BOM is no part of it."""
    for start in (b"", b"\xef\xbb\xbf"):
        answer = send(shop.client, start + _TABLE.encode(), CSV + "; charset=UTF-8")
        assert (answer.status_code, answer.get_json()) == (201, {"imported": 3})
        found = shop.rows(*(c for c in (Thing.name, Thing.note, Thing.title, Thing.size)))
        assert found == [
            ('a "quoted", name', None, "untitled", 1),
            ("b", "", "t", None),
            ("c", "two\r\nlines", "=1+1", 2),
        ]
        rest = shop.rows(Thing.price, Thing.is_new, Thing.made_on, Thing.data, Thing.maker_id)
        assert rest == [
            (Decimal("1.50"), True, dt.date(2024, 2, 29), {"a": [1, None]}, 1),
            (None, None, None, None, None),
            (Decimal(10), False, dt.date(2024, 1, 1), "text", None),
        ]
        with shop.engine.begin() as connection:
            connection.execute(sa.delete(Thing))


def test_an_import_is_whole_or_not_at_all(shop: Shop) -> None:
    """The first rows that can't be stored are named with what is wrong, and none is there."""
    good = [{"name": f"n{i}"} for i in range(2500)]
    bad = [
        {"name": "n7"},
        {"name": "check", "size": 0},
        {"name": "reference", "maker_id": 9},
        {"name": "type", "size": "x"},
        {"name": "field", "nope": 1},
        {"size": 1},
    ]
    answer = send(shop.client, lines(*good, *bad), NDJSON)
    assert answer.status_code == 422
    problem = answer.get_json()
    assert problem["type"] == "urn:carboy:error:import-rejected"
    found = [(each["row"], each["code"], each.get("pointer")) for each in problem["errors"]]
    assert found == [
        (2501, "duplicate", "/name"),
        (2502, "check", found[1][2]),
        (2503, "reference-missing", "/maker_id"),
        (2504, "invalid", "/size"),
        (2505, "unknown-field", "/nope"),
        (2506, "required", "/name"),
    ]
    assert shop.rows(Thing.name) == []
    assert send(shop.client, lines(*good), NDJSON).get_json() == {"imported": 2500}
    assert len(shop.rows(Thing.name)) == 2500


@pytest.mark.parametrize("form", [NDJSON, CSV])
def test_a_lenient_import_goes_on(shop: Shop, form: str) -> None:
    """Of each rejected row it answers the number and the faults; the others are stored."""
    rows = [("a", 1, 1), ("b", 0, 1), ("a", 2, 1), ("c", "x", 1), ("d", 3, 9), ("e", 4, 1)]
    named = [dict(zip(("name", "size", "maker_id"), row, strict=True)) for row in rows]
    body = lines(*named)
    if form == CSV:
        body = "name,size,maker_id\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    answer = send(shop.client, body, form, Prefer="handling=lenient")
    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "handling=lenient"
    found = answer.get_json()
    assert found["imported"] == 2
    assert [(each["row"], each["errors"][0]["code"]) for each in found["rejected"]] == [
        (2, "check"),
        (3, "duplicate"),
        (4, "invalid"),
        (5, "reference-missing"),
    ]
    assert shop.rows(Thing.name) == [("a",), ("e",)]


def test_the_rules_of_the_model_hold(shop: Shop) -> None:
    """Its validators, the resource's, nested rows; and the history knows of each row."""
    rows: list[Any] = [
        {"name": " calm ", "maker": {"id": 1}},
        {"name": "LOUD"},
        {"name": "rude"},
        {"name": "new", "maker": {"name": "two"}},
    ]
    strict = send(shop.client, lines(*rows), NDJSON, "ruled")
    assert [each["row"] for each in strict.get_json()["errors"]] == [2, 3]
    assert shop.rows(Ruled.name) == []
    found = send(shop.client, lines(*rows), NDJSON, "ruled", Prefer="handling=lenient").get_json()
    assert found["imported"] == 2
    assert [each["errors"][0]["detail"] for each in found["rejected"]] == [
        "name mustn't shout",
        "name is rude",
    ]
    assert [name for name, _ in shop.rows(Ruled.name, Ruled.maker_id)] == ["calm", "new"]
    key = shop.rows(Ruled.id)[-1][0]
    history = shop.client.get(f"/api/ruled/{key}/history").get_json()["data"]
    assert [entry["action"] for entry in history] == ["create"]


@pytest.mark.parametrize(
    ("body", "form", "status", "part"),
    [
        (b"name\n\xff\n", CSV, 400, "line 2"),
        (b"name\na\0b\n", CSV, 400, "NUL"),
        (b'{"name": "a\0b"}\n', NDJSON, 400, "NUL"),
        (b'{"name": "\xff"}\n', NDJSON, 400, "UTF-8"),
        (b"name\n" + b"x" * 3000, CSV, 413, "CARBOY_MAX_BODY_BYTES"),
        (b'name\n"' + b"x\n" * 1500, CSV, 413, "CARBOY_MAX_BODY_BYTES"),
        (b'{"name": "' + b"x" * 3000, NDJSON, 413, "CARBOY_MAX_BODY_BYTES"),
        (b"name\n" + b"x\n" * 6000, CSV, 413, "CARBOY_MAX_IMPORT_BYTES"),
        (b'name\n"open', CSV, 400, "CSV"),
        (b'name\n"a"b\n', CSV, 400, "CSV"),
        (b"", CSV, 400, "header"),
        (b"name,nme\na,b\n", CSV, 400, "'nme'"),
        (b"name,id\na,1\n", CSV, 400, "takes name, note, title"),
        (b"name,name\na,b\n", CSV, 400, "twice"),
        (b"name,\na,b\n", CSV, 400, "empty name"),
        (b"name\na,b\n", CSV, 422, "2 cells"),
        (b"name\na\n", CSV + "; header=absent", 415, "header"),
        (b"name\na\n", CSV + "; charset=latin-1", 415, "latin-1"),
        (b"7\n", NDJSON, 422, "object"),
        (b'{"name": "a", "name": "b"}\n', NDJSON, 422, "twice"),
    ],
    ids=range(20),
)
def test_what_is_no_import_is_refused(
    small: Shop, body: bytes, form: str, status: int, part: str
) -> None:
    """With what is wrong and where, whatever the client prefers, and nothing is kept."""
    client = small.serve(CARBOY_MAX_BODY_BYTES=2000, CARBOY_MAX_IMPORT_BYTES=10_000)
    good = b'{"name": "good"}\n' if form == NDJSON else b""
    answer = send(client, good + body, form)
    assert answer.status_code == status, answer.text
    assert part in answer.get_json()["detail"]
    assert small.rows(Thing.name) == []


@pytest.mark.parametrize("form", [NDJSON, CSV])
def test_an_upload_that_breaks_off_is_a_400(small: Shop, form: str) -> None:
    """Where fewer bytes come than were announced, or the stream breaks."""
    body = b"name\na\nb\n" if form == CSV else b'{"name": "a"}\n'

    class Broken(io.BytesIO):
        """What a server's stream does where a body in chunks ends in the middle."""

        def read(self, size: int | None = -1, /) -> bytes:
            found = super().read(size)
            if not found:
                raise OSError("the chunk is incomplete")
            return found

    announced = {"CONTENT_LENGTH": str(len(body) + 10)}
    cases: list[tuple[io.BytesIO, dict[str, Any]]] = [
        (io.BytesIO(body), announced),
        (io.BytesIO(body), {**announced, "wsgi.input_terminated": True}),
        (Broken(body), {"wsgi.input_terminated": True}),
    ]
    for stream, environ in cases:
        answer = small.client.post(
            "/api/things",
            input_stream=stream,
            content_type=form,
            environ_overrides=environ,
        )
        assert answer.status_code == 400, answer.text
        assert small.rows(Thing.name) == []


def test_an_import_takes_no_query_and_no_key(small: Shop) -> None:
    """What it couldn't obey isn't passed over; a dry run is obeyed."""
    row = lines({"name": "a"})
    assert send(small.client, row, NDJSON, "things?select=id").status_code == 400
    assert send(small.client, row, NDJSON, Idempotency_Key="k").status_code == 400
    merge = send(small.client, row, NDJSON, Prefer="resolution=merge-duplicates")
    assert merge.status_code == 400
    dry = send(small.client, row, NDJSON, Prefer="tx=rollback")
    assert (dry.status_code, dry.get_json()) == (201, {"imported": 1})
    assert small.rows(Thing.name) == []
    assert small.client.put("/api/things/1", data=row, content_type=NDJSON).status_code == 415
    assert send(small.client, "name\n", CSV).get_json() == {"imported": 0}


def test_too_many_rejected_rows_end_a_lenient_import(small: Shop) -> None:
    """An answer that lists them all would have no bound."""
    client = small.serve(CARBOY_MAX_ROWS=3)
    body = lines({"name": "a"}, *({"size": i} for i in range(4)))
    answer = send(client, body, NDJSON, Prefer="handling=lenient")
    assert answer.status_code == 422
    assert "CARBOY_MAX_ROWS" in answer.get_json()["detail"]
    assert small.rows(Thing.name) == []


def test_an_import_ends_at_its_deadline(shared_postgresql_url: str) -> None:
    """Where the table is locked it is a 504, and nothing is stored."""
    shop = Shop(shared_postgresql_url)
    client = shop.serve(CARBOY_IMPORT_DEADLINE=1)
    client.get("/api/things")
    with shop.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE things IN EXCLUSIVE MODE"))
        assert send(client, lines({"name": "a"}, {"name": "b"}), NDJSON).status_code == 504
    assert shop.rows(Thing.name) == []
    shop.engine.dispose()


def carboy(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return commands.run(["carboy", *arguments], folder=folder)


def test_the_command_imports_a_file(small: Shop, tmp_path: Path) -> None:
    """All rows or none, or those that fit and a file of the others; counts, and an exit status."""
    (tmp_path / "things.csv").write_text("name,title,size\na,,1\nb,,0\na,,2\nc,,3\n")
    target = (str(tmp_path / "shop.sqlite"), "things", "things.csv")
    refused = carboy(tmp_path, "import", *target)
    assert refused.returncode == 2
    assert "row 2: " in refused.stderr
    assert "row 3: " in refused.stderr
    assert "nothing was imported" in refused.stderr
    assert small.rows(Thing.name) == []
    done = carboy(tmp_path, "import", *target, "--continue", "rejected.ndjson")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Imported 2 rows into things.\nRejected 2 rows, written to rejected.ndjson.\n"
    )
    assert small.rows(Thing.name) == [("a",), ("c",)]
    rejected = [json.loads(x) for x in (tmp_path / "rejected.ndjson").read_text().splitlines()]
    assert [(each["row"], each["errors"][0]["code"]) for each in rejected] == [
        (2, "check"),
        (3, "duplicate"),
    ]
    assert rejected[0]["data"] == {"name": "b", "title": None, "size": "0"}
    wrong = carboy(tmp_path, "import", target[0], "nothing", "things.csv")
    assert wrong.returncode == 2
    assert "makers" in wrong.stderr
