"""Carboy: SQLAlchemy models, or an existing database, in; a production REST API out."""

from .access import OPEN, Actor, Policy, PolicyError, role, signed_in
from .errors import ApiError
from .extension import Carboy
from .respond import Part
from .schema import SchemaError, UTCDateTime
from .settings import SettingError

__all__ = [
    "OPEN",
    "Actor",
    "ApiError",
    "Carboy",
    "Part",
    "Policy",
    "PolicyError",
    "SchemaError",
    "SettingError",
    "UTCDateTime",
    "role",
    "signed_in",
]
