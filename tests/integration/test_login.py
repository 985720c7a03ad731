"""The application's own login: Flask-Login with its cookie, and callables of other kinds."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any

import flask
import flask_login
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from carboy import ANONYMOUS, OPEN, Actor, Carboy, SettingError, flask_login_actor
from carboy.ops.api_keys import create_key
from tests.unit.identify.issuer import SECRET, token


class Base(DeclarativeBase):
    """The models of this module."""


class Member(flask_login.UserMixin, Base):  # type: ignore[misc]
    """Somebody who logs in."""

    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[str | None]


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """A database with two members."""
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Member), [{"role": "admin"}, {"role": None}])
    yield engine
    engine.dispose()


@pytest.fixture
def app(engine: sa.Engine) -> Flask:
    """An application whose members log in with Flask-Login."""
    app = Flask("club")
    app.config.update(
        SECRET_KEY="k",
        CARBOY_JWT_SECRET=SECRET,
        CARBOY_TRUSTED_ORIGINS="https://app.example.com",
    )
    manager = flask_login.LoginManager(app)

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load(key: str) -> Member | None:
        with Session(engine) as session:
            return session.get(Member, int(key))

    api = Carboy(app, engine, actor=flask_login_actor, policy=OPEN)
    api.resource(Member)

    @app.post("/login/<int:key>")
    def login(key: int) -> str:
        flask_login.login_user(load(str(key)))
        return ""

    @app.post("/logout")
    def logout() -> str:
        flask_login.logout_user()
        return ""

    @app.get("/who")
    def who() -> dict[str, Any]:
        actor = api.actor
        return {"id": actor.id or None, "roles": sorted(actor.roles)}

    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser, with a jar for cookies."""
    return app.test_client()


SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


def test_a_login_is_who_asks_until_the_logout(client: FlaskClient) -> None:
    """The id and the role of whoever is logged in come from Flask-Login's user."""
    assert client.get("/who").json == {"id": None, "roles": []}
    client.post("/login/1")
    assert client.get("/who").json == {"id": "1", "roles": ["admin"]}
    client.post("/login/2")
    assert client.get("/who").json == {"id": "2", "roles": []}
    assert client.get("/api/members/2").status_code == 200
    client.post("/logout")
    assert client.get("/who").json == {"id": None, "roles": []}


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, False),
        (SAME_SITE, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "https://app.example.com"}, True),
        ({"Origin": "https://evil.example.com"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"}, True),
    ],
)
def test_a_write_by_cookie_must_come_from_the_same_site(
    client: FlaskClient, headers: dict[str, str], taken: bool
) -> None:
    """Logged in, each kind of write needs it, and reads don't; without a login, none does."""
    writes: list[tuple[Callable[..., Any], str, Any]] = [
        (client.post, "/api/members", {"role": "new"}),
        (client.patch, "/api/members/1", {"role": "changed"}),
        (client.patch, "/api/members?id=eq.1", {"role": "changed"}),
        (client.put, "/api/members/1", {"role": "replaced"}),
        (client.delete, "/api/members/2", None),
    ]
    client.post("/login/1")
    for call, path, body in writes:
        response = call(path, json=body, headers=headers)
        assert (response.status_code < 300) is taken, response.text
        if not taken:
            assert response.status_code == 403
            assert "send Origin" in response.text
    for path in ("/api/members", "/api/members/1", "/api"):
        assert client.get(path, headers=headers).status_code == 200
    client.post("/logout")
    assert client.post("/api/members", json={"role": "anybody"}, headers=headers).status_code == 201


def test_a_refused_write_changes_nothing(client: FlaskClient) -> None:
    """A page of another site that makes a browser write gets nothing done."""
    client.post("/login/1")
    client.patch("/api/members/1", json={"role": "owner"}, headers={"Origin": "https://evil.com"})
    assert client.get("/who").json == {"id": "1", "roles": ["admin"]}


def test_a_credential_decides_and_not_the_cookie(client: FlaskClient, engine: sa.Engine) -> None:
    """With a token or a key the cookie counts for nothing, and a write may come from anywhere."""
    client.post("/login/1")
    by_token = {"Authorization": f"Bearer {token(sub='job', roles=['robot'])}"}
    assert client.get("/who", headers=by_token).json == {"id": "job", "roles": ["robot"]}
    by_key = {"X-API-Key": create_key(engine, "sync")}
    assert client.get("/who", headers=by_key).json == {"id": "sync", "roles": []}
    for headers in (by_token, by_key):
        evil = {**headers, "Origin": "https://evil.example.com"}
        assert client.post("/api/members", json={"role": "new"}, headers=evil).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
    ],
    ids=str,
)
def test_a_bad_credential_never_falls_back(client: FlaskClient, headers: dict[str, str]) -> None:
    """Whoever is logged in, and nobody, gets the same 401."""
    for _ in range(2):
        for path in ("/api/members", "/api", "/who"):
            assert client.get(path, headers={**headers, **SAME_SITE}).status_code == 401
        client.post("/login/1")


