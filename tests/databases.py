"""What tests need of a database beside Carboy, and each kind of database words in its own way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa


@contextmanager
def in_any_order(connection: sa.Connection) -> Iterator[None]:
    """Let rows come and go in any order, whatever foreign keys say in between."""
    name = connection.dialect.name
    if name == "sqlite":
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    if name == "mariadb":
        connection.exec_driver_sql("SET foreign_key_checks = 0")
    yield
    if name == "mariadb":
        connection.exec_driver_sql("SET foreign_key_checks = 1")


def count_from(connection: sa.Connection, number: int, tables: Sequence[str]) -> None:
    """Let the next keys of tables be ``number``, or the first free one after it.

    PostgreSQL's sequences don't see keys that were given, and a ROLLBACK takes no number back, nor
    does it on MariaDB, which commits what was done before.
    """
    if connection.dialect.name == "postgresql":
        counters = [f"setval(pg_get_serial_sequence('{t}', 'id'), {number}, false)" for t in tables]
        connection.exec_driver_sql(f"SELECT {', '.join(counters)}")
    if connection.dialect.name == "mariadb":
        changed = sa.text(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = database()"
            " AND table_name IN :tables AND auto_increment <> :number"
        ).bindparams(sa.bindparam("tables", tables, expanding=True), number=number)
        for name in connection.scalars(changed).all():
            connection.exec_driver_sql(f"ALTER TABLE {name} AUTO_INCREMENT = {number}")
