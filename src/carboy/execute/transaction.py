"""A write's transaction: a Session over one connection, begun so that no other write gets between.

On SQLite it begins with BEGIN IMMEDIATE, since a transaction that starts by reading can't always
go on to write, and with foreign keys enforced, which SQLite doesn't do by itself; the connection
goes back to the pool as it was. MariaDB is told to read what is committed, as PostgreSQL does by
itself: else it locks the gaps between rows as well, and concurrent upserts end in deadlocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..access import Actor
from .database import Database
from .deadline import has_passed, unknown_outcome
from .errors import DEADLOCK, error_number

T = TypeVar("T")
_DEADLOCKS = 3


@contextmanager
def transaction(database: Database, who: Actor, *, commit: bool = True) -> Iterator[Session]:
    """A Session whose connection is the only one used; committed at the end unless told not to."""
    with database.connect() as connection:
        database.prepare(connection.connection)
        with _begun(connection), _session(connection) as session:
            database.tell(connection, who)
            yield session
            if commit:
                _commit(session)
            else:
                session.rollback()


def _commit(session: Session) -> None:
    try:
        session.commit()
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated and error.statement is None:
            raise unknown_outcome() from error
        raise


def _session(connection: sa.Connection) -> Session:
    return Session(
        connection,
        autoflush=False,
        expire_on_commit=False,
        join_transaction_mode="control_fully",
    )


@contextmanager
def _begun(connection: sa.Connection) -> Iterator[None]:
    if connection.dialect.name in ("mysql", "mariadb"):
        cursor = connection.connection.cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.close()
    if connection.dialect.name != "sqlite":
        connection.begin()
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    if driver.in_transaction:
        # The application's own, on a connection that its pool shares (an in-memory database).
        connection.begin()
        yield
        return
    enforced = driver.execute("PRAGMA foreign_keys").fetchone()[0]
    if not enforced:
        driver.execute("PRAGMA foreign_keys = ON")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
    finally:
        if not enforced:
            if driver.in_transaction:
                driver.rollback()
            driver.execute("PRAGMA foreign_keys = OFF")


def retried(database: Database, run: Callable[[], T]) -> T:
    """Run a transaction, and again on a new connection if its own turns out to be out of date.

    It has gone stale in the pool, or holds statements that were prepared before a migration. A
    COMMIT that fails is not among it: nobody knows whether it happened. Of deadlocks MariaDB
    makes many, and takes one of the transactions back as a whole; that is run again as well.
    """
    for _ in range(_DEADLOCKS):
        try:
            return run()
        except sa.exc.DBAPIError as error:
            if has_passed():
                raise
            is_stale = error.connection_invalidated and error.statement is not None
            if is_stale or _is_replanned(error):
                # The others in the pool are as old.
                database.engine.dispose()
                break
            if error_number(error.orig) not in DEADLOCK:
                raise
    return run()


def _is_replanned(error: sa.exc.DBAPIError) -> bool:
    """Whether a column has another type than when PostgreSQL prepared the statement.

    The state (0A000) has many meanings, and the message any language.
    """
    diagnosis = getattr(error.orig, "diag", None)
    return getattr(diagnosis, "source_function", None) == "RevalidateCachedQuery"
