"""Plans to results."""

from .database import Database
from .deadline import RETRY_AFTER, Within
from .errors import api_error
from .export import execute_export
from .history import execute_history
from .read import execute_read
from .replica import Replica
from .statements import notice_statements
from .view import execute_view
from .write import execute_write

__all__ = [
    "RETRY_AFTER",
    "Database",
    "Replica",
    "Within",
    "api_error",
    "execute_export",
    "execute_history",
    "execute_read",
    "execute_view",
    "execute_write",
    "notice_statements",
]
