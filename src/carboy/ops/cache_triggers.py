"""Triggers by which PostgreSQL tells of every write, whoever makes it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from ..cache import CHANNEL, entangled
from ..errors import CommandError
from ..schema import Schema

_NAME = "carboy_cache"
_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {_NAME}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('{CHANNEL}', TG_TABLE_NAME);
  RETURN NULL;
END $$
"""
_INSTALLED = f"SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgname = '{_NAME}'"  # noqa: S608


class TriggersError(CommandError):
    """The database can't have such triggers."""


def install_triggers(engine: Engine, schema: Schema) -> list[str]:
    """Make each table of the default database tell of its writes; the tables' names."""
    _require_postgresql(engine)
    quote = engine.dialect.identifier_preparer.format_table
    with engine.begin() as connection:
        views = entangled(connection.connection, connection.dialect.name).views
        found = (table for table in _tables(schema) if table.name.lower() not in views)
        tables = sorted(found, key=lambda table: table.fullname)
        connection.exec_driver_sql(_FUNCTION)
        for table in tables:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {_NAME} ON {quote(table)}")
            connection.exec_driver_sql(
                f"CREATE TRIGGER {_NAME} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE"
                f" ON {quote(table)} FOR EACH STATEMENT EXECUTE FUNCTION {_NAME}()"
            )
    return [table.fullname for table in tables]


def remove_triggers(engine: Engine) -> list[str]:
    """Take all of them away, and their function; the names of the tables that had one."""
    _require_postgresql(engine)
    with engine.begin() as connection:
        found = list(connection.exec_driver_sql(_INSTALLED).scalars())
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {_NAME}() CASCADE")
    return sorted(found)


def _require_postgresql(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        raise TriggersError(
            f"only PostgreSQL has such triggers, not {engine.dialect.name}; there, what others "
            "write is seen when the time of an answer is over"
        )


def _tables(schema: Schema) -> set[sa.Table]:
    """The tables, and the views, that an answer may come from."""
    found: set[sa.Table] = set()
    for resource in schema.resources.values():
        if resource.bind is None:
            found.update(resource.tables)
            links = (r.link for each in resource.relations.values() for r in each)
            found.update(link for link in links if isinstance(link, sa.Table))
    return found
