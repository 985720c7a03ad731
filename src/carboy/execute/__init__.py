"""Plans to results."""

from .database import Database
from .errors import RETRY_AFTER, api_error
from .read import ReadResult, execute_read
from .write import execute_write

__all__ = [
    "RETRY_AFTER",
    "Database",
    "ReadResult",
    "api_error",
    "execute_read",
    "execute_write",
]
