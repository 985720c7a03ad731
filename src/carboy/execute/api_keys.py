"""API keys as requests use them: one SELECT by the visible prefix, and a note of the last use.

Of a key the table has the SHA-256 of its secret. The slow hashes that passwords need would add
nothing: they make guessing dear where people choose, and 256 random bits can't be guessed however
cheap a guess is. What they would add is their time, to every request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from ..access import Actor
from ..errors import ApiError, InternalError, Unauthorized
from ..sql import Statement, compile_select, exact_text
from .database import Database
from .errors import is_missing_table

TOKEN_START = "carboy_"  # noqa: S105  how every key begins, none in itself
_TOKEN = re.compile(TOKEN_START + r"([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOTED_SECONDS = 60

TABLE = sa.Table(
    "carboy_api_keys",
    sa.MetaData(),
    sa.Column("prefix", exact_text(12), primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("name", exact_text(100), nullable=False),
    sa.Column("actor_id", exact_text(255), nullable=False),
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("last_used_at", sa.BigInteger),
)
"""``roles`` is a JSON array; times are in seconds since 1970."""


def hash_secret(secret: str) -> str:
    """What the table has of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiKeys:
    """Finds the actor of a key; one for each application, as it remembers which uses it noted."""

    def __init__(self) -> None:
        self._noted: dict[str, float] = {}
        self._lock = threading.Lock()

    def actor(self, database: Database, token: str) -> Actor:
        """Whom a token stands for; raises Unauthorized, and Unavailable without the database."""
        parts = _TOKEN.fullmatch(token)
        row = _row(database, parts[1]) if parts is not None else None
        # Nobody learns how much of a secret is right by measuring how long the answer takes.
        if parts is None or row is None or not hmac.compare_digest(row[0], hash_secret(parts[2])):
            raise Unauthorized.bad_token("there is no such API key")
        _, actor_id, roles, expires_at, revoked_at = row
        if revoked_at is not None:
            raise Unauthorized.bad_token(f"the API key {parts[1]} was revoked")
        if expires_at is not None and expires_at <= time.time():
            raise Unauthorized.bad_token(f"the API key {parts[1]} has expired")
        self._note_use(database, parts[1])
        return Actor(actor_id, frozenset(msgspec.json.decode(roles, type=list[str])))

    def _note_use(self, database: Database, prefix: str) -> None:
        """Write down when a key was used, once a minute; whether that works is all the same."""
        now = time.monotonic()
        with self._lock:
            if now - self._noted.get(prefix, -_NOTED_SECONDS) < _NOTED_SECONDS:
                return
            self._noted[prefix] = now
        if isinstance(database.engine.pool, StaticPool):
            # Its one connection is everybody's: a COMMIT here would be somebody else's, too.
            return
        used = sa.update(TABLE).where(TABLE.c.prefix == prefix)
        with (
            suppress(ApiError, *database.errors),
            database.connect() as connection,
            _impatient(connection),
        ):
            connection.execute(used.values(last_used_at=int(time.time())))
            connection.commit()


def _row(database: Database, prefix: str) -> Sequence[Any] | None:
    def build() -> Statement:
        c = TABLE.c
        columns = (c.hash, c.actor_id, c.roles, c.expires_at, c.revoked_at)
        query = sa.select(*columns).where(c.prefix == sa.bindparam("v0", type_=c.prefix.type))
        return compile_select(query, database.engine.dialect)

    try:
        return database.fetch(database.statement(TABLE.name, build), (prefix,))
    except InternalError as error:
        if is_missing_table(error.__cause__):
            # No key was ever made.
            return None
        raise


@contextmanager
def _impatient(connection: sa.Connection) -> Iterator[None]:
    """On SQLite don't wait until another has finished writing: reads don't wait for it either."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    patience = driver.execute("PRAGMA busy_timeout").fetchone()[0]
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout = {patience}")
