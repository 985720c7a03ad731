"""Counts what reaches the databases, below SQLAlchemy: at the driver, or on the wire."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

# Without psycopg's own housekeeping: with its 101st prepared statement it gives the oldest back.
_SENT = re.compile(
    rb"^(?:[0-9: .-]+\t)?F\t[0-9]+\t(?:Query|Execute)\b(?!\t \"DEALLOCATE )", re.MULTILINE
)


class StatementCounter:
    """Counts the statements of every connection that the engine opens from now on.

    SQLite's own trace sees each statement that runs. For PostgreSQL libpq writes down the
    messages of the wire protocol, and those that make the server run something are counted:
    BEGIN and COMMIT are statements, too. PyMySQL has one method that all it sends goes through;
    the ROLLBACK with which the pool takes each connection back isn't counted, nor what makes a
    new connection ready.
    """

    def __init__(self, engine: Engine) -> None:
        self._statements: list[str] = []
        self._sent = 0
        # libpq writes through a descriptor of its own, so that both have a place in the file.
        self._written = tempfile.NamedTemporaryFile()  # noqa: SIM115  until ``close``
        self._trace = Path(self._written.name).open("rb")  # noqa: SIM115  the same
        listen = {"sqlite": self._sqlite, "postgresql": self._postgresql, "mariadb": self._mariadb}
        sa.event.listen(engine, "connect", listen[engine.dialect.name])

    def close(self) -> None:
        """Stop counting, once the engine is disposed of."""
        self._trace.close()
        self._written.close()

    def count(self) -> int:
        """How many there were so far."""
        self._sent += len(_SENT.findall(self._trace.read()))
        return len(self._statements) + self._sent

    def _sqlite(self, connection: Any, _: object) -> None:
        connection.set_trace_callback(self._statements.append)

    def _mariadb(self, connection: Any, _: object) -> None:
        send = connection._execute_command

        def counted(command: int, sql: Any) -> None:
            text = sql if isinstance(sql, str) else bytes(sql).decode(errors="replace")
            if not text.lstrip().startswith(("ROLLBACK", "SET group_concat_max_len")):
                self._statements.append(text)
            send(command, sql)

        connection._execute_command = counted

    def _postgresql(self, connection: Any, _: object) -> None:
        connection.pgconn.trace(self._written.fileno())
