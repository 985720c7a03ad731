"""An import, in one transaction: rows in batches, and of a batch that is refused, which ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, TypeAlias

import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.orm import Session

from ..errors import ApiError
from ..plan import ImportRow, WritePlan
from ..sql import Statement
from .conflicts import violation, write_error
from .database import Database
from .errors import api_error
from .history import prepare_recording, record
from .insert import make_insert
from .objects import Refused
from .plain import forget_plainness, is_bulk
from .statements import tell_of_insert
from .transaction import transaction
from .write import Writer

Reject: TypeAlias = Callable[[ImportRow, ApiError], None]


class _Unfulfilled(Exception):
    """Not all rows of an INSERT are there, or not as the rules want them."""


def execute_import(
    database: Database, plan: WritePlan, batches: Iterable[Sequence[ImportRow]], reject: Reject
) -> int:
    """Insert the rows, and answer how many were; ``reject`` is told of each that can't be.

    What it raises, and what ``batches`` does, undoes all of it. Raises ApiError.
    """
    try:
        if plan.recording is not None:
            prepare_recording(database, plan.recording)
        with transaction(database, plan.access.who, commit=not plan.dry_run) as session:
            if plan.recording is not None:
                record(database, session, plan.recording)
            inserts = Inserts(database, session, plan, reject)
            count = 0
            for batch in batches:
                count += inserts.add(batch)
            inserts.check_deferred()
            return count
    except Refused as error:
        raise write_error(error, database, plan) from error
    except database.errors as error:
        raise write_error(error, database, plan) from error


class Inserts:
    """The rows of one import within its transaction."""

    def __init__(
        self, database: Database, session: Session, plan: WritePlan, reject: Reject
    ) -> None:
        self._database = database
        self._session = session
        self._plan = plan
        self._reject = reject
        self._refused: list[tuple[ImportRow, ApiError]] = []
        self._refusals: tuple[type[Exception], ...] = (Refused, ApiError, *database.errors)

    def add(self, batch: Sequence[ImportRow]) -> int:
        """Insert those rows of a batch that can be, and answer how many were."""
        self._refused = [(row, row.fault) for row in batch if row.fault is not None]
        count = self._insert([row for row in batch if row.plan is not None])
        for row, error in sorted(self._refused, key=lambda each: each[0].record.number):
            self._reject(row, error)
        return count

    def check_deferred(self) -> None:
        """Find now what only the COMMIT would, where the database can say it."""
        if self._plan.dry_run and self._database.dialect.check_deferred is not None:
            self._session.connection().exec_driver_sql(self._database.dialect.check_deferred)

    def _insert(self, rows: Sequence[ImportRow]) -> int:
        """Insert rows; where they are refused, each half of them, down to the one it is about."""
        if not rows:
            return 0
        plan = replace(self._plan, rows=tuple(row.plan for row in rows if row.plan is not None))
        try:
            with self._session.begin_nested():
                self._write(plan)
            return len(rows)
        except _Unfulfilled:
            pass
        except self._refusals as error:
            self._require_about_rows(error)
            if len(rows) == 1:
                self._refused.append((rows[0], self._told(error, plan)))
                return 0
        finally:
            self._session.expunge_all()
        half = (len(rows) + 1) // 2
        return self._insert(rows[:half]) + self._insert(rows[half:])

    def _require_about_rows(self, error: Exception) -> None:
        """Raise what no row is to blame for."""
        if isinstance(error, Refused) or violation(error) is not None:
            return
        found = error if isinstance(error, ApiError) else api_error(error, self._database.engine)
        if found.status >= 500:
            raise found from error

    def _told(self, error: Exception, plan: WritePlan) -> ApiError:
        if isinstance(error, ApiError):
            return error
        return write_error(error, self._database, plan, self._session.connection())

    def _write(self, plan: WritePlan) -> None:
        """Insert rows by the quickest way that does all that is to be done for them."""
        if len(plan.rows) > 1 and is_bulk(self._database, plan):
            if self._database.dialect.reads_rows:
                made = make_insert(self._database, replace(plan, many=True))
                if made is not None:
                    self._insert_json(plan, *made)
                    return
            elif plan.access.rows(plan.resource, "create") is True:
                self._insert_many(plan)
                return
        Writer(self._database, self._session, plan).write()

    def _insert_json(self, plan: WritePlan, statement: Statement, values: Sequence[Any]) -> None:
        """By one statement; a rule can't be held against rows that triggers change."""
        connection, who = self._session.connection(), plan.access.who
        row = self._database.fetch_within(connection, statement, values, who)
        assert row is not None
        _, count, fulfilled, disturbed = row
        is_ruled = plan.access.rows(plan.resource, "create") is not True
        if disturbed and is_ruled:
            forget_plainness(self._database, plan.resource)
        if not fulfilled or (disturbed and is_ruled) or count != len(plan.rows):
            raise _Unfulfilled
        assert plan.resource.table is not None
        tell_of_insert(self._database.engine, connection.connection, plan.resource.table)

    def _insert_many(self, plan: WritePlan) -> None:
        """By the driver's own way with many rows, those together that have the same fields."""
        table, fields = plan.resource.table, plan.resource.fields
        assert table is not None
        filled = plan.access.values(plan.resource, "create")
        keys = {name: field.column.key for name, field in fields.items()}
        rows = [
            {keys[name]: value for name, value in {**row.values, **filled}.items()}
            for row in plan.rows
        ]
        for _, alike in groupby(rows, key=tuple):
            self._session.connection().execute(sa.insert(table), list(alike))
