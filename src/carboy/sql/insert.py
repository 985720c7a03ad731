"""One INSERT of any number of rows, which PostgreSQL reads from JSON and answers as JSON.

The rows travel as one parameter, so that one prepared statement serves one row and thousands.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.sql import FromClause

from ..access import Form
from ..plan import ReadPlan
from ..schema import Field, Kind, Resource
from .dialects import Dialect, Expression, stored_columns
from .expressions import own_column, policy_condition, slot_name
from .read import ReadBuilder

# Whether the table may make of rows something else than what RETURNING tells.
_DISTURBED = """(
SELECT c.relispartition OR c.relhasrules OR EXISTS (
  SELECT 1 FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
FROM pg_catalog.pg_class AS c WHERE c.oid = (SELECT n.tableoid FROM new_rows AS n LIMIT 1))"""


class RowInsert(Struct, frozen=True):
    """The shape of an INSERT: ``fields`` are those that its rows have.

    ``form`` is the condition that each new row must fulfil, ``returning`` how they are answered:
    as an array where there are ``many``. The parameters are the values of ``returning``, which
    are ``values`` in number, those of ``form``, and the rows as JSON.
    """

    resource: Resource
    fields: tuple[Field, ...]
    form: Form | None
    returning: ReadPlan | None
    values: int
    many: bool


def insert_rows(insert: RowInsert, dialect: Dialect) -> sa.Select[Any]:
    """The statement, which answers one row: first the rows' JSON.

    Of ``many`` it then tells how many there are; whether all fulfil the conditions; and whether the
    table has triggers or the like, whose doing RETURNING doesn't tell. A single row that doesn't
    fulfil them, or that is in such a table, is a division by zero, so that no transaction has to
    wait for what becomes of it. Else its version and its key follow.
    """
    new = _new_rows(insert)
    fulfilled: Expression = sa.true()
    body: Expression = sa.null()
    version: Expression = sa.null()
    if insert.returning is not None:
        builder = ReadBuilder(dialect, insert.returning.allowed)
        fulfilled = builder.expressions.limited(insert.resource, new, None)
        body = builder.object(insert.returning.root, new)
        columns = stored_columns(insert.resource, new, insert.returning.versioned)
        version = dialect.row_version(columns)
    if insert.form is not None:
        types = insert.form.types.values()
        names = [slot_name(insert.values + index) for index in range(len(types))]
        binds = [sa.bindparam(name, type_=type_) for name, type_ in zip(names, types, strict=True)]
        fulfilled = sa.and_(fulfilled, policy_condition(insert.resource, insert.form, binds, new))
    fulfilled = sa.func.coalesce(fulfilled, sa.false(), type_=sa.Boolean)
    disturbed = sa.literal_column(_DISTURBED, sa.Boolean)
    if insert.many:
        body = body if insert.returning is None else dialect.body(dialect.json_aggregate(body))
        fulfilled = sa.func.bool_and(fulfilled, type_=sa.Boolean)
        return sa.select(body, sa.func.count(), fulfilled, disturbed).select_from(new)
    body = body if insert.returning is None else dialect.body(body)
    key = [own_column(new, field.column) for field in insert.resource.key]
    one: Expression = sa.literal_column("1")
    # Asked even where a trigger has left no row.
    asked = sa.select(one.label("one")).subquery("asked")
    stays = one // sa.case((sa.and_(fulfilled, sa.not_(disturbed)), one), else_=one - one)
    return sa.select(body, version, *key, stays).select_from(asked.outerjoin(new, sa.true()))


def _new_rows(insert: RowInsert) -> FromClause:
    """The INSERT as what to select from: its rows as the table has them now."""
    table, index = insert.resource.table, insert.values
    assert table is not None
    if insert.form is not None:
        index += len(insert.form.types)
    rows = sa.cast(sa.bindparam(slot_name(index), type_=sa.Text), sa.JSON)
    columns = [sa.column(field.name, _json_type(field)) for field in insert.fields]
    given = sa.func.json_to_recordset(rows).table_valued(*columns)
    given = given.render_derived(name="given", with_types=True)
    values = [_stored(field, given.c[field.name]) for field in insert.fields]
    stored = [field.column for field in insert.fields]
    statement = sa.insert(table).from_select(
        [column.key for column in stored], sa.select(*values), include_defaults=False
    )
    tableoid: Expression = sa.literal_column("tableoid")
    return statement.returning(*table.columns, tableoid).cte("new_rows")


def _json_type(field: Field) -> Any:
    """As what a value is read from the JSON: wide enough for the column itself to refuse it."""
    match field.type.kind:
        case Kind.TEXT | Kind.JSON:
            return sa.Text()
        case Kind.INTEGER:
            return sa.BigInteger()
        case Kind.FLOAT:
            return sa.Double()
        case Kind.NUMERIC:
            return sa.Numeric()
        case _:
            return field.column.type


def _stored(field: Field, value: Expression) -> Expression:
    """The value as the column takes it: JSON comes as text, for a text in it would be bare."""
    return sa.cast(value, field.column.type) if field.type.kind is Kind.JSON else value
