"""An application's own select to its result, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from ..access import Actor
from ..plan import PlannedView, ReadResult
from ..sql import Statement, compile_select, view_statement
from .database import Database, to_bytes
from .errors import api_error


def execute_view(
    database: Database,
    planned: PlannedView,
    who: Actor,
    session: Session | scoped_session[Any] | None,
) -> ReadResult | None:
    """Run a view; within ``session``'s open transaction where one is given. None without a row."""
    statement, values = _compiled(database, planned)
    try:
        if session is not None:
            own = session() if isinstance(session, scoped_session) else session
            row = _within(database, own, planned.plan.bind, statement, values, who)
        else:
            row = database.fetch(statement, values, who)
    except IntegrityError:
        # What the session had not yet flushed is the application's affair.
        raise
    except database.errors as error:
        raise api_error(error, database.engine) from error
    if row is None:
        return None
    if planned.plan.one:
        return ReadResult(to_bytes(row[0]))
    return ReadResult(to_bytes(row[0]), rows=row[1], total=row[2])


def _within(
    database: Database,
    session: Session,
    bind: str | None,
    statement: Statement,
    values: Sequence[Any],
    who: Actor,
) -> Sequence[Any] | None:
    """The row of a statement in a session, which has its connection already, or takes one."""
    with ExitStack() as stack:
        if not session.in_transaction():
            stack.enter_context(database.place())
        # The session itself knows where the default database is.
        where = {"bind": database.engine} if bind is not None else {}
        connection = session.connection(bind_arguments=where)
        stack.enter_context(database.watched(connection))
        session.flush()
        return database.fetch_within(connection, statement, values, who)


def _compiled(database: Database, planned: PlannedView) -> tuple[Statement, tuple[Any, ...]]:
    """The statement for selects of this form, kept where that can be told, and its values.

    SQLAlchemy's own cache key tells the form of a select from the values in it.
    """
    key = planned.select._generate_cache_key()
    binds = key.bindparams if key is not None else []
    first = len(planned.values)
    positions = {bind.key: first + index for index, bind in enumerate(binds)}

    def build() -> Statement:
        select = view_statement(planned, database.dialect)
        return compile_select(select, database.engine.dialect, positions)

    values = (*planned.values, *(bind.effective_value for bind in binds))
    if key is None:
        return build(), values
    return database.statement((planned.plan, key.key), build), values
