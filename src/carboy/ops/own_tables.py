"""Carboy's own tables, all at once: for databases where the servers' role may create none."""

from __future__ import annotations

import sqlalchemy as sa

from ..execute.api_keys import TABLE as API_KEYS
from ..execute.idempotency import TABLE as IDEMPOTENCY
from ..execute.tables import create_missing
from ..jobs import TABLE as JOBS
from ..sql import HISTORY

OWN_TABLES = (API_KEYS, IDEMPOTENCY, HISTORY, JOBS)


def create_own_tables(connection: sa.Connection) -> None:
    """Make those that aren't there, in the connection's transaction; in a migration, for one."""
    for table in OWN_TABLES:
        create_missing(connection, table)
