"""What a column can hold, in terms of JSON: one ``FieldType`` for each SQLAlchemy type."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import TypeDecorator, TypeEngine


class Kind(enum.Enum):
    """How a value appears in JSON."""

    INTEGER = "integer"
    FLOAT = "float"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    TEXT = "text"
    ENUM = "enum"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    INTERVAL = "interval"
    UUID = "uuid"
    BYTES = "bytes"
    JSON = "json"
    ARRAY = "array"
    OTHER = "other"


class FieldType(Struct, frozen=True):
    """A kind with the limits that the column sets.

    ``minimum``/``maximum`` bound integers, ``length`` counts characters or bytes, ``choices``
    pairs what the database stores with what JSON shows, ``item`` is the type of an array's
    elements. ``aware`` datetimes have a time zone in the database. ``as_string`` shows 64-bit
    integers as strings, for clients whose numbers are doubles. ``mixed_spellings`` says that
    dates and times may be written in any way of ISO 8601, as SQLite's own tools do. ``zoned``
    datetimes have no time zone in the database, but the column's type asks for one.
    """

    kind: Kind
    minimum: int | None = None
    maximum: int | None = None
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    choices: tuple[tuple[str, str | int], ...] = ()
    item: FieldType | None = None
    aware: bool = False
    as_string: bool = False
    mixed_spellings: bool = False
    zoned: bool = False


_INT16, _INT32, _INT64 = 2**15, 2**31, 2**63


def field_type(type_: TypeEngine[Any], *, wide: bool = False, as_string: bool = False) -> FieldType:
    """The ``FieldType`` of a column type; ``wide`` where plain integers have 64 bits (SQLite)."""
    # Interval is a decorated DateTime where the database has no type of its own for it.
    if isinstance(type_, sa.Interval):
        return FieldType(Kind.INTERVAL)
    if isinstance(type_, TypeDecorator):
        inner = field_type(type_.impl_instance, wide=wide, as_string=as_string)
        zoned = inner.kind is Kind.DATETIME and not inner.aware and _drops_zones(type_)
        return replace(inner, zoned=zoned)
    if isinstance(type_, postgresql.DOMAIN):
        return field_type(type_.data_type, as_string=as_string)
    if isinstance(type_, sa.Enum):
        return _enum(type_)
    if isinstance(type_, sa.Boolean):
        return FieldType(Kind.BOOLEAN)
    if isinstance(type_, sa.Integer):
        return _integer(type_, wide, as_string)
    # Float is a Numeric to SQLAlchemy; ask for it first.
    if isinstance(type_, sa.Float):
        return FieldType(Kind.FLOAT)
    if isinstance(type_, sa.Numeric):
        return FieldType(Kind.NUMERIC, precision=type_.precision, scale=type_.scale)
    if isinstance(type_, sa.JSON):
        return FieldType(Kind.JSON)
    if isinstance(type_, sa.ARRAY):
        return FieldType(Kind.ARRAY, item=field_type(type_.item_type))
    return _other(type_)


def _drops_zones(type_: TypeDecorator[Any]) -> bool:
    """Whether a type turns moments with a time zone into such without: then it gets the former."""
    moment = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    try:
        bound = type_.process_bind_param(moment, DefaultDialect())
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return False
    return isinstance(bound, dt.datetime) and bound.tzinfo is None


def _integer(type_: sa.Integer, wide: bool, as_string: bool) -> FieldType:
    bound = _INT32
    if wide or isinstance(type_, sa.BigInteger):
        bound = _INT64
    elif isinstance(type_, sa.SmallInteger):
        bound = _INT16
    return FieldType(Kind.INTEGER, minimum=-bound, maximum=bound - 1, as_string=as_string)


def _enum(type_: sa.Enum) -> FieldType:
    stored = [str(name) for name in type_.enums]
    shown: list[str | int] = list(stored)
    if type_.enum_class is not None:
        # A Python enum is stored by name unless values_callable says otherwise, and shown by value.
        members = list(type_.enum_class.__members__.values())
        if len(members) != len(stored):
            members = list(type_.enum_class)
        values = [member.value for member in members]
        if all(isinstance(v, str) for v in values) or all(type(v) is int for v in values):
            shown = values
    return FieldType(Kind.ENUM, choices=tuple(zip(stored, shown, strict=True)))


def _other(type_: TypeEngine[Any]) -> FieldType:
    if isinstance(type_, sa.String):
        return FieldType(Kind.TEXT, length=type_.length)
    if isinstance(type_, sa.DateTime):
        return FieldType(Kind.DATETIME, aware=bool(type_.timezone))
    if isinstance(type_, sa.Date):
        return FieldType(Kind.DATE)
    if isinstance(type_, sa.Time) and not type_.timezone:
        return FieldType(Kind.TIME)
    if isinstance(type_, postgresql.INTERVAL):
        return FieldType(Kind.INTERVAL)
    if isinstance(type_, sa.Uuid):
        return FieldType(Kind.UUID)
    if isinstance(type_, sa.LargeBinary | sa.types.BINARY | sa.types.VARBINARY):
        return FieldType(Kind.BYTES, length=type_.length)
    return FieldType(Kind.OTHER)
