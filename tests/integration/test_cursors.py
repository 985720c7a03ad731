"""Cursors while the table changes: no row that was there is skipped or comes twice."""

from __future__ import annotations

import datetime as dt
import math
import random
from typing import Any
from urllib.parse import quote

import flask
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase

from carboy import OPEN, Carboy
from tests.conftest import empty_postgresql_database

MOMENTS = (None, *(dt.datetime(1969, 12, 31, 23, 59, 59, n, dt.UTC) for n in (0, 1, 999_999)))
FLOATS = (None, -0.5, 0.1, 1e300, float("inf"), float("-inf"))
TEXTS = (None, "", "a", "A", "é", "%", 'say "x"', "\\")
BIGS = (None, -(2**63), 2**53 + 1, 2**63 - 1)


class Base(DeclarativeBase):
    """The base of this module's table."""


class Event(Base):
    """Few values, so that most rows tie; a key of two columns breaks the ties."""

    __table__ = sa.Table(
        "events",
        Base.metadata,
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.Column("score", sa.Double),
        sa.Column("label", sa.Text),
        sa.Column("big", sa.BigInteger),
        sa.Column("data", sa.JSON(none_as_null=True)),
    )


ORDERS = (
    None,
    "at",
    "at.desc",
    "at.nullsfirst",
    "at.desc.nullslast",
    "score",
    "score.desc",
    "score.nullsfirst",
    "label,at.desc",
    "label.desc.nullslast,id",
    "big.desc,day",
    "big.nullsfirst,score.desc.nullslast,label",
    "data->>k.desc,label",
    "day.desc",
    "id",
)


def some_rows(engine: Engine, chance: random.Random, ids: range) -> None:
    """Insert a row for each id."""
    rows: list[dict[str, Any]] = [
        {
            "day": dt.date(1970, 1, 1) + dt.timedelta(chance.randint(-1, 1)),
            "id": number,
            "at": chance.choice(MOMENTS),
            "score": chance.choice(FLOATS),
            "label": chance.choice(TEXTS),
            "big": chance.choice(BIGS),
            "data": chance.choice((None, {}, {"k": None}, {"k": "v"}, {"k": 1.5}, {"k": [1]}, 3)),
        }
        for number in ids
    ]
    if engine.dialect.name == "mariadb":
        # It has no infinity.
        rows = [row | {"score": _finite(row["score"])} for row in rows]
    with engine.begin() as connection:
        connection.execute(sa.insert(Event), rows)


def _finite(score: float | None) -> float | None:
    return None if score is not None and math.isinf(score) else score


@pytest.mark.parametrize("order", ORDERS)
def test_no_row_is_skipped_or_repeated(database_url: str, order: str | None) -> None:
    """Rows go in between the pages; each that was there at the start is seen exactly once."""
    chance = random.Random(order)
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    some_rows(engine, chance, range(0, 60, 2))
    app = flask.Flask("cursors")
    Carboy(app, engine, policy=OPEN).resource(Event)
    client = app.test_client()
    target = "/api/events?select=id&limit=4" + (f"&order={quote(order)}" if order else "")
    seen: list[int] = []
    cursor, fresh = None, 1
    while (cursor is not None or not seen) and len(seen) < 200:
        response = client.get(target + (f"&after={cursor}" if cursor else ""))
        assert response.status_code == 200, response.text
        seen += [row["id"] for row in response.get_json()["data"]]
        cursor = response.get_json()["next"]
        if fresh < 30:
            some_rows(engine, chance, range(fresh, fresh + 6, 2))
            fresh += 6
    engine.dispose()
    assert len(seen) == len(set(seen))
    assert set(range(0, 60, 2)) <= set(seen)


@pytest.mark.parametrize("order", ["at", "at.desc", "score.desc", "score"])
def test_what_only_postgresql_holds_has_its_place(postgresql_url: str, order: str) -> None:
    """Infinite moments and NaN are null in JSON, but not in an order."""
    with empty_postgresql_database(postgresql_url) as url:
        check_special(url, order)


def check_special(url: str, order: str) -> None:
    """Page through two rows of each special value, one by one."""
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    special = (("infinity", "NaN"), ("-infinity", "Infinity"), ("2024-01-31", "-Infinity"))
    with engine.begin() as connection:
        for number, (at, score) in enumerate(special * 2):
            connection.execute(
                sa.text(
                    "INSERT INTO events (day, id, at, score) VALUES ('1970-01-01', :i, :a, :s)"
                ),
                {"i": number, "a": at, "s": score},
            )
        expected = [
            row.id
            for row in connection.execute(
                sa.text(f"SELECT id FROM events ORDER BY {order.replace('.', ' ')}, {_ties(order)}")
            )
        ]
    app = flask.Flask("special")
    Carboy(app, engine, policy=OPEN).resource(Event)
    client, seen, cursor = app.test_client(), [], ""
    for _ in special * 2:
        page = client.get(f"/api/events?select=id&limit=1&order={order}{cursor}").get_json()
        seen += [row["id"] for row in page["data"]]
        cursor = f"&after={page['next']}"
    engine.dispose()
    assert seen == expected


def _ties(order: str) -> str:
    return "day DESC, id DESC" if order.endswith("desc") else "day, id"
