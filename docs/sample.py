"""The small blog that the examples in these pages ask. It is open to everybody, for they are about
queries and writes; docs/how-to/limit-access.md is about who may.

Start it with ``flask --app docs/sample.py run --port 8000``; ``DATABASE_URL`` names another
database. Tests run every example against it, on SQLite, PostgreSQL and MariaDB.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from carboy import OPEN, Carboy


class Base(DeclarativeBase):
    """The base of the models."""


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("DATABASE_URL", "sqlite:///sample.sqlite")
db = SQLAlchemy(app, model_class=Base)
api = Carboy(app, db, policy=OPEN)

post_tags = sa.Table(
    "post_tags",
    Base.metadata,
    sa.Column("post_id", sa.ForeignKey("posts.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True),
)


class User(Base):
    """Somebody who writes."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(sa.String(20), unique=True)
    email: Mapped[str] = mapped_column(sa.String(120), unique=True)
    is_active: Mapped[bool] = mapped_column(default=True)
    password_hash: Mapped[str | None] = mapped_column(sa.String(200))
    posts: Mapped[list[Post]] = relationship(
        back_populates="author", foreign_keys="Post.author_id", order_by="Post.id"
    )


class Category(Base):
    """What posts are about; categories nest."""

    __tablename__ = "categories"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("categories.id"))
    parent: Mapped[Category | None] = relationship(remote_side=[id])


class Tag(Base):
    """A word on posts."""

    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(30), unique=True)
    posts: Mapped[list[Post]] = relationship(secondary=post_tags, back_populates="tags")


class Post(Base):
    """A post: two foreign keys lead to users."""

    __tablename__ = "posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(100))
    content: Mapped[str] = mapped_column(sa.Text, default="")
    published: Mapped[bool] = mapped_column(default=False)
    views: Mapped[int] = mapped_column(default=0)
    rating: Mapped[Decimal | None] = mapped_column(sa.Numeric(3, 1))
    data: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(
        sa.DateTime(timezone=True), default=lambda: datetime.now(UTC)
    )
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    editor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    category_id: Mapped[int | None] = mapped_column(sa.ForeignKey("categories.id"))
    author: Mapped[User] = relationship(back_populates="posts", foreign_keys=[author_id])
    editor: Mapped[User | None] = relationship(foreign_keys=[editor_id])
    category: Mapped[Category | None] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=post_tags, back_populates="posts")


api.resource(User, hidden=("password_hash",))
api.resource(Post, search=("title", "content"))
api.resource(Category)
api.resource(Tag)


def fill() -> None:
    """Make the tables, and the rows if there are none."""
    db.create_all()
    if db.session.scalar(sa.select(sa.func.count()).select_from(User)):
        return
    ada, grace, alan = (
        User(username=name, email=f"{name}@example.com", is_active=name != "alan")
        for name in ("ada", "grace", "alan")
    )
    science, travel = Category(name="Science"), Category(name="Travel")
    sql, python, news = (Tag(name=name) for name in ("sql", "python", "news"))
    db.session.add_all([ada, grace, alan, science, travel, sql, python, news])
    db.session.flush()
    computing = Category(name="Computing", parent=science)
    db.session.add(computing)
    db.session.flush()
    rows: list[dict[str, Any]] = [
        {
            "title": "The first program",
            "content": "Notes on an engine that computes.",
            "published": True,
            "views": 120,
            "rating": Decimal("4.5"),
            "data": {"words": 900, "lang": "en", "links": ["a", "b"]},
            "author": ada,
            "editor": grace,
            "category": computing,
            "tags": [sql, python],
        },
        {
            "title": "A compiler for people",
            "content": "Programs in words.",
            "published": True,
            "views": 340,
            "rating": Decimal("4.8"),
            "data": {"words": 1500, "lang": "en", "links": []},
            "author": grace,
            "category": computing,
            "tags": [python],
        },
        {
            "title": "Letters from Naples",
            "content": "A draft.",
            "author": ada,
            "category": travel,
        },
        {
            "title": "On looms and engines",
            "content": "Patterns on cards.",
            "published": True,
            "views": 75,
            "rating": Decimal("3.9"),
            "data": {"words": 650, "lang": "fr", "links": ["b"]},
            "author": ada,
            "editor": grace,
            "category": science,
            "tags": [news, sql],
        },
    ]
    for day, row in enumerate(rows, start=5):
        db.session.add(Post(**row, created_at=datetime(2024, 1, day, 9, tzinfo=UTC)))
        db.session.flush()
    db.session.commit()


with app.app_context():
    fill()
