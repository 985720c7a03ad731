"""Plans to SQL: SQLAlchemy Core builds it, one module a database holds every difference."""

from .column_types import exact_text, long_bytes, long_text
from .compile import Statement, compile_matching, compile_read, compile_select
from .dialects import Dialect, dialect_for
from .export import compile_export
from .expressions import own_column
from .history import HISTORY, compile_history
from .view import view_statement
from .write import keyed_objects, locked_rows, rows_left, rows_with, rows_within

__all__ = [
    "HISTORY",
    "Dialect",
    "Statement",
    "compile_export",
    "compile_history",
    "compile_matching",
    "compile_read",
    "compile_select",
    "dialect_for",
    "exact_text",
    "keyed_objects",
    "locked_rows",
    "long_bytes",
    "long_text",
    "own_column",
    "rows_left",
    "rows_with",
    "rows_within",
    "view_statement",
]
