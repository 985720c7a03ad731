"""Carboy: SQLAlchemy models, or an existing database, in; a production REST API out."""

from .access import ANONYMOUS, OPEN, Actor, Policy, PolicyError, role, signed_in
from .errors import ApiError
from .extension import Carboy
from .identify import flask_login_actor
from .jobs import Job, JobCancelled
from .respond import Part
from .schema import SchemaError, UTCDateTime
from .settings import SettingError

__all__ = [
    "ANONYMOUS",
    "OPEN",
    "Actor",
    "ApiError",
    "Carboy",
    "Job",
    "JobCancelled",
    "Part",
    "Policy",
    "PolicyError",
    "SchemaError",
    "SettingError",
    "UTCDateTime",
    "flask_login_actor",
    "role",
    "signed_in",
]
