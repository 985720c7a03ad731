"""Carboy's own tables: made when they are first needed, by whichever process needs them first."""

from __future__ import annotations

from hashlib import blake2b

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.schema import CreateIndex, CreateTable

from ..sql import dialect_for


def create_table(engine: Engine, table: sa.Table) -> None:
    """Make a table and its indexes unless it is there; several processes may do so at once."""
    with engine.begin() as connection:
        create_missing(connection, table)


def create_missing(connection: sa.Connection, table: sa.Table) -> None:
    """The same in a transaction that has begun."""
    # Looked for first, since CREATE TABLE needs a right even where it has nothing to do.
    if sa.inspect(connection).has_table(table.name):
        return
    lock = dialect_for(connection.dialect.name).lock(lock_number(table.name), wait=True)
    if lock is not None:
        # Two CREATE TABLE IF NOT EXISTS at once may both see none.
        connection.execute(sa.select(lock))
    connection.execute(CreateTable(table, if_not_exists=True))
    for index in table.indexes:
        connection.execute(CreateIndex(index, if_not_exists=True))


def lock_number(text: str) -> int:
    """64 bits for an advisory lock."""
    digest = blake2b(b"carboy:" + text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
