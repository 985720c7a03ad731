"""Rules of mapped classes that only show in a flush: events, defaults, one-to-one relations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from carboy import OPEN, Carboy

from .models import faults


class Base(DeclarativeBase):
    """The tables of these tests."""


def _slug(context: Any) -> str:
    return str(context.get_current_parameters()["name"]).lower()


def _label(context: Any) -> str:
    return f"{context.current_parameters['slug']}!"


def _rank(context: Any) -> int:
    return int(context.connection.scalar(sa.select(sa.literal(7))))


class Shop(Base):
    """Defaults that read the row, and one another."""

    __tablename__ = "shops"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)
    slug: Mapped[str] = mapped_column(sa.String(20), default=_slug)
    label: Mapped[str] = mapped_column(sa.String(20), default=_label)
    rank: Mapped[int] = mapped_column(default=_rank)
    sign: Mapped[Sign | None] = relationship(back_populates="shop")


class Sign(Base):
    """One for each shop."""

    __tablename__ = "signs"
    shop_id: Mapped[int] = mapped_column(sa.ForeignKey("shops.id"), primary_key=True)
    text: Mapped[str]
    shop: Mapped[Shop] = relationship(back_populates="sign")


def _before_write(_mapper: Any, _connection: Any, target: Shop) -> None:
    if target.name == "Bad":
        raise ValueError("the name is taken by nobody")
    if target.name == "Broken":
        raise RuntimeError("a secret of the application")


def _before_delete(_mapper: Any, _connection: Any, target: Shop) -> None:
    if target.name == "Kept":
        raise ValueError("this one stays")


sa.event.listen(Shop, "before_insert", _before_write)
sa.event.listen(Shop, "before_update", _before_write)
sa.event.listen(Shop, "before_delete", _before_delete)


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    """A client of an API with two shops, one of which has a sign."""
    engine = sa.create_engine(database_url)
    app = flask.Flask("rules")
    api = Carboy(app, engine, policy=OPEN)
    api.resource(Shop)
    api.resource(Sign)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Shop(name="One", sign=Sign(text="x")), Shop(name="Kept")])
        session.commit()
    yield app.test_client()
    engine.dispose()


def names(client: FlaskClient) -> list[str]:
    """The names of all shops."""
    answer: Any = client.get("/api/shops?select=name&order=id").json
    return [row["name"] for row in answer["data"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "shops", {"name": "Bad"}, [("", "invalid")]),
        ("POST", "shops", [{"name": "Good"}, {"name": "Bad"}], [("/1", "invalid")]),
        ("PATCH", "shops/1", {"name": "Bad"}, [("", "invalid")]),
        ("PUT", "shops/1", {"name": "Bad"}, [("", "invalid")]),
        ("PATCH", "shops?id=eq.1", {"name": "Bad"}, [("", "invalid")]),
        ("POST", "shops?on_conflict=name", [{"name": "Good"}, {"name": "Bad"}],
         [("/1", "invalid")]),
        ("POST", "shops?on_conflict=id", [{"id": 1, "name": "Bad"}], [("/0", "invalid")]),
        ("POST", "signs", {"text": "x", "shop": {"name": "Bad"}}, [("", "invalid")]),
    ],
)  # fmt: skip
def test_what_an_event_refuses_is_a_400(
    client: FlaskClient, method: str, path: str, body: Any, expected: list[tuple[str, str]]
) -> None:
    """A ValueError from a mapper event is told to the client, with the row that it is about."""
    response = client.open(f"/api/{path}", method=method, json=body)
    assert (response.status_code, faults(response)) == (400, expected)
    assert response.json is not None
    assert response.json["detail"] == "the name is taken by nobody"
    assert names(client) == ["One", "Kept"]


@pytest.mark.parametrize("path", ["shops/2", "shops?id=eq.2"])
def test_an_event_that_refuses_a_delete_is_a_409(client: FlaskClient, path: str) -> None:
    """Nothing in the request is wrong; the row stands in the way."""
    response = client.delete(f"/api/{path}")
    assert response.status_code == 409
    assert response.json is not None
    assert response.json["detail"] == "this one stays"
    assert names(client) == ["One", "Kept"]


def test_any_other_exception_of_an_event_is_a_silent_500(client: FlaskClient) -> None:
    """It is a bug, and its text is for the log."""
    response = client.post("/api/shops", json={"name": "Broken"})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert names(client) == ["One", "Kept"]


def test_put_gives_defaults_their_context(client: FlaskClient) -> None:
    """A default that is a function of the row is computed in a PUT as in a POST."""
    expected = {"name": "New", "slug": "new", "label": "new!", "rank": 7}
    select = "select=name,slug,label,rank"
    assert client.put(f"/api/shops/1?{select}", json={"name": "New"}).json == expected
    assert client.delete("/api/signs/1").status_code == 204
    assert client.delete("/api/shops/1").status_code == 204
    assert client.post(f"/api/shops?{select}", json={"name": "New"}).json == expected


def test_the_other_side_of_a_one_to_one_is_changed_by_its_key(client: FlaskClient) -> None:
    """An object with the key of the row that is there changes it; without, it would be orphaned."""
    path = "/api/shops/1?select=sign(text)"
    changed = client.patch(path, json={"sign": {"shop_id": 1, "text": "y"}})
    assert changed.json == {"sign": {"text": "y"}}
    for sign in (None, {"text": "z"}):
        response = client.patch(path, json={"sign": sign})
        assert (response.status_code, faults(response)) == (400, [("/sign", "orphans")])
    assert client.patch("/api/shops/2?select=sign(text)", json={"sign": {"text": "z"}}).json == {
        "sign": {"text": "z"}
    }


def test_a_row_whose_key_others_have_is_not_deleted(client: FlaskClient) -> None:
    """The unit of work can't take the key away from the sign, so the shop stays."""
    response = client.delete("/api/shops/1")
    assert response.status_code == 409
    assert response.json is not None
    assert response.json["type"] == "urn:carboy:error:still-referenced"
