"""An application's own select to its result, in one statement."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from ..plan import PlannedView, ReadResult
from ..sql import Statement, compile_select, view_statement
from .database import Database, to_bytes
from .errors import api_error


def execute_view(
    database: Database, planned: PlannedView, session: Session | scoped_session[Any] | None
) -> ReadResult | None:
    """Run a view; within ``session``'s open transaction where one is given. None without a row."""
    statement, values = _compiled(database, planned)
    try:
        if statement is None:
            row = _execute_core(database, planned, session)
        elif session is not None:
            session.flush()
            row = database.fetch_within(session.connection(), statement, values)
        else:
            row = database.fetch(statement, values)
    except IntegrityError:
        # What the session has not yet flushed is the application's affair.
        raise
    except database.errors as error:
        raise api_error(error, database.engine) from error
    if row is None:
        return None
    if planned.plan.one:
        return ReadResult(to_bytes(row[0]))
    return ReadResult(to_bytes(row[0]), rows=row[1], total=row[2])


def _compiled(database: Database, planned: PlannedView) -> tuple[Statement | None, tuple[Any, ...]]:
    """The kept statement for selects of this form, and the values of this one.

    SQLAlchemy's own cache key tells the form of a select from the values in it. A list in an
    ``in_()`` is a value to it but changes the SQL, so such a select is not kept.
    """
    key = planned.select._generate_cache_key()
    if key is None or any(bind.expanding for bind in key.bindparams):
        return None, ()
    first = len(planned.values)
    positions = {bind.key: first + index for index, bind in enumerate(key.bindparams)}

    def build() -> Statement:
        select = view_statement(planned, database.dialect)
        return compile_select(select, database.engine.dialect, positions)

    statement = database.statement((planned.plan, key.key), build)
    return statement, (*planned.values, *(bind.effective_value for bind in key.bindparams))


def _execute_core(
    database: Database, planned: PlannedView, session: Session | scoped_session[Any] | None
) -> Any:
    values = {f"v{index}": value for index, value in enumerate(planned.values)}
    select: sa.Select[Any] = view_statement(planned, database.dialect)
    if session is not None:
        session.flush()
        connection = session.connection()
        database.prepare(connection.connection)
        return connection.execute(select, values).first()
    with database.connect() as connection:
        return connection.execute(select, values).first()
