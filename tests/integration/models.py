"""A small shop of models that has every kind of key, rule and relation that writes meet."""

# The base of the classes is made at run time, one for each application.
# mypy: disable-error-code="misc"

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import flask
import sqlalchemy as sa
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, validates
from werkzeug.test import TestResponse

from carboy import OPEN, Carboy


class Role(enum.Enum):
    """Shown by value, stored by name."""

    READER = "reader"
    WRITER = "writer"


@dataclass
class Shop:
    """An application with its database and its classes."""

    app: flask.Flask
    db: SQLAlchemy
    api: Carboy
    models: dict[str, Any]

    @property
    def client(self) -> FlaskClient:
        """A new client."""
        return self.app.test_client()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request; ``If_Match=`` is the header If-Match."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(f"/api/{path}", method=method, json=body, headers=named)

    def create(self, path: str, body: Any) -> Any:
        """Create what a test starts from."""
        response = self.send("POST", path, body)
        assert response.status_code == 201, response.text
        return response.json

    def close(self) -> None:
        """Close the application's connections."""
        with self.app.app_context():
            self.db.engine.dispose()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What is in the database, seen from outside the API."""
        with self.app.app_context(), self.db.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(sql))]


def faults(response: TestResponse) -> list[tuple[Any, Any]]:
    """Each fault's pointer and code."""
    document = response.json
    assert document is not None
    return [(e.get("pointer"), e["code"]) for e in document["errors"]]


def make_shop(url: str, *, history: bool = False, **config: Any) -> Shop:
    """An application over an empty database, with fresh classes."""
    app = flask.Flask("shop")
    app.config.update(SQLALCHEMY_DATABASE_URI=url, **config)

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(app, model_class=Base)
    api = Carboy(app, db, policy=OPEN)
    models = _declare(db)
    expose = partial(api.resource, history=history)
    expose(models["User"])
    expose(models["Post"])
    expose(models["Tag"])
    expose(models["Comment"])
    expose(models["Country"])
    expose(models["Seat"], validate=_check_seat)
    expose(models["Token"])
    expose(models["Account"], require_match=True)
    expose(models["Shelf"])
    expose(models["Book"])
    expose(models["Friend"])
    expose(models["Badge"], read_only=True)
    expose(models["Secret"], hidden=("hash",), writable=("name",))
    with app.app_context():
        db.create_all()
    return Shop(app, db, api, models)


def _check_seat(values: Any) -> dict[str, str] | None:
    return {"name": "can't be 'nobody'"} if values.get("name") == "nobody" else None


def _declare(db: SQLAlchemy) -> dict[str, Any]:
    model: Any = db.Model
    post_tags = sa.Table(
        "post_tags",
        db.metadata,
        sa.Column("post_id", sa.ForeignKey("posts.id"), primary_key=True),
        sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True),
    )

    class User(model):
        __tablename__ = "users"
        __table_args__ = (sa.CheckConstraint("balance >= -100", name="balance_floor"),)
        id: Mapped[int] = mapped_column(primary_key=True)
        username: Mapped[str] = mapped_column(sa.String(20), unique=True)
        email: Mapped[str] = mapped_column(sa.String(50), unique=True)
        role: Mapped[Role] = mapped_column(sa.Enum(Role), default=Role.READER)
        balance: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2), default=Decimal(0))
        bio: Mapped[str | None]
        created_at: Mapped[datetime] = mapped_column(
            sa.DateTime(timezone=True), default=lambda: datetime.now(UTC)
        )
        posts: Mapped[list[Any]] = relationship("Post", back_populates="author")
        badges: Mapped[list[Any]] = relationship("Badge")

        @validates("email")
        def _check_email(self, name: str, value: str) -> str:
            if "@" not in value:
                raise ValueError("must have an @")
            return value.lower()

    class Tag(model):
        __tablename__ = "tags"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(20), unique=True)

    class Post(model):
        __tablename__ = "posts"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(sa.String(30))
        data: Mapped[Any | None] = mapped_column(sa.JSON)
        views: Mapped[int] = mapped_column(server_default="0")
        published: Mapped[bool] = mapped_column(default=False)
        author_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
        author: Mapped[Any | None] = relationship("User", back_populates="posts")
        tags: Mapped[list[Any]] = relationship("Tag", secondary=post_tags)
        comments: Mapped[list[Any]] = relationship(
            "Comment", back_populates="post", cascade="all, delete-orphan"
        )

    class Comment(model):
        __tablename__ = "comments"
        id: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[str] = mapped_column(sa.String(100))
        post_id: Mapped[int] = mapped_column(sa.ForeignKey("posts.id"))
        post: Mapped[Any] = relationship("Post", back_populates="comments")

    class Country(model):
        __tablename__ = "countries"
        code: Mapped[str] = mapped_column(sa.String(2), primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(30))
        cities: Mapped[list[Any]] = relationship("City", back_populates="country")

    class City(model):
        __tablename__ = "cities"
        id: Mapped[int] = mapped_column(primary_key=True)
        country_code: Mapped[str] = mapped_column(sa.ForeignKey("countries.code"))
        country: Mapped[Any] = relationship("Country", back_populates="cities")

    class Seat(model):
        __tablename__ = "seats"
        row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        number: Mapped[str] = mapped_column(sa.String(5), primary_key=True)
        name: Mapped[str | None] = mapped_column(sa.String(20))

    class Token(model):
        __tablename__ = "tokens"
        id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
        label: Mapped[str] = mapped_column(sa.String(20))

    class Account(model):
        __tablename__ = "accounts"
        id: Mapped[int] = mapped_column(primary_key=True)
        amount: Mapped[int]

    class Shelf(model):
        __tablename__ = "shelves"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(20))
        books: Mapped[list[Any]] = relationship("Book")

    class Book(model):
        __tablename__ = "books"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(sa.String(20))
        shelf_id: Mapped[int] = mapped_column(sa.ForeignKey("shelves.id"))

    class Badge(model):
        __tablename__ = "badges"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(20))
        user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))

    class Friend(model):
        __tablename__ = "friends"
        id: Mapped[int] = mapped_column(primary_key=True)
        word: Mapped[str] = mapped_column(sa.String(20))
        friend_id: Mapped[int | None] = mapped_column(
            sa.ForeignKey("friends.id", deferrable=True, initially="DEFERRED")
        )

    class Secret(model):
        __tablename__ = "secrets"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(20))
        hash: Mapped[str] = mapped_column(sa.String(20), default="x")

    classes: tuple[Any, ...] = (User, Tag, Post, Comment, Country, City, Seat)
    classes += (Token, Account, Secret, Shelf, Book, Badge, Friend)
    return {class_.__name__: class_ for class_ in classes}
