"""A resource with a field of every kind, for random writes, and what each kind shows of a value."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import math
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """The tables that are written to."""


class Color(enum.Enum):
    """Values that differ from their names."""

    RED = "red"
    DARK_BLUE = "dark blue"


class Thing(Base):
    """A field of every kind; ``code`` is what an upsert matches by."""

    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str | None] = mapped_column(sa.Text, unique=True)
    title: Mapped[str] = mapped_column(sa.Text)
    amount: Mapped[int]
    level: Mapped[int] = mapped_column(default=3)
    short: Mapped[str | None] = mapped_column(sa.String(5))
    small: Mapped[int | None] = mapped_column(sa.SmallInteger)
    big: Mapped[int | None] = mapped_column(sa.BigInteger)
    ratio: Mapped[float | None] = mapped_column(sa.Double)
    price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    flag: Mapped[bool | None]
    color: Mapped[Color | None]
    at: Mapped[dt.datetime | None] = mapped_column(sa.DateTime(timezone=True))
    naive: Mapped[dt.datetime | None]
    day: Mapped[dt.date | None]
    clock: Mapped[dt.time | None]
    span: Mapped[dt.timedelta | None]
    token: Mapped[uuid.UUID | None]
    raw: Mapped[bytes | None] = mapped_column(sa.LargeBinary(8))
    data: Mapped[object | None] = mapped_column(sa.JSON)
    parts: Mapped[list[Part]] = relationship(cascade="all, delete-orphan", order_by="Part.id")


class Part(Base):
    """Nested in a thing."""

    __tablename__ = "parts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.Text)
    thing_id: Mapped[int] = mapped_column(sa.ForeignKey("things.id"))


class Slot(Base):
    """A key that clients choose, of a number and any text."""

    __tablename__ = "slots"
    a: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    b: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    note: Mapped[str | None]


REQUIRED = ("title", "amount")
DEFAULTS = {"level": 3}

Value = tuple[Any, Any]
"""What is sent, and what is answered for it."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def _same(values: SearchStrategy[Any]) -> SearchStrategy[Value]:
    return values.map(lambda value: (value, value))


def _integers(bits: int) -> SearchStrategy[Value]:
    return _same(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))


def _price(cents: int) -> SearchStrategy[Value]:
    text = str(Decimal(cents) / 100)
    shown = f"{Decimal(cents) / 100:.2f}"
    return st.sampled_from([(text, shown), (float(text), shown)])


def _moment(value: dt.datetime) -> str:
    text = value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{text}Z"


_ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
_MOMENTS: SearchStrategy[Value] = st.datetimes(
    dt.datetime(1, 1, 2),  # noqa: DTZ001  the zone is drawn beside it
    dt.datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=_ZONES,
).map(lambda value: (value.isoformat(), _moment(value)))

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXTS
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip

KINDS: Mapping[str, SearchStrategy[Value]] = {
    "code": _same(st.sampled_from(("one", "two", "ONE", "", "é")) | TEXTS),
    "title": _same(TEXTS),
    "amount": _integers(32),
    "level": _integers(32),
    "short": _same(TEXTS.map(lambda text: text[:5])),
    "small": _integers(16),
    "big": _integers(64),
    "ratio": _same(st.floats(allow_nan=False, allow_infinity=False)),
    "price": st.integers(-(10**10) + 1, 10**10 - 1).flatmap(_price),
    "flag": _same(st.booleans()),
    "color": _same(st.sampled_from([color.value for color in Color])),
    "at": _MOMENTS,
    "naive": _MOMENTS,
    "day": _same(st.dates().map(dt.date.isoformat)),
    "clock": st.times().map(lambda t: (t.isoformat(), t.isoformat(timespec="microseconds"))),
    "span": _same(st.integers(-(10**8), 10**8).map(lambda halves: halves / 2)),
    "token": st.uuids().map(lambda u: (u.hex.upper() if u.int % 2 else str(u), str(u))),
    "raw": _same(st.binary(max_size=8).map(lambda data: base64.b64encode(data).decode())),
    "data": _same(DOCUMENTS),
}
"""A strategy for each field of a thing."""


def is_shown(expected: Any, found: Any) -> bool:
    """Whether JSON is what was expected; 1 is no true, and a float is itself to the last bit."""
    if isinstance(expected, dict):
        same = isinstance(found, dict) and found.keys() == expected.keys()
        return same and all(is_shown(value, found[key]) for key, value in expected.items())
    if isinstance(expected, list):
        same = isinstance(found, list) and len(found) == len(expected)
        return same and all(map(is_shown, expected, found))
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, float) and isinstance(found, int | float):
        return math.isfinite(found) and float(found) == expected
    return type(expected) is type(found) and bool(expected == found)
