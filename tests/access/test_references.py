"""Foreign keys of several columns, of which a body changes one."""

from __future__ import annotations

from collections.abc import Iterator

import flask
import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from carboy import Carboy, Policy

from .world import SECRET, Asker, token


class Base(DeclarativeBase):
    """The models of this module."""


class Room(Base):
    """A room of a house; the odd ones are the actor's to see."""

    __tablename__ = "rooms"

    house: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class House(Base):
    """Has lamps, in rooms that the lamps name."""

    __tablename__ = "houses"

    id: Mapped[int] = mapped_column(primary_key=True)
    lamps: Mapped[list[Lamp]] = relationship()


class Lamp(Base):
    """Stands in a room."""

    __tablename__ = "lamps"
    __table_args__ = (ForeignKeyConstraint(["house", "number"], ["rooms.house", "rooms.number"]),)

    id: Mapped[int] = mapped_column(primary_key=True)
    house: Mapped[int] = mapped_column(ForeignKey("houses.id"))
    number: Mapped[int]


@pytest.fixture
def asker(database_url: str) -> Iterator[Asker]:
    """Somebody who may write, and read the odd rooms."""
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(House), [{"id": 1}])
        rooms = [{"house": 1, "number": number} for number in (1, 2, 3)]
        connection.execute(sa.insert(Room), rooms)
        connection.execute(sa.insert(Lamp), [{"house": 1, "number": 1}])
    app = flask.Flask("rooms")
    app.config["CARBOY_JWT_SECRET"] = SECRET
    api = Carboy(app, engine)
    api.resource(Room, policy=Policy(read=lambda _: Room.number % 2 == 1))
    api.resource(House)
    api.resource(Lamp)
    yield Asker(app.test_client(), token(1, "writer"))
    engine.dispose()


def test_a_key_changed_in_part_leads_to_a_readable_row(asker: Asker) -> None:
    """The other part is the row's own; an unreadable row and none are answered alike."""
    assert asker.ask("PATCH", "lamps/1", {"number": 3}).status_code == 200
    unreadable = asker.ask("PATCH", "lamps/1", {"number": 2})
    missing = asker.ask("PATCH", "lamps/1", {"number": 5})
    assert (unreadable.status_code, missing.status_code) == (409, 409)
    assert unreadable.text == missing.text
    assert asker.json("lamps/1") == {"id": 1, "house": 1, "number": 3}


def test_a_key_that_nesting_completes_leads_to_a_readable_row(asker: Asker) -> None:
    """The parent brings one part when it is written; unreadable and missing are answered alike."""
    kept = asker.json("lamps")["data"]
    path, lamps = "houses/1", [{"id": 1}]
    unreadable = asker.ask("PATCH", path, {"lamps": [*lamps, {"number": 2}]})
    missing = asker.ask("PATCH", path, {"lamps": [*lamps, {"number": 5}]})
    assert (unreadable.status_code, missing.status_code) == (409, 409)
    assert unreadable.text == missing.text
    assert asker.json("lamps")["data"] == kept
    assert asker.ask("PATCH", path, {"lamps": [*lamps, {"number": 3}]}).status_code == 200


def test_a_whole_key_leads_to_a_readable_row(asker: Asker) -> None:
    """An unreadable row and none are answered alike, in one object and in many."""
    one = [asker.ask("POST", "lamps", {"house": 1, "number": n}) for n in (2, 5)]
    assert [r.status_code for r in one] == [409, 409]
    assert one[0].text == one[1].text
    rows = [[{"house": 1, "number": n}, {"house": 1, "number": 1}] for n in (2, 5)]
    many = [asker.ask("POST", "lamps", body) for body in rows]
    assert [r.status_code for r in many] == [409, 409]
    assert many[0].text == many[1].text
    assert len(asker.rows("lamps")) == 1
