"""Statements that SQLAlchemy runs, such as those of writes, are noticed as direct ones are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from time import perf_counter
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.engine.events import ConnectionEvents, DialectEvents
from sqlalchemy.pool import ManagesConnection

from ..events import statement_ran

_NOTICED: WeakSet[Engine] = WeakSet()


class Ear(Protocol):
    """Whoever has to know of every write through an engine before its COMMIT.

    It listens to SQLAlchemy, by so many listeners, and is told of what goes past that.
    """

    listeners: int

    def hears(self) -> bool:
        """Whether there is anything to know for now."""

    def inserting(
        self, connection: ManagesConnection, table: sa.Table, dialect: str, *, commits: bool
    ) -> None:
        """Rows were inserted on a driver's connection, which ``commits`` next, or sometime."""


_EARS: WeakKeyDictionary[Engine, list[Ear]] = WeakKeyDictionary()


def _listeners(events: Any, *but: str) -> Callable[[Any], Sequence[Any]]:
    """What takes all lists of listeners out of what tells them."""
    return attrgetter(*(name for name in events.dispatch._event_names if name not in but))


_OF_ENGINE = _listeners(ConnectionEvents)
# Connections are made in any case.
_OF_DIALECT = _listeners(DialectEvents, "do_connect")


def notice_statements(engine: Engine) -> None:
    """Tell of each statement of an engine, even of those that fail."""
    if engine in _NOTICED:
        return
    _NOTICED.add(engine)
    sa.event.listen(engine, "before_cursor_execute", _before)
    sa.event.listen(engine, "after_cursor_execute", _after)
    sa.event.listen(engine, "handle_error", _failed)


def only_ours(engine: Engine) -> bool:
    """Whether nobody but Carboy listens to what SQLAlchemy does on an engine."""
    listeners = sum(map(len, _OF_ENGINE(engine.dispatch)))
    listeners += sum(map(len, _OF_DIALECT(engine.dialect.dispatch)))
    expected = sum(ear.listeners for ear in _EARS.get(engine, ()))
    return listeners == expected + (3 if engine in _NOTICED else 0)


def add_ear(engine: Engine, ear: Ear) -> None:
    """Let somebody hear of the engine's writes."""
    _EARS.setdefault(engine, []).append(ear)


def is_heard(engine: Engine) -> bool:
    """Whether anybody has to know of writes before their COMMIT."""
    return any(ear.hears() for ear in _EARS.get(engine, ()))


def tell_of_insert(
    engine: Engine, connection: ManagesConnection, table: sa.Table, *, commits: bool = False
) -> None:
    """Tell of rows that were inserted without SQLAlchemy."""
    for ear in _EARS.get(engine, ()):
        ear.inserting(connection, table, engine.dialect.name, commits=commits)


def _before(_: Any, __: Any, ___: str, ____: Any, context: Any, _____: bool) -> None:
    context.carboy_started = perf_counter()


def _after(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: bool) -> None:
    statement_ran(statement, context.carboy_started)


def _failed(failure: Any) -> None:
    started = getattr(failure.execution_context, "carboy_started", None)
    if started is not None and failure.statement is not None:
        statement_ran(failure.statement, started)
