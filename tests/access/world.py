"""A small world with tenants' private rows and fields, and actors to ask about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flask
import jwt
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy import ForeignKey, exists, or_
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.test import TestResponse

from carboy import OPEN, Actor, Carboy, Policy, role, signed_in
from tests.databases import count_from

SECRET = "a secret that only the tests know, of 32 bytes"


class Base(DeclarativeBase):
    """The models of this world."""


class Team(Base):
    """Everybody may know of a team."""

    __tablename__ = "teams"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)
    users: Mapped[list[User]] = relationship(back_populates="team")


class User(Base):
    """Members of one's own team may be read; their email by an admin alone."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)
    email: Mapped[str] = mapped_column(sa.String(80), unique=True)
    password_hash: Mapped[str] = mapped_column(sa.String(80), default="x")
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    team: Mapped[Team] = relationship(back_populates="users")
    posts: Mapped[list[Post]] = relationship(back_populates="author", foreign_keys="Post.author_id")


class Post(Base):
    """Published ones may be read by everybody, drafts by their author and editors."""

    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(100))
    slug: Mapped[str | None] = mapped_column(sa.String(100), unique=True)
    published: Mapped[bool] = mapped_column(default=False)
    views: Mapped[int] = mapped_column(default=0)
    note: Mapped[str | None] = mapped_column(sa.String(100))
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    reviewer_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("posts.id"))
    author: Mapped[User] = relationship(back_populates="posts", foreign_keys=[author_id])
    reviewer: Mapped[User | None] = relationship(foreign_keys=[reviewer_id])
    parent: Mapped[Post | None] = relationship(remote_side=[id], back_populates="replies")
    replies: Mapped[list[Post]] = relationship(back_populates="parent")
    comments: Mapped[list[Comment]] = relationship(
        back_populates="post", cascade="all, delete-orphan"
    )
    tags: Mapped[list[Tag]] = relationship(secondary="post_tags", back_populates="posts")


class Comment(Base):
    """Read with their post, and only what isn't hidden; changed by their author."""

    __tablename__ = "comments"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.String(200))
    hidden: Mapped[bool] = mapped_column(default=False)
    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id"))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    post: Mapped[Post] = relationship(back_populates="comments")
    author: Mapped[User | None] = relationship()


class Tag(Base):
    """Secret ones are for editors."""

    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)
    secret: Mapped[bool] = mapped_column(default=False)
    posts: Mapped[list[Post]] = relationship(secondary="post_tags", back_populates="tags")


class PostTag(Base):
    """Which post has which tag; some of the links are private themselves."""

    __tablename__ = "post_tags"

    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id"), primary_key=True)
    private: Mapped[bool] = mapped_column(default=False, server_default=sa.false())


class Audit(Base):
    """Nobody but an admin may know anything of it."""

    __tablename__ = "audits"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.String(100))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


def same_team(who: Actor) -> Any:
    """Users of the actor's own team."""
    me = sa.orm.aliased(User)
    return exists().where(me.id == who.id, me.team_id == User.team_id)


def visible_post(who: Actor) -> Any:
    """Published posts and one's own; an editor's are all."""
    return who.has("editor", "admin") or or_(Post.published, Post.author_id == who.id)


def visible_comment(who: Actor) -> Any:
    """What isn't hidden, under a post that can be read; one's own in any case."""
    return who.has("admin") or or_(
        sa.and_(
            sa.not_(Comment.hidden),
            Comment.post.has(or_(Post.published, Post.author_id == who.id)),
        ),
        Comment.author_id == who.id,
    )


def is_author(who: Actor) -> Any:
    """The post's author; an editor."""
    return who.has("editor", "admin") or Post.author_id == who.id


POLICIES: Mapping[type[Base], Policy] = {
    Team: Policy(read=True),
    User: Policy(
        read=lambda who: who.has("admin") or same_team(who),
        update=lambda who: User.id == who.id,
        fields={"email": role("admin")},
        write_fields={"team_id": role("admin")},
    ),
    Post: Policy(
        read=visible_post,
        create=is_author,
        update=is_author,
        delete=role("editor", "admin"),
        fields={"note": role("editor", "admin"), "reviewer_id": role("editor", "admin")},
        write_fields={"published": role("editor", "admin"), "reviewer_id": role("editor")},
        set_on_create={"author_id": lambda who: who.id},
    ),
    Comment: Policy(
        read=visible_comment,
        create=lambda who: Comment.author_id == who.id,
        update=lambda who: Comment.author_id == who.id,
        delete=lambda who: or_(
            Comment.author_id == who.id, Comment.post.has(Post.author_id == who.id)
        ),
        set_on_create={"author_id": lambda who: who.id},
    ),
    Tag: Policy(read=lambda who: who.has("editor", "admin") or sa.not_(Tag.secret)),
    PostTag: Policy(
        read=lambda who: who.has("editor", "admin") or sa.not_(PostTag.private), create=signed_in
    ),
    Audit: Policy(read=role("admin"), create=True),
}
SEARCH: Mapping[type[Base], Sequence[str]] = {Post: ("title", "note"), Comment: ("text",)}


