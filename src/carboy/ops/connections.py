"""How many connections a database server takes."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

# Least of what the server, the database and the role allow; -1 means any number.
_POSTGRESQL = sa.text(
    "SELECT current_setting('max_connections')::int"
    " - current_setting('superuser_reserved_connections')::int,"
    " (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),"
    " (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user)"
)
# There, 0 means any number.
_MARIADB = sa.text("SELECT @@max_connections, coalesce(nullif(@@max_user_connections, 0), -1)")
_QUERIES = {"postgresql": _POSTGRESQL, "mysql": _MARIADB, "mariadb": _MARIADB}


def room(engine: Engine) -> int | None:
    """The most connections that the server lets this user have; None where it has no limit."""
    query = _QUERIES.get(engine.dialect.name)
    if query is None:
        return None
    with engine.connect() as connection:
        limits: list[int] = [limit for limit in connection.execute(query).one() if limit >= 0]
    return min(limits)
