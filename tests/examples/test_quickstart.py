"""The shortest application works as it stands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from carboy.ops.api_keys import create_key

with pytest.MonkeyPatch.context() as environment:
    environment.setenv("DATABASE_URL", "sqlite:///:memory:")
    from examples.quickstart.app import User, app, db

ADA = {"id": 1, "username": "ada", "email": "ada@example.com"}


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    """Asks for users; there is one."""
    with app.app_context():
        db.create_all()
        db.session.add(User(username="ada", email="ada@example.com"))
        db.session.commit()
        yield app.test_client()
        db.session.remove()
        db.engine.dispose()


def test_a_user_has_an_address(client: FlaskClient) -> None:
    """GET /users/<id> answers the user."""
    assert client.get("/users/1").json == ADA
    assert client.get("/api/users/1").json == ADA


def test_nobody_has_none(client: FlaskClient) -> None:
    """GET /users/<id> of nobody is a 404."""
    assert client.get("/users/2").status_code == 404


def test_the_api_answers_the_same_users(client: FlaskClient) -> None:
    """GET /api/users lists the users."""
    assert client.get("/api/users").json == {"data": [ADA], "next": None}


def test_writing_takes_a_credential(client: FlaskClient) -> None:
    """Nobody in particular may not write, a writer may."""
    alan = {"username": "alan", "email": "alan@example.com"}
    assert client.post("/api/users", json=alan).status_code == 401
    writer = {"X-API-Key": create_key(db.engine, "tests", ["writer"])}
    assert client.post("/api/users", json=alan, headers=writer).status_code == 201
