"""Between a body's values and those that mapped attributes hold, and back to a key's text."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import uuid
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeAlias

import sqlalchemy as sa

from .model import Field
from .types import Kind
from .values import from_json, json_reader

Reader: TypeAlias = Callable[[object], Any]
"""Takes a body's value, which isn't null, to what an attribute holds; or raises ValueError."""


def attribute_value(field: Field, value: object) -> Any:
    """What an attribute holds for a body's value; null is None. Raises ValueError with the fix."""
    if value is None:
        return None
    return as_attribute(field, from_json(field.type, value))


@lru_cache(4096)
def reader(field: Field) -> Reader:
    """``attribute_value`` of a field, without asking each time what the field is."""
    if field.type.kind in (Kind.ENUM, Kind.UUID):
        return partial(attribute_value, field)
    return json_reader(field.type)


def as_attribute(field: Field, value: Any) -> Any:
    """A converted value as the column's Python type: an enum's member, a UUID as text."""
    type_ = field.column.type
    if isinstance(type_, sa.Enum) and type_.enum_class is not None:
        members = list(type_.enum_class.__members__.values())
        if len(members) != len(type_.enums):
            members = list(type_.enum_class)
        return dict(zip(type_.enums, members, strict=True))[value]
    if isinstance(type_, sa.Uuid) and not type_.as_uuid:
        return str(value)
    return value


def comparable_value(value: Any) -> Any:
    """A value that equals what was written, whatever the database made of its time zone."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return value


def key_text(field: Field, value: Any) -> str:
    """A key's value as a path has it: the inverse of ``from_text``."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime):
        return f"{comparable_value(value).isoformat()}Z"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if field.type.kind is Kind.UUID:
        return str(value if isinstance(value, uuid.UUID) else uuid.UUID(str(value)))
    return str(value)
