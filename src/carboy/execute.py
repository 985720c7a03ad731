"""A plan to its result: the only place on the API path that takes a connection."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Engine
from sqlalchemy.pool import PoolProxiedConnection

from .errors import ApiError, BadRequest, Forbidden, InternalError, Unavailable
from .plan.nodes import ReadPlan
from .plan.read import PlannedRead
from .sql import Statement, compile_matching, compile_read, dialect_for

T = TypeVar("T")
_PREPARED = "carboy_prepared"
RETRY_AFTER = ("Retry-After", "1")


class ReadResult(Struct, frozen=True):
    """What a read answers: the database's JSON, and what a list says about itself.

    ``rows`` counts those that were fetched: one more than shown where more follow. ``cursor``
    is a JSON array of the order's values in the last row; ``version`` is an item's row version.
    """

    body: bytes
    rows: int = 1
    cursor: str | None = None
    total: int | None = None
    version: str | None = None


class Database:
    """An engine, what its SQL looks like, and the statements compiled for it so far."""

    def __init__(self, engine: Engine, *, statements: int) -> None:
        self.engine = engine
        self.dialect = dialect_for(engine.dialect.name)
        self._size = statements
        self._statements: OrderedDict[object, Statement] = OrderedDict()
        self._lock = threading.Lock()
        # psycopg opens a transaction before each statement unless told not to.
        self._autocommit = engine.dialect.name == "postgresql"

    def statement(self, key: object, build: Callable[[], Statement]) -> Statement:
        """The kept statement for a plan, or a newly built one; the oldest unused is dropped."""
        with self._lock:
            kept = self._statements.get(key)
            if kept is not None:
                self._statements.move_to_end(key)
                return kept
        statement = build()
        with self._lock:
            self._statements[key] = statement
            if len(self._statements) > self._size:
                self._statements.popitem(last=False)
        return statement

    def read_statement(self, plan: ReadPlan) -> Statement:
        """The statement of a read plan."""
        dialect = self.engine.dialect
        return self.statement(plan, lambda: compile_read(plan, self.dialect, dialect))

    def fetch(self, statement: Statement, values: Sequence[Any]) -> Sequence[Any] | None:
        """The one row of a statement; a connection that has gone stale is replaced once."""
        parameters = statement.bind(values)
        try:
            return self._fetch(statement.sql, parameters, retry=True)
        except (sa.exc.SQLAlchemyError, self._driver_error()) as error:
            raise api_error(error, self.engine) from error

    def _fetch(self, sql: str, parameters: Any, *, retry: bool) -> Sequence[Any] | None:
        connection = self.engine.raw_connection()
        try:
            return self._run(connection, sql, parameters)
        except self._driver_error() as error:
            if not self.engine.dialect.is_disconnect(error, connection.driver_connection, None):
                raise
            connection.invalidate(error)
            if not retry:
                raise
        finally:
            connection.close()
        # The others in the pool are as old as the one that broke.
        self.engine.dispose()
        return self._fetch(sql, parameters, retry=False)

    def _run(
        self, connection: PoolProxiedConnection, sql: str, parameters: Any
    ) -> Sequence[Any] | None:
        driver = connection.driver_connection
        assert driver is not None
        self.prepare(connection)
        if self._autocommit:
            driver.autocommit = True
        try:
            cursor = driver.cursor()
            try:
                cursor.execute(sql, parameters)
                row: Sequence[Any] | None = cursor.fetchone()
                return row
            finally:
                cursor.close()
        finally:
            if self._autocommit and not driver.closed:
                driver.autocommit = False

    def prepare(self, connection: PoolProxiedConnection) -> None:
        """Make a driver connection ready once: connections are the application's as well."""
        if _PREPARED not in connection.info:
            self.dialect.prepare(connection.driver_connection)
            connection.info[_PREPARED] = True

    def _driver_error(self) -> type[Exception]:
        dbapi = self.engine.dialect.dbapi
        assert dbapi is not None
        error: type[Exception] = dbapi.Error
        return error


def execute_read(database: Database, planned: PlannedRead) -> ReadResult | None:
    """Run a read: None where an item isn't there."""
    plan = planned.plan
    row = database.fetch(database.read_statement(plan), planned.values)
    if row is None:
        return None
    if plan.shown is None:
        return ReadResult(body=_bytes(row[0]), version=row[1])
    body, rows, cursor, total = row
    if plan.counted in ("planned", "estimated") and database.dialect.has_planner_estimates:
        total = _estimate(database, planned, total)
    return ReadResult(_bytes(body), rows, cursor, total)


def _estimate(database: Database, planned: PlannedRead, counted: int | None) -> int:
    """The planner's estimate, which no SELECT can ask for: EXPLAIN, which reads no rows."""
    plan = planned.plan
    if counted is not None and counted <= plan.estimate_above:
        return counted
    dialect = database.engine.dialect

    def build() -> Statement:
        statement = compile_matching(plan, database.dialect, dialect)
        explain = f"EXPLAIN (FORMAT JSON) {statement.sql}"
        return Statement(explain, statement.parameters, statement.positional)

    row = database.fetch(database.statement(("explain", plan), build), planned.values)
    assert row is not None
    explained = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    estimate = int(explained[0]["Plan"]["Plan Rows"])
    return max(estimate, counted or 0)


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else str(body).encode()


def api_error(error: Exception, engine: Engine) -> ApiError:
    """What a database's error means to the client."""
    if isinstance(error, sa.exc.TimeoutError):
        return Unavailable("no free database connection; try again", headers=[RETRY_AFTER])
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    state = str(getattr(original, "sqlstate", None) or "")
    if state.startswith("22"):
        return BadRequest("a value in the request is out of what the database can hold")
    if state == "42501":
        return Forbidden("the database user may not do this")
    if state.startswith(("40", "55", "57", "53")) or "locked" in str(original):
        return Unavailable("the database is busy; try again", headers=[RETRY_AFTER])
    if "overflow" in str(original) or isinstance(original, OverflowError):
        return BadRequest("a number in the request or its result is past 64 bits")
    if _is_down(original, engine):
        return Unavailable("the database can't be reached; try again", headers=[RETRY_AFTER])
    return InternalError("the database refused a statement")


def _is_down(error: object, engine: Engine) -> bool:
    dbapi = engine.dialect.dbapi
    if dbapi is None or not isinstance(error, dbapi.OperationalError | dbapi.InterfaceError):
        return False
    if engine.dialect.name == "sqlite":
        return "unable to open" in str(error) or "disk I/O" in str(error)
    return True
