"""Reads on a psycopg connection without its cursor, which costs more than the call itself.

psycopg still adapts the values; its libpq wrapper sends the statement and prepares it, by
psycopg's own settings, and the body of the answer is never made a text of Python's.
https://www.psycopg.org/psycopg3/docs/api/pq.html
"""

from __future__ import annotations

import select
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from ..sql import Statement

# The SQLSTATE of a prepared statement that is gone, as after DISCARD ALL.
_GONE = b"26000"
_INTEGERS = (20, 21, 23)  # PostgreSQL's numbers of bigint, smallint and integer


class Prepared:
    """The statements prepared on one connection, and how often each was sent."""

    def __init__(self, driver: Any) -> None:
        from psycopg import adapt, errors, pq

        self._driver = driver
        self._pgconn = driver.pgconn
        self._values = adapt.Transformer(driver)
        self._format = adapt.PyFormat.AUTO
        self._errors = errors
        self._pq = pq
        self._names: OrderedDict[Any, bytes] = OrderedDict()
        self._counts: OrderedDict[Any, int] = OrderedDict()
        self._number = 0

    @staticmethod
    def fits(driver: Any) -> bool:
        """Whether it is a connection as psycopg makes them, whose texts are in UTF-8.

        An instrumentation, such as OpenTelemetry's, sees only what its own cursor is given.
        """
        if type(driver).__module__ != "psycopg":
            return False
        import psycopg

        plain = type(driver) is psycopg.Connection and driver.cursor_factory is psycopg.Cursor
        return plain and driver.info.encoding == "utf-8"

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open: a statement is then one by itself."""
        return bool(self._pgconn.transaction_status == self._pq.TransactionStatus.IDLE)

    def is_alive(self) -> bool:
        """Whether the server hasn't ended the connection while nobody used it: it would say so."""
        waiting = select.poll()
        try:
            waiting.register(self._pgconn.socket, select.POLLIN)
            while waiting.poll(0):
                self._pgconn.consume_input()
        except self._errors.OperationalError:
            return False
        return True

    def begins_plainly(self) -> bool:
        """Whether a BEGIN would ask for nothing: a statement alone is then a transaction alike."""
        driver = self._driver
        return driver.isolation_level is driver.read_only is driver.deferrable is None

    def fetch(self, statement: Statement, bound: Sequence[Any]) -> Sequence[Any] | None:
        """The one row of a statement, its first column as bytes; raises psycopg's errors."""
        values = self._values
        sent = values.dump_sequence(bound, [self._format] * len(bound))
        result = self._send((statement.numbered, values.types), sent, values.formats)
        if result.status != self._pq.ExecStatus.TUPLES_OK:
            raise self._error(result)
        if not result.ntuples:
            return None
        rest = (_loaded(result, column) for column in range(1, result.nfields))
        return [result.get_value(0, 0), *rest]

    def _send(self, key: tuple[Any, Any], sent: Any, formats: Any) -> Any:
        """The result of a statement, known by its text and the types of its values."""
        name = self._names.get(key)
        if name is None and self._is_frequent(key):
            name = self._prepare(key)
        if name is not None:
            self._names.move_to_end(key)
            result = self._pgconn.exec_prepared(name, sent, formats)
            if result.error_field(self._pq.DiagnosticField.SQLSTATE) != _GONE:
                return result
            self._names.clear()
        sql, types = key
        return self._pgconn.exec_params(sql, sent, types, formats)

    def _is_frequent(self, key: Any) -> bool:
        """Whether it pays to prepare a statement; where a pooler forbids it, it never does."""
        threshold = self._driver.prepare_threshold
        if threshold is None:
            return False
        count = self._counts.pop(key, 0)
        if count >= threshold:
            return True
        self._counts[key] = count + 1
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return False

    @property
    def _most(self) -> int:
        most: int | None = self._driver.prepared_max
        return 2**31 if most is None else most

    def _prepare(self, key: tuple[Any, Any]) -> bytes | None:
        """The name that a statement has from now on; None where it can't be prepared."""
        name = b"carboy_%d" % self._number
        self._number += 1
        sql, types = key
        result = self._pgconn.prepare(name, sql, types)
        if result.status != self._pq.ExecStatus.COMMAND_OK:
            return None
        self._names[key] = name
        if len(self._names) > self._most:
            self._give_back(self._names.popitem(last=False)[1])
        return name

    def _give_back(self, name: bytes) -> None:
        self._pgconn.exec_(b"DEALLOCATE " + name)

    def _error(self, result: Any) -> Exception:
        if self._pgconn.status == self._pq.ConnStatus.BAD:
            message = result.get_error_message().strip()
            return self._errors.OperationalError(message or "the connection is lost")
        error: Exception = self._errors.error_from_result(result)
        return error


def _loaded(result: Any, column: int) -> Any:
    """A number or a text of a result's only row."""
    value = result.get_value(0, column)
    if value is None:
        return None
    return int(value) if result.ftype(column) in _INTEGERS else value.decode()
