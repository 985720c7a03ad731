"""Statements that SQLAlchemy runs, such as those of writes, are noticed as direct ones are."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from ..events import statement_ran


def notice_statements(engine: Engine) -> None:
    """Tell of each statement of an engine, even of those that fail."""
    if sa.event.contains(engine, "before_cursor_execute", _before):
        return
    sa.event.listen(engine, "before_cursor_execute", _before)
    sa.event.listen(engine, "after_cursor_execute", _after)
    sa.event.listen(engine, "handle_error", _failed)


def _before(_: Any, __: Any, ___: str, ____: Any, context: Any, _____: bool) -> None:
    context.carboy_started = perf_counter()


def _after(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: bool) -> None:
    statement_ran(statement, context.carboy_started)


def _failed(failure: Any) -> None:
    started = getattr(failure.execution_context, "carboy_started", None)
    if started is not None and failure.statement is not None:
        statement_ran(failure.statement, started)
