"""One module a database; ``dialect_for`` chooses."""

from __future__ import annotations

from ...schema import SchemaError
from .base import Dialect, Expression, Rows, Tied, stored_columns
from .mysql import MySQL
from .postgresql import PostgreSQL
from .sqlite import SQLite

_DIALECTS: dict[str, type[Dialect]] = {
    "mariadb": MySQL,
    "mysql": MySQL,
    "postgresql": PostgreSQL,
    "sqlite": SQLite,
}


# What keeps the databases that SQLAlchemy itself knows from the same JSON in one statement.
_LACKING = {
    "mssql": "SQL Server has no JSON array of rows (JSON_ARRAYAGG) before its version 2025",
    "oracle": "Oracle stores an empty text as NULL, so that JSON can't tell one from the other",
}


def dialect_for(name: str) -> Dialect:
    """The dialect of SQLAlchemy's dialect ``name``; SchemaError for what Carboy can't work with."""
    try:
        return _DIALECTS[name]()
    except KeyError:
        known = ", ".join(sorted(_DIALECTS))
        lacking = f": {_LACKING[name]}" if name in _LACKING else ""
        raise SchemaError(f"Carboy doesn't speak {name!r}{lacking}; it speaks {known}") from None


__all__ = ["Dialect", "Expression", "Rows", "Tied", "dialect_for", "stored_columns"]
