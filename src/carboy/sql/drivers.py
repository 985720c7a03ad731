"""What differs between drivers: how a connection is kept from waiting for ever.

A driver's call that waits for its server can't be interrupted from Python. Another thread can ask
the server to stop (``cancel``), and shut the socket that the call waits at.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from math import ceil
from typing import Any, ClassVar

from sqlalchemy.engine import Dialect


class Driver:
    """A driver that isn't known: it is ended by its socket, if it tells which that is."""

    copies: ClassVar[bool] = False
    """Whether it reads what ``COPY ... TO STDOUT`` prints."""

    def connect(
        self, dialect: Dialect, arguments: Any, parameters: dict[str, Any], seconds: float
    ) -> Any:
        """A new connection, by the parameters of the driver's own ``connect``, made in time."""
        return dialect.connect(*arguments, **parameters)

    def limit_waiting(self, connection: Any, seconds: float) -> None:
        """Make a new connection wait no longer for locks, where ``cancel`` can't end that."""

    def fileno(self, connection: Any) -> int | None:
        """The number of the connection's socket; None where there is none."""
        fileno = getattr(connection, "fileno", None)
        return None if fileno is None else int(fileno())

    def cancel(self, connection: Any, connect: Callable[[], Any], seconds: float) -> None:
        """Ask the server to stop what the connection runs, and take some seconds for it at most.

        ``connect`` opens another connection. This may fail, and may find nothing to stop.
        """

    def lines(
        self, connection: Any, sql: str, parameters: Any, check: Callable[[Any], None]
    ) -> Generator[bytes]:
        """The rows of a statement of one column, each as a line, as the server sends them.

        Where ``copies``, the statement is a COPY. ``check`` is given the cursor at the end.
        """
        return self._lines(self.cursor(connection), sql, parameters, check)

    def _lines(
        self, cursor: Any, sql: str, parameters: Any, check: Callable[[Any], None]
    ) -> Generator[bytes]:
        cursor.execute(sql, parameters)
        for (text,) in cursor:
            yield (text if isinstance(text, bytes) else text.encode()) + b"\n"
        check(cursor)
        cursor.close()

    def cursor(self, connection: Any) -> Any:
        """A cursor that doesn't fetch all rows at once."""
        return connection.cursor()


class Psycopg(Driver):
    """psycopg 3."""

    copies = True

    def lines(
        self, connection: Any, sql: str, parameters: Any, check: Callable[[Any], None]
    ) -> Generator[bytes]:
        with connection.cursor() as cursor, cursor.copy(sql, parameters or None) as copy:
            yield from copy

    def connect(
        self, dialect: Dialect, arguments: Any, parameters: dict[str, Any], seconds: float
    ) -> Any:
        own = int(parameters.get("connect_timeout") or 0)
        # In whole seconds, and psycopg takes 1 for 2.
        limit = max(2, ceil(seconds))
        parameters = {**parameters, "connect_timeout": min(own, limit) if own > 0 else limit}
        return dialect.connect(*arguments, **parameters)

    def cancel(self, connection: Any, connect: Callable[[], Any], seconds: float) -> None:
        connection.cancel_safe(timeout=seconds)


class Psycopg2(Psycopg):
    """psycopg2, whose ``cancel`` may wait for ever itself: the socket must do."""

    copies = False
    lines = Driver.lines

    def cursor(self, connection: Any) -> Any:
        return connection.cursor(name="carboy_export")

    def cancel(self, connection: Any, connect: Callable[[], Any], seconds: float) -> None:
        pass


class PyMySQL(Driver):
    """PyMySQL; ``KILL QUERY`` comes by another connection."""

    def cursor(self, connection: Any) -> Any:
        from pymysql.cursors import SSCursor

        return connection.cursor(SSCursor)

    def lines(
        self, connection: Any, sql: str, parameters: Any, check: Callable[[Any], None]
    ) -> Generator[bytes]:
        cursor = self.cursor(connection)
        try:
            yield from self._lines(cursor, sql, parameters, check)
        except BaseException:
            # To close it would read all the rest.
            if cursor._result is not None:
                cursor._result.unbuffered_active = False
            cursor.connection = None
            raise

    def connect(
        self, dialect: Dialect, arguments: Any, parameters: dict[str, Any], seconds: float
    ) -> Any:
        # A server that takes the connection and says nothing meets the read_timeout only. Later
        # statements may take longer: not only requests use the connection.
        own = {name: parameters.get(name) for name in ("connect_timeout", "read_timeout")}
        limits = {name: min(seconds, float(given or seconds)) for name, given in own.items()}
        connection = dialect.connect(*arguments, **{**parameters, **limits})
        connection._read_timeout = own["read_timeout"]
        return connection

    def fileno(self, connection: Any) -> int | None:
        number: int = connection._sock.fileno()
        return number

    def cancel(self, connection: Any, connect: Callable[[], Any], seconds: float) -> None:
        number = int(connection.thread_id())
        with closing(connect()) as other, other.cursor() as cursor:
            cursor.execute(f"KILL QUERY {number}")


class SQLite(Driver):
    """sqlite3, which has no server: what runs in this process is interrupted."""

    def limit_waiting(self, connection: Any, seconds: float) -> None:
        own = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        if own > seconds * 1000:
            connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def fileno(self, connection: Any) -> int | None:
        return None

    def cancel(self, connection: Any, connect: Callable[[], Any], seconds: float) -> None:
        connection.interrupt()


_DRIVERS: dict[str, Driver] = {
    "psycopg": Psycopg(),
    "psycopg2": Psycopg2(),
    "pymysql": PyMySQL(),
    "pysqlite": SQLite(),
}


def driver_of(dialect: Dialect) -> Driver:
    """The driver of an engine's dialect."""
    return _DRIVERS.get(dialect.driver, Driver())
