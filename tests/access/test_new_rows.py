"""New rows under policies, whichever way they take: one, many, or an import of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column
from werkzeug.test import TestResponse

from carboy import OPEN, Carboy, Policy

from .world import SECRET, token


class Base(DeclarativeBase):
    """The models of this module."""


class Shelf(Base):
    """What notes lie on; some of them nobody sees."""

    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    open: Mapped[bool] = mapped_column(default=True)


class Note(Base):
    """A row that needs nothing but the database."""

    __tablename__ = "short_notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.String(20))
    size: Mapped[int] = mapped_column(default=1)
    owner_id: Mapped[int | None]
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelves.id"))


Serve = Callable[..., Callable[[str, Any], TestResponse]]
WAYS = ("one", "many", "import", "csv")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """The tables, with a shelf that is seen and one that isn't."""
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Shelf), [{"id": 1, "open": True}, {"id": 2, "open": False}])
    yield engine
    engine.dispose()


@pytest.fixture
def serve(engine: sa.Engine) -> Serve:
    """Serves the notes under a policy, to the actor 7: rows, and the way that they take."""

    def made(policy: Policy, *, shelves: Policy = OPEN) -> Callable[[str, Any], TestResponse]:
        app = Flask("new_rows")
        app.config["CARBOY_JWT_SECRET"] = SECRET
        api = Carboy(app, engine, policy=OPEN)
        api.resource(Note, policy=policy)
        api.resource(Shelf, policy=shelves)
        client = app.test_client()

        def send(way: str, rows: list[Any]) -> TestResponse:
            table = [rows[0], *(row.values() for row in rows)]
            bodies = {
                "one": ("application/json", json.dumps(rows[0])),
                "many": ("application/json", json.dumps(rows)),
                "import": ("application/x-ndjson", "\n".join(map(json.dumps, rows))),
                "csv": ("text/csv", "\n".join(",".join(map(str, cells)) for cells in table)),
            }
            form, body = bodies[way]
            headers = {"Authorization": f"Bearer {token(7)}"}
            return client.post("/api/short_notes", data=body, content_type=form, headers=headers)

        return send

    return made


def stored(engine: sa.Engine) -> list[tuple[Any, ...]]:
    """Each note's text and owner."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(Note.text, Note.owner_id))]


@pytest.mark.parametrize("way", WAYS)
def test_new_rows_fulfil_the_rule(serve: Serve, engine: sa.Engine, way: str) -> None:
    """A row that doesn't is refused, and no other of the request is there."""
    send = serve(Policy(read=True, create=lambda who: Note.size < 5))
    assert send(way, [{"text": "a", "size": 4}, {"text": "b", "size": 3}]).status_code == 201
    there = stored(engine)
    assert send(way, [{"text": "c", "size": 5}, {"text": "d", "size": 3}]).status_code == 403
    assert stored(engine) == there


@pytest.mark.parametrize("way", WAYS)
def test_new_rows_are_held_against_each_other(serve: Serve, engine: sa.Engine, way: str) -> None:
    """A rule that counts the rows counts those that are new as well."""
    other = aliased(Note)
    few = select(func.count()).select_from(other).scalar_subquery() <= 1
    send = serve(Policy(read=True, create=lambda who: few))
    assert send(way, [{"text": "a"}]).status_code == 201
    assert send(way, [{"text": "b"}, {"text": "c"}]).status_code == 403
    assert len(stored(engine)) == 1


@pytest.mark.parametrize("way", WAYS)
def test_new_rows_are_filled_in(serve: Serve, engine: sa.Engine, way: str) -> None:
    """By the policy, and by nobody else."""
    send = serve(Policy(read=True, create=True, set_on_create={"owner_id": lambda who: who.id}))
    assert send(way, [{"text": "a"}, {"text": "b"}]).status_code == 201
    assert {owner for _, owner in stored(engine)} == {7}
    assert send(way, [{"text": "c", "owner_id": 8}]).status_code in (400, 422)
    assert {owner for _, owner in stored(engine)} == {7}


@pytest.mark.parametrize("way", WAYS)
def test_new_rows_refer_to_what_may_be_read(serve: Serve, engine: sa.Engine, way: str) -> None:
    """Another row is as good as missing."""
    send = serve(OPEN, shelves=Policy(read=lambda who: Shelf.open))
    assert send(way, [{"text": "a", "shelf_id": 1}]).status_code == 201
    hidden = send(way, [{"text": "b", "shelf_id": 2}])
    missing = send(way, [{"text": "b", "shelf_id": 3}])
    assert hidden.status_code == missing.status_code != 201
    assert hidden.get_json() == missing.get_json()
    assert len(stored(engine)) == 1


@pytest.mark.parametrize("way", ["one", "many"])
def test_new_rows_that_may_not_be_read_are_not_answered(serve: Serve, way: str) -> None:
    """They are created, and nothing is said of them."""
    send = serve(Policy(read=lambda who: Note.text == "mine", create=True))
    assert "mine" in send(way, [{"text": "mine"}]).text
    answer = send(way, [{"text": "theirs"}])
    assert answer.status_code == 201
    assert "theirs" not in answer.text


@pytest.mark.parametrize("way", WAYS)
def test_new_rows_are_for_whom_the_rule_says(serve: Serve, engine: sa.Engine, way: str) -> None:
    """Whoever may create none learns nothing of the fields."""
    answer = serve(Policy(read=True, create=False))(way, [{"nope": 1}])
    assert answer.status_code == 403
    assert "nope" not in answer.text
    assert stored(engine) == []
