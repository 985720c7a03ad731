"""The table of jobs: the outbox that a writing transaction fills, and each job's state, in one."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from ..execute import Database
from ..execute.tables import create_missing, create_table
from ..sql import exact_text, long_text

State: TypeAlias = Literal["queued", "running", "done", "failed", "dead", "cancelled"]
"""``failed`` will be tried again; ``dead`` won't."""

STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "dead", "cancelled")

TABLE = sa.Table(
    "carboy_jobs",
    sa.MetaData(),
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", exact_text(100), nullable=False),
    sa.Column("key", exact_text(255)),
    sa.Column("arguments", long_text(), nullable=False),
    sa.Column("actor", long_text()),
    sa.Column("request_id", sa.String(128)),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("due_at", sa.BigInteger, index=True),
    sa.Column("sent_at", sa.BigInteger),
    sa.Column("claim", sa.String(32)),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("done", sa.BigInteger),
    sa.Column("total", sa.BigInteger),
    sa.Column("result", long_text()),
    sa.Column("error", long_text()),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("finished_at", sa.BigInteger, index=True),
    sa.UniqueConstraint("name", "key"),
)
"""``due_at`` says when a worker may take the job: a queued one at its time, a failed one after its
pause, a running one when its lease ends; NULL when it has ended. ``claim`` is new each time that a
worker takes the job, and NULL while none has it: whoever holds another can't complete it. Moments
are in milliseconds since 1970, ``arguments``, ``actor``, ``result`` and ``error`` are JSON.
``sent_at`` is when the broker was told of it."""


def now() -> int:
    """This moment, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def moment(milliseconds: int | None) -> dt.datetime | None:
    """A moment of the table, in UTC."""
    return None if milliseconds is None else dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def is_there(bind: Any) -> bool:
    """Whether a job was ever queued in the database."""
    return bool(sa.inspect(bind).has_table(TABLE.name))


def make_ready(database: Database, connection: sa.Connection | None = None) -> None:
    """Create the table at a process's first job; in ``connection``'s transaction on SQLite.

    Another connection would wait there for that transaction to end.
    """
    if connection is not None and connection.dialect.name == "sqlite":
        create_missing(connection, TABLE)
        return
    database.once(TABLE.name, lambda: create_table(database.engine, TABLE))
