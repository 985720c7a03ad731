"""One module a database; ``dialect_for`` chooses."""

from __future__ import annotations

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


def dialect_for(name: str) -> Dialect:
    """The dialect of SQLAlchemy's dialect ``name``; what isn't known is a ValueError."""
    try:
        return _DIALECTS[name]()
    except KeyError:
        known = ", ".join(sorted(_DIALECTS))
        raise ValueError(f"Carboy doesn't speak {name!r}; it speaks {known}") from None


__all__ = ["Dialect", "Expression", "Rows", "Tied", "dialect_for", "stored_columns"]
