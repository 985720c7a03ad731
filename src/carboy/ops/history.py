"""The table of histories: made by hand, and rid of what is old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from ..sql import HISTORY

_CHUNK = 10_000
_A_CENTURY = 36_500


def create_history_table(bind: Engine | sa.Connection) -> None:
    """Create the table carboy_history unless it is there, as in a migration.

    Without it, the first write to a resource with a history makes the table, if the database
    user may.
    """
    HISTORY.create(bind, checkfirst=True)


def prune_history(engine: Engine, days: int) -> int:
    """Delete the entries that are older than so many days, 0 for none; answers how many.

    In transactions of some thousand, which keep no writer waiting for long.
    """
    if days == 0 or not sa.inspect(engine).has_table(HISTORY.name):
        return 0
    oldest = datetime.now(UTC) - timedelta(days=min(days, _A_CENTURY))
    chunk = sa.select(HISTORY.c.id).where(HISTORY.c.at < oldest).limit(_CHUNK).subquery()
    # MariaDB takes a limit only one level below IN.
    old = sa.select(chunk.c.id)
    total = 0
    while True:
        with engine.begin() as connection:
            deleted = connection.execute(sa.delete(HISTORY).where(HISTORY.c.id.in_(old))).rowcount
        total += deleted
        if deleted < _CHUNK:
            return total
