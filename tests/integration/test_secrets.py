"""Columns that look like secrets, as clients meet them: of models, and of any database."""

from __future__ import annotations

from collections.abc import Iterator

import flask
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import OPEN, Carboy
from tests.conftest import served_client


class Base(DeclarativeBase):
    """The models of an application that signs people up."""


class Member(Base):
    """Somebody with a password."""

    __tablename__ = "members"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    password_hash: Mapped[str | None]
    api_token: Mapped[str | None]
    token_count: Mapped[int] = mapped_column(default=0)


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """A database with one member."""
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    row = {"name": "ann", "password_hash": "x1", "api_token": "t1", "token_count": 3}
    with engine.begin() as connection:
        connection.execute(sa.insert(Member).values(row))
    yield engine
    engine.dispose()


def refuses(client: FlaskClient, query: str) -> bool:
    """Whether a query is answered as one about a field that isn't there."""
    response = client.get(f"/api/members?{query}")
    return response.status_code == 400 and b"has no field" in response.data


QUERIES = ("select=password_hash", "password_hash=like.x*", "order=password_hash", "api_token=eq.t")


def test_secrets_of_a_model_are_no_fields_until_they_are_named(engine: sa.Engine) -> None:
    """Not in answers, filters or orders; sign-up writes one, and is not answered it."""
    app = flask.Flask("members")
    Carboy(app, engine, policy=OPEN).resource(Member, show=("api_token",))
    client = app.test_client()
    assert client.get("/api/members/1").get_json() == {
        "id": 1, "name": "ann", "api_token": "t1", "token_count": 3,
    }  # fmt: skip
    assert [refuses(client, query) for query in QUERIES] == [True, True, True, False]
    made = client.post("/api/members", json={"name": "bob", "password_hash": "x2"})
    assert made.get_json() == {"id": 2, "name": "bob", "api_token": None, "token_count": 0}
    with engine.connect() as connection:
        stored = connection.scalar(sa.select(Member.password_hash).where(Member.id == 2))
    assert stored == "x2"


def test_secrets_of_a_database_are_hidden(engine: sa.Engine, database_url: str) -> None:
    """``carboy serve`` needs no list of them."""
    with served_client(database_url) as client:
        assert client.get("/api/members").get_json()["data"] == [
            {"id": 1, "name": "ann", "token_count": 3}
        ]
        assert all(refuses(client, query) for query in QUERIES)