def make_app(engine: sa.Engine, *, open_: bool = False, **config: Any) -> flask.Flask:
    """The world's API; with ``open_`` everybody may do everything."""
    app = flask.Flask("world")
    app.config |= {"SECRET_KEY": SECRET, "CARBOY_JWT_SECRET": SECRET, **config}
    api = Carboy(app, engine)
    for model, policy in POLICIES.items():
        api.resource(
            model,
            policy=OPEN if open_ else policy,
            search=SEARCH.get(model, ()),
            hidden=("password_hash",) if model is User else (),
        )
    return app


def token(id_: int | str, *roles: str, **claims: Any) -> str:
    """A token for an actor."""
    now = dt.datetime.now(dt.UTC)
    known = {"sub": str(id_), "roles": list(roles), "exp": now + dt.timedelta(hours=1)}
    return jwt.encode({**known, **claims}, SECRET, algorithm="HS256")


class Asker:
    """An actor at a client."""

    def __init__(self, client: FlaskClient, credential: str | None) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {credential}"} if credential else {}

    def ask(self, method: str, path: str, json: Any = None, **headers: str) -> TestResponse:
        """The answer to a request under /api/; a header's name has _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.open(
            f"/api/{path}", method=method, json=json, headers={**self._headers, **named}
        )

    def json(self, path: str) -> Any:
        """A read's answer, which has to be a success."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.get_json()

    def get(self, path: str, **headers: str) -> TestResponse:
        """The answer to GET."""
        return self.ask("GET", path, **headers)

    def rows(self, path: str) -> list[Any]:
        """A list's rows."""
        rows: list[Any] = self.json(path)["data"]
        return rows


ANN, BOB, EVE = 1, 2, 3
"""Ann and Bob are of team 1, Eve of team 2."""


def fill(engine: sa.Engine) -> None:
    """Make the tables and a few rows of every kind."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for model, rows in ROWS.items():
            connection.execute(sa.insert(model), rows)
        restart_keys(connection, ROWS)


def restart_keys(connection: sa.Connection, models: Iterable[type[Base]]) -> None:
    """Let new rows have keys from 1001 on."""
    tables = [model.__table__ for model in models if "id" in model.__table__.columns]
    count_from(connection, 1001, [table.description for table in tables])


def _posts() -> list[dict[str, Any]]:
    blank = {"slug": None, "note": None, "reviewer_id": None, "parent_id": None, "views": 0}
    rows = [
        {"id": 1, "title": "Ann public", "published": True, "author_id": ANN, "slug": "ann-1"},
        {"id": 2, "title": "Ann draft", "published": False, "author_id": ANN, "note": "weak"},
        {"id": 3, "title": "Bob public", "published": True, "author_id": BOB, "note": "praise",
         "reviewer_id": EVE},
        {"id": 4, "title": "Bob draft", "published": False, "author_id": BOB, "slug": "bob-4",
         "views": 7},
        {"id": 5, "title": "Eve public", "published": True, "author_id": EVE, "parent_id": 3},
        {"id": 6, "title": "Eve draft", "published": False, "author_id": EVE, "parent_id": 1},
    ]  # fmt: skip
    return [{**blank, **row} for row in rows]


ROWS: Mapping[type[Base], list[dict[str, Any]]] = {
    Team: [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}],
    User: [
        {"id": id_, "name": name, "email": f"{name}@mail.test", "password_hash": "h", "team_id": t}
        for id_, name, t in ((ANN, "ann", 1), (BOB, "bob", 1), (EVE, "eve", 2))
    ],
    Post: _posts(),
    Comment: [
        {"id": 1, "text": "nice", "hidden": False, "post_id": 1, "author_id": BOB},
        {"id": 2, "text": "spam", "hidden": True, "post_id": 1, "author_id": EVE},
        {"id": 3, "text": "on a draft", "hidden": False, "post_id": 4, "author_id": BOB},
        {"id": 4, "text": "thanks", "hidden": False, "post_id": 3, "author_id": ANN},
    ],
    Tag: [
        {"id": 1, "name": "python", "secret": False},
        {"id": 2, "name": "merger", "secret": True},
        {"id": 3, "name": "flask", "secret": False},
    ],
    PostTag: [
        {"post_id": 1, "tag_id": 1, "private": False},
        {"post_id": 1, "tag_id": 2, "private": False},
        {"post_id": 1, "tag_id": 3, "private": True},
        {"post_id": 3, "tag_id": 1, "private": False},
        {"post_id": 4, "tag_id": 3, "private": False},
    ],
    Audit: [{"id": 1, "text": "seen", "user_id": ANN}],
}
