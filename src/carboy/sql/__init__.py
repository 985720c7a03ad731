"""Plans to SQL: SQLAlchemy Core builds it, one module a database holds every difference."""

from .column_types import exact_text, long_bytes, long_text
from .compile import Statement, compile_matching, compile_read, compile_row, compile_select
from .dialects import Dialect, dialect_for
from .export import compile_export
from .expressions import own_column
from .history import HISTORY, compile_history
from .insert import RowInsert, insert_rows
from .survey import Survey, changed_tables, survey, survey_read
from .view import view_statement
from .write import keyed_objects, locked_rows, rows_left, rows_with, rows_within

__all__ = [
    "HISTORY",
    "Dialect",
    "RowInsert",
    "Statement",
    "Survey",
    "changed_tables",
    "compile_export",
    "compile_history",
    "compile_matching",
    "compile_read",
    "compile_row",
    "compile_select",
    "dialect_for",
    "exact_text",
    "insert_rows",
    "keyed_objects",
    "locked_rows",
    "long_bytes",
    "long_text",
    "own_column",
    "rows_left",
    "rows_with",
    "rows_within",
    "survey",
    "survey_read",
    "view_statement",
]
