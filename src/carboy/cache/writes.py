"""Every write of this process, whoever makes it: its tables are marked, and finished after it.

SQLAlchemy tells of each statement, each COMMIT and each connection that is given back. So what
the application's own sessions write is seen as Carboy's writes are, which tell of what they insert
past SQLAlchemy. What the application itself does on a driver connection isn't seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ManagesConnection

from ..execute import add_ear
from ..sql import changed_tables, survey
from .entangled import Entangled, entangled
from .store import Store
from .versions import ANYTHING, EVERYTHING, Places


class Reads:
    """What a view of the application's own has read so far of the database that ``writes`` hears.

    ``elsewhere`` says that it has read from another database, too.
    """

    def __init__(self, writes: Writes) -> None:
        self.writes = writes
        self.places: set[int] = set()
        self.elsewhere = False


READS: ContextVar[Reads | None] = ContextVar("carboy_reads", default=None)
"""Those of the cached view that runs here."""

_OWN = "carboy_"
# Text that changes no rows. What follows WITH or EXPLAIN may, and so may SELECT ... INTO.
_HARMLESS = re.compile(
    r"\s*\(*(SELECT(?!.*\bINTO\b)|SHOW|SET|RESET|PRAGMA|BEGIN|START|SAVEPOINT|RELEASE|ROLLBACK"
    r"|COMMIT|VALUES|LISTEN|UNLISTEN|NOTIFY|DEALLOCATE|DESCRIBE|USE|KILL|ANALYZE)\b",
    re.IGNORECASE | re.DOTALL,
)


class Writes:
    """The writes through one engine; ``store`` is asked for at the first, and may be None."""

    listeners = 5
    """Those of the engine; the pool has two more."""

    def __init__(self, engine: Engine, store: Callable[[], Store | None]) -> None:
        self._store = store
        self._entangled: Entangled | None = None
        self._changed: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._surveyed: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        listen = sa.event.listen
        listen(engine, "before_cursor_execute", self._before)
        for name in ("commit", "commit_twophase"):
            listen(engine, name, self._committing)
        listen(engine, "begin", self._beginning)
        listen(engine, "rollback", self._rolled_back)
        listen(engine, "checkin", lambda _, record: self._ended(record.info))
        listen(engine, "invalidate", lambda _, record, __: record.info.pop(self, None))
        add_ear(engine, self)

    def entangled(self, connection: sa.Connection) -> Entangled:
        """How the database's tables hang together."""
        return self._known(connection.connection, connection.dialect.name)

    def _known(self, connection: ManagesConnection, dialect: str) -> Entangled:
        if self._entangled is None:
            self._entangled = entangled(connection, dialect)
        return self._entangled

    def hears(self) -> bool:
        """Whether there is a store that writes make answers of unreachable."""
        return self._store() is not None

    def inserting(
        self, connection: ManagesConnection, table: sa.Table, dialect: str, *, commits: bool
    ) -> None:
        """Rows were inserted on a driver's connection, which ``commits`` next, or sometime."""
        store = self._store()
        if store is None:
            return
        unit = connection.info.setdefault(self, _Unit(store))
        unit.changes.append(([table], False))
        if commits:
            unit.mark(self._known(connection, dialect))

    def _before(
        self, connection: sa.Connection, _: Any, statement: str, __: Any, context: Any, ___: bool
    ) -> None:
        store = self._store()
        if store is None:
            return
        changed = self._tables_changed(statement, context)
        if changed is None:
            self._note_read(connection, context)
            return
        unit = connection.info.setdefault(self, _Unit(store))
        unit.changes.append(changed)
        if _commits_at_once(connection):
            unit.mark(self.entangled(connection))

    def _tables_changed(self, statement: str, context: Any) -> Any:
        """What ``changed_tables`` says; of text whose tables aren't known an empty set."""
        compiled = context.compiled if context is not None else None
        if compiled is not None and not context.isddl:
            if compiled not in self._changed:
                self._changed[compiled] = changed_tables(compiled.statement)
            changed = self._changed[compiled]
            if changed is not None:
                mapped = [table for table in changed[0] if not table.name.startswith(_OWN)]
                return (mapped, changed[1]) if mapped or not changed[0] else None
            if not isinstance(compiled.statement, sa.TextClause):
                return None
        if _HARMLESS.match(statement) or _makes_own(context):
            return None
        # It may have made tables, views or triggers.
        self._entangled = None
        return (), True

    def _note_read(self, connection: sa.Connection, context: Any) -> None:
        """Let a cached view know which tables it has read."""
        reads = READS.get()
        if reads is None:
            return
        reads.elsewhere |= reads.writes is not self
        compiled = context.compiled if context is not None else None
        if compiled is None:
            reads.places.add(ANYTHING)
            return
        if compiled not in self._surveyed:
            self._surveyed[compiled] = survey(compiled.statement, connection.dialect)
        found = self._surveyed[compiled]
        reads.places.update(self.entangled(connection).read(found.tables))
        if not found.whole:
            reads.places.add(ANYTHING)

    def _committing(self, connection: sa.Connection, *_: Any) -> None:
        unit = connection.info.get(self)
        if unit is not None:
            unit.mark(self.entangled(connection))

    def _beginning(self, connection: sa.Connection) -> None:
        """The COMMIT before, on the same connection, is over."""
        unit = connection.info.get(self)
        if unit is not None:
            unit.finish()

    def _rolled_back(self, connection: sa.Connection) -> None:
        # One that was lost has nothing to ask any more; its end was told as "invalidate".
        if not connection.invalidated:
            self._ended(connection.info)

    def _ended(self, info: Any) -> None:
        """After a COMMIT, or a ROLLBACK; of a connection that was lost in a COMMIT nobody hears.

        Nobody knows then what becomes of it, so its marks stay until they are over.
        """
        unit = info.pop(self, None)
        if unit is not None:
            unit.finish()


def _makes_own(context: Any) -> bool:
    """Whether a statement makes a table of Carboy's own, or its index."""
    if context is None or not context.isddl:
        return False
    element = getattr(context.compiled.statement, "element", None)
    name = getattr(getattr(element, "table", element), "name", None)
    return isinstance(name, str) and name.startswith(_OWN)


class _Unit:
    """What one connection has written since its last COMMIT."""

    def __init__(self, store: Store) -> None:
        self.changes: list[tuple[list[sa.Table], bool]] = []
        self._store = store
        self._marks: list[tuple[Places, Any]] = []

    def mark(self, how: Entangled) -> None:
        places: set[int] = set()
        for tables, replaces in self.changes:
            found = how.written(tables, replaces=replaces) if tables else (EVERYTHING, ANYTHING)
            places.update(found)
        self.changes.clear()
        if places:
            marked = tuple(sorted(places))
            self._marks.append((marked, self._store.mark(marked)))

    def finish(self) -> None:
        for places, marked in self._marks:
            self._store.finish(places, marked)
        self._marks.clear()


def _commits_at_once(connection: sa.Connection) -> bool:
    """Whether the driver has been told to commit each statement."""
    asked = connection.get_execution_options().get("isolation_level")
    engine = connection.engine.get_execution_options().get("isolation_level")
    return "AUTOCOMMIT" in (asked, engine) or bool(
        connection.dialect._on_connect_isolation_level == "AUTOCOMMIT"
    )
