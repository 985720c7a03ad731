"""Whether a database can be used, found out within a time that is promised."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Generic, TypeVar

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

from .migrate import Migrations, migration_state

T = TypeVar("T")


class Unhealthy(Exception):
    """The database can't be used; the message says why, and names nothing of it."""


class PoolFigures(Struct, frozen=True):
    """Connections of a pool; None for those of pools that don't count them."""

    size: int | None = None
    checked_in: int | None = None
    checked_out: int | None = None
    overflow: int | None = None


class Replication(Struct, frozen=True):
    """A server's part in replication.

    ``replicas`` are those that a primary sends to; ``lag_seconds`` is how far a replica is behind.
    """

    role: str
    replicas: int | None = None
    lag_seconds: float | None = None


class MigrationStatus(Struct, frozen=True):
    """Whether a database has the migrations of the code.

    ``state`` is ``current``, ``pending``, or ``unknown`` where the database has one that the code
    hasn't; ``pending`` is how many wait.
    """

    state: str
    pending: int = 0


class Examined(Struct, frozen=True):
    """What a database that answers says of itself; None for what it hasn't."""

    replication: Replication | None
    migrations: MigrationStatus | None


def pool_figures(engine: Engine) -> PoolFigures:
    """What an engine's pool says of itself."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return PoolFigures()
    return PoolFigures(
        size=pool.size(),
        checked_in=pool.checkedin(),
        checked_out=pool.checkedout(),
        # It counts from -size on.
        overflow=max(pool.overflow(), 0),
    )


class Probe(Generic[T]):
    """Asks something that may never answer, one at a time, and waits for it only so long.

    Whoever asks meanwhile waits for the same answer; so a database that hangs costs one thread.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self.ask = ask
        self._lock = Lock()
        self._asked: Future[T] | None = None

    def within(self, seconds: float) -> T:
        """What ``ask`` answers or raises; TimeoutError where that takes longer."""
        with self._lock:
            future = self._asked
            if future is None or future.done():
                future = self._asked = Future()
                Thread(target=self._run, args=(future,), daemon=True).start()
        return future.result(seconds)

    def _run(self, future: Future[T]) -> None:
        try:
            future.set_result(self.ask())
        except BaseException as error:  # noqa: BLE001  it is raised where it was asked for
            future.set_exception(error)


def examine(engine: Engine, migrations: Migrations | None = None) -> Examined:
    """Ask the database for an answer, on a connection of the pool; raises Unhealthy."""
    try:
        return _asked(engine, migrations)
    except sa.exc.TimeoutError:
        raise Unhealthy("no connection is free") from None
    except sa.exc.DBAPIError as error:
        if not error.connection_invalidated:
            raise Unhealthy("the database refuses to answer") from None
    except sa.exc.SQLAlchemyError:
        raise Unhealthy("the database can't be asked") from None
    # The connection was a stale one of the pool, which the others are as well; they are gone now.
    try:
        return _asked(engine, migrations)
    except sa.exc.SQLAlchemyError:
        raise Unhealthy("the database can't be reached") from None


def _asked(engine: Engine, migrations: Migrations | None) -> Examined:
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        find = _REPLICATION.get(engine.dialect.name)
        replication = find(connection) if find is not None else None
    return Examined(replication, _status(migrations) if migrations is not None else None)


def _status(migrations: Migrations) -> MigrationStatus:
    state = migration_state(migrations)
    if state.unknown:
        return MigrationStatus("unknown")
    return MigrationStatus("pending" if state.pending else "current", len(state.pending))


def _postgresql(connection: sa.Connection) -> Replication:
    row = connection.exec_driver_sql(
        "SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication),"
        " CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0"
        " ELSE EXTRACT(epoch FROM now() - pg_last_xact_replay_timestamp()) END"
    ).one()
    if row[0]:
        return Replication("replica", lag_seconds=float(row[2]) if row[2] is not None else None)
    return Replication("primary", replicas=row[1])


def _mariadb(connection: sa.Connection) -> Replication | None:
    """None where the account may not ask, which takes a privilege of its own."""
    try:
        result = connection.exec_driver_sql("SHOW SLAVE STATUS")
        row = result.mappings().first()
        followers = len(connection.exec_driver_sql("SHOW SLAVE HOSTS").all())
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        return None
    if row is None:
        return Replication("primary", replicas=followers)
    lag = row["Seconds_Behind_Master"]
    return Replication("replica", lag_seconds=float(lag) if lag is not None else None)


_REPLICATION = {"postgresql": _postgresql, "mysql": _mariadb, "mariadb": _mariadb}
