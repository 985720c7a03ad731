"""Plans to results."""

from .database import Database
from .deadline import RETRY_AFTER, Within
from .errors import api_error
from .export import execute_export
from .history import execute_history
from .imports import Reject, execute_import
from .plain import runs_no_code
from .read import execute_read
from .replica import Replica
from .statements import add_ear, notice_statements
from .view import execute_view
from .write import Around, execute_write

__all__ = [
    "RETRY_AFTER",
    "Around",
    "Database",
    "Reject",
    "Replica",
    "Within",
    "add_ear",
    "api_error",
    "execute_export",
    "execute_history",
    "execute_import",
    "execute_read",
    "execute_view",
    "execute_write",
    "notice_statements",
    "runs_no_code",
]
