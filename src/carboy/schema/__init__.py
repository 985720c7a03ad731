"""Mapped classes, tables or a reflected database, to frozen values that every stage reads."""

from .attributes import Reader, as_attribute, attribute_value, comparable_value, key_text, reader
from .build import (
    Registration,
    SchemaError,
    about_secrets,
    build_schema,
    default_name,
    subject_of,
)
from .clauses import flat_lists
from .model import Field, Relation, Resource, Schema, Validate
from .moments import UTCDateTime
from .reflect import Reflected, reflect
from .sources import bind_of
from .types import FieldType, Kind, field_type
from .values import from_json, from_text

__all__ = [
    "Field",
    "FieldType",
    "Kind",
    "Reader",
    "Reflected",
    "Registration",
    "Relation",
    "Resource",
    "Schema",
    "SchemaError",
    "UTCDateTime",
    "Validate",
    "about_secrets",
    "as_attribute",
    "attribute_value",
    "bind_of",
    "build_schema",
    "comparable_value",
    "default_name",
    "field_type",
    "flat_lists",
    "from_json",
    "from_text",
    "key_text",
    "reader",
    "reflect",
    "subject_of",
]
