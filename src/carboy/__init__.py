"""Carboy: SQLAlchemy models, or an existing database, in; a production REST API out."""

from .errors import ApiError
from .extension import Carboy
from .respond import Part
from .schema import SchemaError, UTCDateTime
from .settings import SettingError

__all__ = ["ApiError", "Carboy", "Part", "SchemaError", "SettingError", "UTCDateTime"]