class Rank(enum.Enum):
    """Values that differ from their names."""

    HEAD = "head of club"


class Named:
    """A role as a row of its own has it."""

    name = "treasurer"


@pytest.mark.parametrize(
    ("attributes", "roles"),
    [
        ({}, set()),
        ({"role": "admin"}, {"admin"}),
        ({"role": None}, set()),
        ({"role": Rank.HEAD}, {"head of club"}),
        ({"role": Named()}, {"treasurer"}),
        ({"roles": ["a", "b"]}, {"a", "b"}),
        ({"roles": {Rank.HEAD}, "role": "not this"}, {"head of club"}),
        ({"roles": [Named(), "a"]}, {"treasurer", "a"}),
        ({"roles": "admin"}, {"admin"}),
        ({"roles": []}, set()),
    ],
    ids=[
        "none",
        "a role",
        "a role that is null",
        "an enum",
        "an object",
        "roles",
        "roles before a role",
        "roles of both kinds",
        "roles as text",
        "no roles",
    ],
)
def test_roles_are_found_where_users_have_them(
    app: Flask, attributes: dict[str, Any], roles: set[str]
) -> None:
    """Text, enums and objects with a name, one or several."""
    user = flask_login.UserMixin()
    user.id = 7
    for name, value in attributes.items():
        setattr(user, name, value)
    with app.test_request_context("/"):
        flask_login.login_user(user)
        assert flask_login_actor() == Actor("7", frozenset(roles))


def test_a_role_of_no_name_is_told_to_the_developer(app: Flask) -> None:
    """What can't be a role is no role at all, which a silent empty set would hide."""
    user = flask_login.UserMixin()
    user.id, user.roles = 7, [1]
    with app.test_request_context("/"):
        flask_login.login_user(user)
        with pytest.raises(TypeError, match="a role must be text"):
            flask_login_actor()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (None, 200),
        (ANONYMOUS, 200),
        (Actor(1), 200),
        ("ada", 500),
        (False, 500),
    ],
    ids=["none", "anonymous", "an actor", "text", "false"],
)
def test_a_callable_answers_an_actor_or_none(engine: sa.Engine, answer: Any, status: int) -> None:
    """Anything else is the application's bug, and never an actor."""
    app = Flask("club")
    Carboy(app, engine, actor=lambda: answer).resource(Member, policy=OPEN)
    client = app.test_client()
    for _ in range(2):
        assert client.get("/api/members").status_code == status


def test_a_callable_has_flasks_request(engine: sa.Engine) -> None:
    """It is asked at every read and write, in the request's context; init_app takes it, too."""
    seen: list[str] = []

    def actor() -> Actor | None:
        seen.append(f"{flask.request.method} {flask.session.get('user')}")
        return None

    app = Flask("club")
    app.secret_key = "k"
    api = Carboy(policy=OPEN)
    api.resource(Member)
    api.init_app(app, engine, actor=actor)
    client = app.test_client()
    for _ in range(2):
        assert client.get("/api/members/1").status_code == 200
    assert client.post("/api/members", json={}).status_code == 201
    assert client.get("/api").status_code == 200
    assert seen == ["GET None", "GET None", "POST None", "GET None"]
    key = create_key(engine, "sync")
    assert client.get("/api/members/1", headers={"X-API-Key": key}).status_code == 200
    assert len(seen) == 4


def test_a_callable_may_refuse(engine: sa.Engine) -> None:
    """What it raises to answer is answered: Flask's abort, and the errors of the API."""

    def actor() -> Actor | None:
        flask.abort(418)

    app = Flask("club")
    Carboy(app, engine, actor=actor).resource(Member, policy=OPEN)
    assert app.test_client().get("/api/members").status_code == 418


def test_an_origin_that_is_none_is_found_at_the_start(engine: sa.Engine) -> None:
    """The setting is read in init_app, long before the first write."""
    app = Flask("club")
    app.config["CARBOY_TRUSTED_ORIGINS"] = "*"
    with pytest.raises(SettingError, match="CARBOY_TRUSTED_ORIGINS"):
        Carboy(app, engine, policy=OPEN)
