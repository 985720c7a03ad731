"""The tables, which the peers on SQLAlchemy share."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, String, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Has the metadata of all tables."""


post_tags = Table(
    "post_tags",
    Base.metadata,
    Column("post_id", ForeignKey("posts.id"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id"), primary_key=True, index=True),
)


class User(Base):
    """Who writes."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(80), unique=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Category(Base):
    """What a post is about."""

    __tablename__ = "categories"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)


class Tag(Base):
    """A keyword that posts share."""

    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)


class Post(Base):
    """An article."""

    __tablename__ = "posts"
    __table_args__ = (
        Index("ix_posts_newest", "created_at", "id"),
        Index("ix_posts_category", "category_id", "created_at", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    content: Mapped[str] = mapped_column(Text)
    published: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    category_id: Mapped[int] = mapped_column(ForeignKey("categories.id"))

    author: Mapped[User] = relationship()
    category: Mapped[Category] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=post_tags, order_by=Tag.id)


class Note(Base):
    """What is written while it is measured."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    done: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Event:
    """The columns of tables that differ in how many rows they have."""

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_id: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    amount: Mapped[int]
    happened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SmallEvent(Event, Base):
    """Ten thousand."""

    __tablename__ = "events_small"
    __table_args__ = (Index("ix_events_small_account", "account_id", "happened_at", "id"),)


class MediumEvent(Event, Base):
    """A million, which are exported."""

    __tablename__ = "events_medium"
    __table_args__ = (Index("ix_events_medium_account", "account_id", "happened_at", "id"),)


class LargeEvent(Event, Base):
    """Ten million."""

    __tablename__ = "events_large"
    __table_args__ = (Index("ix_events_large_account", "account_id", "happened_at", "id"),)


class Arrival(Event, Base):
    """Those that are imported."""

    __tablename__ = "arrivals"
