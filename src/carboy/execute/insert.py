"""New rows by one statement, where nothing but the database has a say in them.

It accepts, and explains nothing: whatever goes wrong is taken back, and left to the way through
mapped objects, which finds out what it was.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.engine.interfaces import Dialect as EngineDialect

from ..access import Condition
from ..plan import WritePlan, WriteResult
from ..schema import Field, Kind, Resource, key_text
from ..sql import RowInsert, Statement, compile_row, insert_rows
from .database import Database, to_bytes
from .deadline import has_passed
from .errors import api_error, state_of
from .plain import forget_plainness

_NO_VALUE = object()
_DIVISION_BY_ZERO = "22012"


def insert_plain(database: Database, plan: WritePlan) -> WriteResult | None:
    """Insert the rows of a plan that ``is_plain``; None where that didn't go well."""
    made = make_insert(database, plan)
    if made is None:
        return None
    table = plan.resource.table
    assert table is not None
    accept = partial(_are_whole, database, plan) if plan.many else None
    try:
        row = database.write(table, *made, accept)
    except database.errors as error:
        if has_passed():
            raise api_error(error, database.engine) from error
        if not plan.many and state_of(error) == _DIVISION_BY_ZERO:
            _look(database, plan, table)
        return None
    return None if row is None else _result(plan, row)


def _are_whole(database: Database, plan: WritePlan, row: Sequence[Any]) -> bool:
    """Whether all rows are there, and as the rules want them."""
    _, count, fulfilled, disturbed = row
    if disturbed:
        forget_plainness(database, plan.resource)
    return fulfilled is True and not disturbed and count == len(plan.rows)


def _look(database: Database, plan: WritePlan, table: sa.Table) -> None:
    """Find out whether a row was refused for its table, which will refuse the next as well."""
    made = make_insert(database, replace(plan, many=True))
    if made is not None:
        with suppress(*database.errors):
            database.write(table, *made, lambda row: _are_whole(database, plan, row) and False)


def make_insert(database: Database, plan: WritePlan) -> tuple[Statement, list[Any]] | None:
    """The statement of a plan and its values; None where one statement can't have all rows."""
    resource = plan.resource
    writers = _writers(database, resource)
    filled = plan.access.values(resource, "create")
    rows = (
        [{**row.values, **filled} for row in plan.rows] if filled else [r.values for r in plan.rows]
    )
    given = set().union(*rows)
    chosen = [writer for writer in writers if writer.is_needed(given)]
    if not chosen:
        return None
    try:
        documents: Sequence[Any] = rows
        if any(writer.converts or any(writer.key not in row for row in rows) for writer in chosen):
            documents = [{writer.key: writer(row) for writer in chosen} for row in rows]
        encoded = msgspec.json.encode(documents).decode()
    except (TypeError, ValueError, LookupError):
        # Such as a moment with a time zone for a column without: what comes of it, the driver says.
        return None
    rule = plan.access.rows(resource, "create")
    condition = rule if isinstance(rule, Condition) else None
    returning = plan.returning
    insert = RowInsert(
        resource=resource,
        fields=tuple(writer.field for writer in chosen),
        form=None if condition is None else condition.form,
        returning=None if returning is None else returning.plan,
        values=0 if returning is None else len(returning.values),
        many=plan.many,
    )
    statement = database.statement(insert, lambda: _compiled(database, insert))
    values = [
        *(() if returning is None else returning.values),
        *(() if condition is None else condition.values),
        encoded,
    ]
    return statement, values


def _compiled(database: Database, insert: RowInsert) -> Statement:
    return compile_row(insert_rows(insert, database.dialect), database.engine.dialect)


def _writers(database: Database, resource: Resource) -> list[Writer]:
    key = (Writer, resource)
    if key not in database.facts:
        dialect = database.engine.dialect
        database.facts[key] = [Writer(field, dialect) for field in resource.fields.values()]
    found: list[Writer] = database.facts[key]
    return found


class Writer:
    """Takes a field's value out of a row, as JSON that the database reads as the column's."""

    def __init__(self, field: Field, dialect: EngineDialect) -> None:
        self.field = field
        self.key = field.name
        column: Any = field.column
        self._default = column.default
        self._process = _processor(field, dialect)
        self._naive = field.type.kind is Kind.DATETIME and not field.type.aware
        self.converts = self._naive or self._process is not None
        # What a row leaves out is NULL, unless the database, or the type, makes more of it.
        self._omitted_is_null = not (
            field.has_default or field.generated or column.type.should_evaluate_none
        )

    def is_needed(self, given: Container[str]) -> bool:
        """Whether the INSERT names the field: some row has it, or all get a default of Python's."""
        return self.key in given or self._default is not None

    def __call__(self, row: Mapping[str, Any]) -> Any:
        value = row.get(self.key, _NO_VALUE)
        if value is _NO_VALUE:
            value = self._left_out()
        if self._naive and isinstance(value, dt.datetime) and value.tzinfo is not None:
            raise ValueError(self.key)
        return value if self._process is None else self._process(value)

    def _left_out(self) -> Any:
        if self._default is not None:
            # A function of no arguments, which SQLAlchemy has wrapped into one of a context.
            return self._default.arg(None) if self._default.is_callable else self._default.arg
        if not self._omitted_is_null:
            raise LookupError(self.key)
        return None


def _processor(field: Field, dialect: Any) -> Callable[[Any], Any] | None:
    """What makes of an attribute's value the text or number that the database is to read."""
    type_: Any = field.column.type
    match field.type.kind:
        case Kind.JSON:
            # The driver's own wraps it for the driver.
            dumps = dialect._json_serializer or json.dumps
            return lambda value: None if value is None and type_.none_as_null else dumps(value)
        case Kind.BOOLEAN:
            # It has nothing but a check, which the database makes as well.
            return None
        case _:
            process: Callable[[Any], Any] | None
            process = type_.dialect_impl(dialect).bind_processor(dialect)
            return process


def _result(plan: WritePlan, row: Sequence[Any]) -> WriteResult:
    body = None if row[0] is None else to_bytes(row[0])
    if plan.many:
        return WriteResult(row[1], row[1], body)
    key = plan.resource.key
    values = zip(key, row[2:], strict=False)
    return WriteResult(1, 1, body, tuple(key_text(f, value) for f, value in values), row[1])
