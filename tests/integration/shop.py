"""A small shop with a field of every kind, hidden fields, and relations of every sort."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from carboy import Carboy


class Base(DeclarativeBase):
    """The shop's tables."""


class Color(enum.Enum):
    """Values that differ from their names."""

    RED = "red"
    DARK_BLUE = "dark blue"


class User(Base):
    """Two ways lead from an item to it: owner and editor."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))
    passphrase: Mapped[str | None]
    vault: Mapped[list[Vault]] = relationship(back_populates="user")


class Vault(Base):
    """Not exposed."""

    __tablename__ = "vault"
    id: Mapped[int] = mapped_column(primary_key=True)
    pin: Mapped[str]
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    user: Mapped[User] = relationship(back_populates="vault")


item_tags = sa.Table(
    "item_tags",
    Base.metadata,
    sa.Column("item_id", sa.ForeignKey("items.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True),
)


class Tag(Base):
    """Many to many with items."""

    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Item(Base):
    """A field of every kind."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    big: Mapped[int | None] = mapped_column(sa.BigInteger)
    small: Mapped[int | None] = mapped_column(sa.SmallInteger)
    ratio: Mapped[float | None]
    price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    title: Mapped[str]
    active: Mapped[bool | None]
    color: Mapped[Color | None]
    at: Mapped[dt.datetime | None] = mapped_column(sa.DateTime(timezone=True))
    naive: Mapped[dt.datetime | None]
    day: Mapped[dt.date | None]
    clock: Mapped[dt.time | None]
    span: Mapped[dt.timedelta | None]
    token: Mapped[uuid.UUID | None]
    raw: Mapped[bytes | None]
    data: Mapped[object | None] = mapped_column(sa.JSON)
    cost: Mapped[int | None]
    owner_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    editor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    tags: Mapped[list[Tag]] = relationship(secondary=item_tags, backref="items")


class Pair(Base):
    """A composite key."""

    __tablename__ = "pairs"
    a: Mapped[int] = mapped_column(primary_key=True)
    b: Mapped[str] = mapped_column(primary_key=True)


HIDDEN = ("passphrase", "cost", "vault", "pin")


def build(api: Carboy, engine: sa.Engine) -> None:
    """Make and expose the shop."""
    api.resource(User, hidden=["passphrase"])
    api.resource(Item, hidden=["cost"], show=["token"], search=["title"])
    api.resource(Tag)
    api.resource(Pair)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([User(id=i, name=f"user {i}", passphrase="open sesame") for i in (1, 2)])
        session.flush()
        tags = [Tag(id=1, name="new"), Tag(id=2, name="it's")]
        session.add_all([Pair(a=1, b="x"), Pair(a=2, b="y,z")])
        session.add_all([_item(number, tags[number % 2]) for number in range(1, 6)])
        session.commit()


def _item(number: int, tag: Tag) -> Item:
    return Item(
        id=number,
        big=number * 10**15,
        small=number,
        ratio=number / 10,
        price=Decimal(number) / 4,
        title=f"item {number}",
        active=number % 2 == 0,
        color=Color.RED if number % 2 else Color.DARK_BLUE,
        at=dt.datetime(2024, 1, number, 12, tzinfo=dt.UTC),
        naive=dt.datetime(2024, 1, number, 12),  # noqa: DTZ001  a naive column
        day=dt.date(2024, 1, number),
        clock=dt.time(number, 30),
        span=dt.timedelta(hours=number),
        token=uuid.UUID(int=number),
        raw=bytes([number, 255]),
        data={"a": [number, {"b": str(number)}], "list": [1, "x"]},
        cost=number * 7,
        owner_id=1 + number % 2,
        editor_id=1,
        tags=[tag],
    )
