"""A connection for one statement whose rows are read as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from ..access import Actor
from ..sql import Statement
from .database import Database
from .row_security import TELL, told


class StaleConnection(Exception):
    """A connection turned out to be dead; ``error`` is the driver's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def reading(
    database: Database, statement: Statement, parameters: Any, who: Actor
) -> Iterator[Iterator[bytes]]:
    """The lines of a statement; raises what the driver does, and StaleConnection.

    The connection goes back into the pool only if the block ends well: nobody else wants the rest.
    """
    engine = database.engine
    assert engine.dialect.dbapi is not None
    shared = database.shared
    if shared is not None:
        database.prepare(shared)
        with database.watched(shared):
            yield database.driver.lines(
                shared.driver_connection, statement.sql, parameters, database.require_whole
            )
        return
    connection = engine.raw_connection()
    try:
        database.prepare(connection)
        driver: Any = connection.driver_connection
        lines = database.driver.lines(driver, statement.sql, parameters, database.require_whole)
        with _begun(database, driver, who), closing(lines):
            yield lines
    except engine.dialect.dbapi.Error as error:
        is_stale = database.is_disconnect(error, connection)
        connection.invalidate(error)
        if not is_stale:
            raise
        # The others in the pool are as old as the one that broke.
        database.renew_connections()
        raise StaleConnection(error) from error
    except BaseException as error:
        connection.invalidate(error)
        raise
    finally:
        connection.close()


@contextmanager
def _begun(database: Database, driver: Any, who: Actor) -> Iterator[None]:
    """What the statement runs in: nothing, or a transaction that knows who asks."""
    if database.row_security:
        with driver.transaction():
            driver.execute(TELL, told(who))
            yield
    elif database.engine.dialect.name == "postgresql":
        driver.autocommit = True
        yield
        driver.autocommit = False
    else:
        yield
