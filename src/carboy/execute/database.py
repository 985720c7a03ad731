"""An engine and its statements: the only place on the API path that takes a connection."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Mapper, registry
from sqlalchemy.pool import ManagesConnection, Pool, PoolProxiedConnection, QueuePool, StaticPool

from ..access import Actor
from ..errors import ApiError, BadRequest, LimitExceeded
from ..events import mark, statement_ran
from ..plan.nodes import ExportPlan, ReadPlan, searches
from ..schema import Resource
from ..sql import Statement, compile_export, compile_read, dialect_for
from .deadline import Deadline, Within, has_passed, too_late, unknown_outcome
from .errors import api_error
from .gate import Gate
from .keys import KeysInFlight
from .prepared import Prepared
from .row_security import TELL, told
from .statements import is_heard, tell_of_insert
from .watcher import Watched

_PREPARED = "carboy_prepared"
_INHERITED: list[Pool] = []


class Place:
    """A ``with`` block that has a place at a database; see ``Database.place``.

    Who has one and waited for another could wait for itself, so there is one for each request.
    """

    __slots__ = ("_database", "_deadline", "_within")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deadline: Deadline | None = None

    def __enter__(self) -> Deadline:
        database = self._database
        self._within = Within(database.deadline)
        deadline = self._within.__enter__()
        if not deadline.inside:
            try:
                database.gate.enter(deadline, database.engine.pool)
            except ApiError:
                self._within.__exit__()
                raise
            deadline.inside = True
            self._deadline = deadline
        return deadline

    def __exit__(self, *_: object) -> None:
        if self._deadline is not None:
            self._deadline.inside = False
            self._database.gate.leave()
        self._within.__exit__()


class Database:
    """An engine, what its SQL looks like, and the statements compiled for it so far.

    With ``row_security`` the database is told who asks, in the transaction of each statement. A
    request may take ``deadline`` seconds; as many as ``queue`` wait for a connection. So many
    ``exports`` run at a time, and they leave half of the connections to others.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        statements: int,
        row_security: bool = False,
        deadline: float = 15,
        queue: int = 100,
        exports: int = 4,
    ) -> None:
        self.engine = engine
        self.row_security = row_security
        self.deadline = deadline
        self.gate = Gate(engine.pool, queue, deadline)
        self.exporting = threading.BoundedSemaphore(max(1, min(exports, self.gate.places // 2)))
        self._watched = Watched(engine)
        self.driver = self._watched.driver
        self.dialect = dialect_for(engine.dialect.name)
        self._size = statements
        self._statements: OrderedDict[object, Statement] = OrderedDict()
        self._lock = threading.Lock()
        self._inspected = False
        self._done: set[str] = set()
        self._doing = threading.Lock()
        self.keys = KeysInFlight()
        self._mappers: dict[str, Mapper[Any]] = {}
        # What is found out once of a resource, by what it is.
        self.facts: dict[tuple[type, Resource], Any] = {}
        # psycopg opens a transaction before each statement unless told not to.
        self._autocommit = engine.dialect.name == "postgresql"
        if engine.dialect.name == "postgresql":
            # For sessions of the application's own, before any request has had the connection.
            sa.event.listen(engine, "connect", self._prepare)
        _DATABASES.add(self)

    def place(self) -> Place:
        """One of as many places as there are connections; every connection is taken within one.

        It is within the request's deadline, or one of its own. Raises Unavailable and
        DeadlineExceeded.
        """
        return Place(self)

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A connection, as SQLAlchemy has them."""
        with self.place(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def watched(self, connection: sa.Connection | ManagesConnection) -> Iterator[None]:
        """End what a connection of somebody else's does, such as a session's, if it is late."""
        with Within(self.deadline):
            managed = connection.connection if isinstance(connection, sa.Connection) else connection
            watch = self._watched.begin(managed, connection.invalidate)
            try:
                yield
            finally:
                if watch is not None:
                    watch.release()

    def forget_connections(self) -> None:
        """Leave the pooled connections alone: they are those of the process that was forked.

        Both would read from one socket. They aren't closed either, which would end them there.
        """
        self._lock, self._doing, self.keys = threading.Lock(), threading.Lock(), KeysInFlight()
        self.gate = Gate(self.engine.pool, self.gate.queue, self.deadline)
        if isinstance(self.engine.pool, QueuePool):
            # Kept, for a connection that nobody refers to is closed.
            _INHERITED.append(self.engine.pool)
            self.engine.dispose(close=False)

    def statement(self, key: object, build: Callable[[], Statement]) -> Statement:
        """The kept statement for a plan, or a newly built one; the oldest unused is dropped."""
        with self._lock:
            kept = self._statements.get(key)
            if kept is not None:
                self._statements.move_to_end(key)
                return kept
        mark("execute")
        statement = build()
        mark("compile")
        with self._lock:
            self._statements[key] = statement
            if len(self._statements) > self._size:
                self._statements.popitem(last=False)
        return statement

    def once(self, name: str, run: Callable[[], None]) -> None:
        """Run what each process needs once, such as making a table; others wait for it."""
        if name in self._done:
            return
        with self.place() as deadline:
            if not self._doing.acquire(timeout=max(0, deadline.left)):
                raise too_late()
            try:
                if name not in self._done:
                    run()
                    self._done.add(name)
            finally:
                self._doing.release()

    def read_statement(self, plan: ReadPlan | ExportPlan) -> Statement:
        """The statement of a read plan."""
        return self.statement(plan, lambda: self._compiled(plan))

    def _compiled(self, plan: ReadPlan | ExportPlan) -> Statement:
        if self.dialect.inspects and not self._inspected and searches(plan):
            self._inspect()
        if isinstance(plan, ExportPlan):
            dialect, copied = self.engine.dialect, self.driver.copies
            return compile_export(plan, self.dialect, dialect, copied=copied)
        return compile_read(plan, self.dialect, self.engine.dialect)

    def _inspect(self) -> None:
        """Let the dialect look for indexes, once, before the first search is compiled."""
        with self.place():
            try:
                with self.connect() as connection:
                    self.dialect.inspect(connection.connection.driver_connection)
            except self.errors as error:
                raise api_error(error, self.engine) from error
        self._inspected = True

    def fetch(
        self, statement: Statement, values: Sequence[Any], who: Actor | None = None
    ) -> Sequence[Any] | None:
        """The one row of a statement; a connection that has gone stale is replaced once.

        ``who`` asks for it; None where Carboy itself does.
        """
        bound = bind_values(statement, values)
        with self.place():
            try:
                return self._fetch(statement, bound, who if self.row_security else None, retry=True)
            except self.errors as error:
                raise api_error(error, self.engine) from error

    def write(
        self,
        table: sa.Table,
        statement: Statement,
        values: Sequence[Any],
        accept: Callable[[Sequence[Any]], bool] | None,
    ) -> Sequence[Any] | None:
        """The one row of a statement that inserts, committed if it is accepted; else None.

        One that fails where its row isn't to stay needs nobody to ``accept`` it: unless somebody
        has to know of it before the COMMIT, it is sent without a transaction around it. Raises
        ``errors``, after which nothing has been changed, or ``unknown_outcome``.
        """
        bound = statement.bind(values)
        with self.place():
            connection = self._living_connection()
            alone = False
            try:
                prepared = self.prepare(connection)
                alone = (
                    accept is None
                    and prepared is not None
                    and prepared.begins_plainly()
                    and not is_heard(self.engine)
                )
                if alone:
                    return self._run(connection, statement, bound, None)
                row = self._one_row(connection, statement.sql, statement.named(bound))
                if row is None or not (accept is None or accept(row)):
                    connection.rollback()
                    return None
                tell_of_insert(self.engine, connection, table, commits=True)
                self._commit(connection)
            except self._driver_error() as error:
                if self.is_disconnect(error, connection):
                    self.renew_connections()
                    connection.invalidate(error)
                    if alone:
                        raise unknown_outcome() from error
                else:
                    connection.rollback()
                raise
            finally:
                connection.close()
        return row

    def _living_connection(self) -> PoolProxiedConnection:
        """A connection that the server hasn't ended while it was in the pool, as far as is seen."""
        connection = self.engine.raw_connection()
        # A new one is there, and not prepared yet.
        prepared: Prepared | None = connection.info.get(_PREPARED)
        if prepared is None or prepared.is_alive():
            return connection
        self.renew_connections()
        connection.invalidate()
        connection.close()
        return self.engine.raw_connection()

    def _commit(self, connection: ManagesConnection) -> None:
        driver = connection.driver_connection
        assert driver is not None
        try:
            driver.commit()
        except self._driver_error() as error:
            if self.is_disconnect(error, connection):
                raise unknown_outcome() from error
            raise

    def is_disconnect(self, error: Any, connection: ManagesConnection) -> bool:
        """Whether a driver's error says that the connection is lost."""
        return self.engine.dialect.is_disconnect(error, connection.driver_connection, None)

    def mapper(self, resource: Resource) -> Mapper[Any]:
        """The mapper that writes go through: a table without a class gets one of its own."""
        if resource.mapper is not None:
            return resource.mapper
        with self._lock:
            if resource.name not in self._mappers:
                self._mappers[resource.name] = _map_table(resource)
            return self._mappers[resource.name]

    def fetch_within(
        self, connection: sa.Connection, statement: Statement, values: Sequence[Any], who: Actor
    ) -> Sequence[Any] | None:
        """The one row of a statement, in the connection's own transaction; raises ``errors``."""
        self.prepare(connection.connection)
        self.tell(connection, who)
        parameters = statement.named(statement.bind(values))
        return self._one_row(connection.connection, statement.sql, parameters)

    def tell(self, connection: sa.Connection, who: Actor) -> None:
        """Let row-level security know who asks, until the connection's transaction ends."""
        if self.row_security:
            connection.exec_driver_sql(TELL, told(who))

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What SQLAlchemy raises, and what the driver does where it is used directly."""
        return sa.exc.SQLAlchemyError, self._driver_error()

    def _fetch(
        self, statement: Statement, bound: Sequence[Any], who: Actor | None, *, retry: bool
    ) -> Sequence[Any] | None:
        shared = self.shared
        if shared is not None:
            with self.watched(shared):
                return self._run(shared, statement, bound, who)
        connection = self.engine.raw_connection()
        try:
            return self._run(connection, statement, bound, who)
        except self._driver_error() as error:
            if not self.is_disconnect(error, connection):
                raise
            # The others in the pool are as old as the one that broke.
            self.renew_connections()
            connection.invalidate(error)
            if not retry or has_passed():
                raise
        finally:
            connection.close()
        return self._fetch(statement, bound, who, retry=False)

    @property
    def shared(self) -> ManagesConnection | None:
        """The one connection of a pool that has no other: it is everybody's.

        To give it back would roll a session's work back.
        """
        pool = self.engine.pool
        if isinstance(pool, StaticPool) and pool.connection.driver_connection is not None:
            return pool.connection
        return None

    def renew_connections(self) -> None:
        """Have each connection of the pool opened anew when it is next taken.

        To dispose of the pool would make a second one beside the connections that are in use.
        """
        self.engine.pool._invalidate_time = time.time()

    def _run(
        self,
        connection: ManagesConnection,
        statement: Statement,
        bound: Sequence[Any],
        who: Actor | None,
    ) -> Sequence[Any] | None:
        driver = connection.driver_connection
        assert driver is not None
        prepared = self.prepare(connection)
        if who is not None:
            with driver.transaction():
                self._one_row(driver, TELL, told(who))
                return self._one_row(driver, statement.sql, statement.named(bound))
        if statement.numbered is not None and prepared is not None and prepared.is_idle:
            started = perf_counter()
            try:
                return prepared.fetch(statement, bound)
            finally:
                statement_ran(statement.sql, started)
        if self._autocommit:
            driver.autocommit = True
        try:
            return self._one_row(driver, statement.sql, statement.named(bound))
        finally:
            if self._autocommit and not driver.closed:
                driver.autocommit = False

    def _one_row(self, connection: Any, sql: str, parameters: Any) -> Sequence[Any] | None:
        cursor = connection.cursor()
        started = perf_counter()
        try:
            cursor.execute(sql, parameters)
            row: Sequence[Any] | None = cursor.fetchone()
            self.require_whole(cursor)
            return row
        finally:
            statement_ran(sql, started)
            cursor.close()

    def require_whole(self, cursor: Any) -> None:
        """Refuse the result of a statement that the database has cut."""
        if self.dialect.was_cut(cursor):
            # The application may have changed what the connection was told.
            self.dialect.prepare(cursor.connection)
            raise LimitExceeded(
                "the answer is larger, or nested deeper, than the database can make; ask for less"
            )

    def prepare(self, connection: ManagesConnection) -> Prepared | None:
        """Make a driver connection ready once: connections are the application's as well.

        What reads without a cursor is answered, where that can be.
        """
        return self._prepare(connection.driver_connection, connection)

    def _prepare(self, driver: Any, connection: ManagesConnection) -> Prepared | None:
        info = connection.info
        if _PREPARED not in info:
            self.dialect.prepare(driver)
            self._watched.driver.limit_waiting(driver, self.deadline)
            info[_PREPARED] = Prepared(driver) if Prepared.fits(driver) else None
        prepared: Prepared | None = info[_PREPARED]
        return prepared

    def _driver_error(self) -> type[Any]:
        dbapi = self.engine.dialect.dbapi
        assert dbapi is not None
        error: type[Any] = dbapi.Error
        return error


_DATABASES: WeakSet[Database] = WeakSet()


def _forget_connections() -> None:
    for database in list(_DATABASES):
        database.forget_connections()


# Servers that fork their workers from a process that has loaded the application. To look at the
# process's number in each request would do it as well, and cost each request.
os.register_at_fork(after_in_child=_forget_connections)


def bind_values(statement: Statement, values: Sequence[Any]) -> list[Any]:
    """The driver's parameters of a statement; BadRequest for values that it can't have."""
    try:
        return statement.bind(values)
    except (ValueError, OverflowError) as error:
        raise BadRequest("a value in the request can't be stored in its column") from error


def to_bytes(body: Any) -> bytes:
    """A body as the driver hands it over: bytes, or text."""
    return body if isinstance(body, bytes) else str(body).encode()


def _map_table(resource: Resource) -> Mapper[Any]:
    """A class of no behaviour for a table, so that every write takes the same way."""
    class_ = type("Row", (), {})
    properties = {field.name: field.column for field in resource.fields.values()}
    key = [field.column for field in resource.key]
    return registry().map_imperatively(
        class_, resource.source, properties=properties, primary_key=key
    )
