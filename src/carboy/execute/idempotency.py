"""Idempotency-Key: a write's result, kept in the write's own transaction and answered again.

The result is stored just before the COMMIT, so that there is a row exactly if the write happened;
what fails leaves none. Requests with one key at the same time are kept apart by a set in this
process and, between processes, by a lock of the transaction where the database has such, and
lastly by the table's primary key.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
import sqlalchemy as sa

from ..errors import IdempotencyMismatch
from ..plan import Once, WriteResult
from ..sql import exact_text, long_bytes
from .database import Database
from .keys import in_flight
from .tables import create_table, lock_number

_PRUNE_SECONDS = 60

TABLE = sa.Table(
    "carboy_idempotency",
    sa.MetaData(),
    sa.Column("scope", exact_text(255), primary_key=True),
    sa.Column("key", exact_text(255), primary_key=True),
    sa.Column("request", sa.String(64), nullable=False),
    sa.Column("result", long_bytes(), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False, index=True),
)
"""``scope`` is for who asks; ``request`` a digest; ``created_at`` in seconds since 1970."""


def make_ready(database: Database, once: Once) -> None:
    """Create the table at a process's first key, and drop expired rows once a minute."""
    database.once(TABLE.name, lambda: create_table(database.engine, TABLE))
    keys = database.keys
    now = time.monotonic()
    if now - keys.pruned > _PRUNE_SECONDS:
        keys.pruned = now
        with database.connect() as connection, connection.begin():
            connection.execute(sa.delete(TABLE).where(TABLE.c.created_at < _oldest(once)))


def find_result(database: Database, connection: sa.Connection, once: Once) -> WriteResult | None:
    """What the first request with this key did; raises 409 while it runs, 422 if it differs."""
    lock = database.dialect.lock(lock_number(f"key:{once.scope}:{once.key}"), wait=False)
    if lock is not None and not connection.scalar(sa.select(lock)):
        raise in_flight()
    query = sa.select(TABLE.c.request, TABLE.c.result).where(
        _same_key(once), TABLE.c.created_at >= _oldest(once)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    request, stored = row
    if request != once.request:
        raise IdempotencyMismatch("this Idempotency-Key came before with another request")
    result = msgspec.msgpack.decode(stored, type=WriteResult)
    return msgspec.structs.replace(result, replayed=True)


def keep_result(connection: sa.Connection, once: Once, result: WriteResult) -> None:
    """Store what the first request did, in place of an expired row."""
    expired = sa.delete(TABLE).where(_same_key(once), TABLE.c.created_at < _oldest(once))
    connection.execute(expired)
    values = {
        "scope": once.scope,
        "key": once.key,
        "request": once.request,
        "result": msgspec.msgpack.encode(result),
        "created_at": int(time.time()),
    }
    try:
        connection.execute(sa.insert(TABLE).values(values))
    except sa.exc.IntegrityError:
        # Another process came in between, which a transaction's older snapshot doesn't show.
        raise in_flight() from None


def _same_key(once: Once) -> Any:
    return sa.and_(TABLE.c.scope == once.scope, TABLE.c.key == once.key)


def _oldest(once: Once) -> int:
    return int(time.time()) - once.hours * 3600
