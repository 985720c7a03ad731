"""A constraint that refused a write, told in terms of the resource's fields.

The constraint is the only judge: nothing is looked up before the write. What the error itself
doesn't say is looked up after it, in the metadata, and for SQLite's foreign keys in the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import UNSET, Struct
from sqlalchemy.orm.exc import FlushError, StaleDataError

from ..errors import (
    ApiError,
    Conflict,
    Duplicate,
    Forbidden,
    InvalidBody,
    Problem,
    ReferenceMissing,
    StillReferenced,
)
from ..plan import RowPlan, WritePlan, unique_sets, walk_rows
from ..schema import Field, Resource
from ..sql import own_column
from .database import Database
from .errors import api_error, error_number
from .guard import (
    missing_reference,
    reference_key,
    references,
    set_in_part,
    unknown_reference,
)
from .objects import Refused

_SQLITE = {
    "UNIQUE constraint failed": "unique",
    "NOT NULL constraint failed": "not-null",
    "CHECK constraint failed": "check",
    "FOREIGN KEY constraint failed": "foreign-key",
}
_STATES = {
    "23505": "unique",
    "23502": "not-null",
    "23514": "check",
    "23503": "foreign-key",
    "23P01": "exclusion",
}
_MARIADB = {
    1062: "unique",
    1048: "not-null",
    1364: "not-null",
    4025: "check",
    1451: "foreign-key",
    1452: "foreign-key",
}
# The last name in quotes of "for key 'name'", "Column 'name' cannot be null" and their like.
_QUOTED = re.compile(r"'([^']*)'(?=[^']*$)")
_CONSTRAINT = re.compile(r"CONSTRAINT `((?:[^`]|``)*)`")
_OF_TABLE = re.compile(r"`(?:[^`]|``)*`\.`((?:[^`]|``)*)`")
_WRITTEN = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM)\s+(?:\S+\.)?(?:`((?:[^`]|``)*)`|(\w+))")
_WORD = re.compile(r"\w+")


class Violation(Struct, frozen=True):
    """What the database says about the constraint; empty where it doesn't."""

    kind: str
    table: str = ""
    constraint: str = ""
    columns: tuple[str, ...] = ()


def write_error(
    error: Exception, database: Database, plan: WritePlan, connection: sa.Connection | None = None
) -> ApiError:
    """The answer to an event's refusal, or to a database's error, in a write."""
    if isinstance(error, Refused):
        return _refused(str(error), plan)
    if isinstance(error, StaleDataError) and database.row_security:
        # It was locked before: what a policy of the database hides from an UPDATE isn't changed.
        return Forbidden(f"{plan.resource.name!r}: the database doesn't let a row be changed")
    if isinstance(error, StaleDataError):
        return Conflict(f"{plan.resource.name!r}: a row was changed at the same time; try again")
    if isinstance(error, FlushError) and "did not produce a new primary key" in str(error):
        return Conflict(f"{plan.resource.name!r}: a trigger of the database kept a row away")
    found = violation(error)
    if found is None:
        return api_error(error, database.engine)
    if connection is None:
        # The write's own transaction is over.
        with database.connect() as fresh:
            database.tell(fresh, plan.access.who)
            return _told(found, plan, fresh)
    return _told(found, plan, connection)


def still_referenced(plan: WritePlan) -> StillReferenced:
    """The answer where rows that can't be without this one are there."""
    return StillReferenced(f"other rows still point at this row of {plan.resource.name!r}")


def _refused(detail: str, plan: WritePlan) -> ApiError:
    if plan.action == "delete":
        return Conflict(detail)
    row = plan.rows[0] if len(plan.rows) == 1 else None
    return InvalidBody(detail, _problems(detail, "invalid", row, ()))


def _told(found: Violation, plan: WritePlan, connection: sa.Connection) -> ApiError:
    if found.kind == "foreign-key":
        return _foreign_key(found, plan, connection)
    if found.kind == "not-null" and plan.action == "delete":
        # The unit of work takes the parent away from children that can't be without it.
        return still_referenced(plan)
    if found.kind == "exclusion":
        return Conflict(f"{plan.resource.name!r}: the row conflicts with one that is there")
    resource, row, fields = _place(found, plan)
    fields = [field for field in fields if plan.access.visible(resource, field)]
    if found.kind == "unique":
        taken: list[Sequence[Field]] = [fields] if fields else []
        if row is not None:
            taken = list(_taken(row, taken, connection))
        return duplicate(resource, row, taken)
    return _broken(found, row, fields)


def together(errors: Sequence[ApiError]) -> ApiError:
    """One answer for the refusals of several rows."""
    problems = [problem for error in errors for problem in error.problems]
    detail = errors[0].detail
    if len(problems) > 1:
        detail += f"; {len(problems)} faults in all"
    kinds = {type(error) for error in errors}
    kind = kinds.pop() if len(kinds) == 1 else _common(errors)
    return kind(detail, problems)


def _common(errors: Sequence[ApiError]) -> type[ApiError]:
    return Conflict if any(isinstance(error, Conflict) for error in errors) else InvalidBody


def violates_only(error: sa.exc.IntegrityError, resource: Resource, names: set[str]) -> bool:
    """Whether it is a duplicate of just these fields, as far as one can tell."""
    found = violation(error)
    if found is None or found.kind != "unique":
        return False
    return {field.name for field in _fields(found, resource)} <= names


def deferred_error(plan: WritePlan, connection: sa.Connection) -> ApiError | None:
    """The foreign key that a COMMIT would refuse, where the database can't say before it."""
    for row, constraint in references(plan.rows):
        if constraint.deferrable:
            fault = _missing_reference(row, constraint, connection)
            if fault is not None:
                return ReferenceMissing(fault.detail, [fault])
    return None


def violation(error: Exception) -> Violation | None:
    """What the driver's error says, if it is about a constraint."""
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    diagnosis = getattr(original, "diag", None)
    if diagnosis is not None:
        kind = _STATES.get(diagnosis.sqlstate or "")
        if kind is None:
            return None
        table, name = diagnosis.table_name or "", diagnosis.constraint_name or ""
        detail = diagnosis.message_detail or ""
        columns = (diagnosis.column_name,) if diagnosis.column_name else ()
        if kind == "unique":
            columns = tuple(_WORD.findall(detail.partition(")=(")[0].partition("(")[2]))
        return Violation(kind, table, name, columns)
    number = error_number(original)
    if number is not None:
        return _mariadb_violation(number, str(original), getattr(error, "statement", ""))
    message, _, rest = str(original).partition(": ")
    kind = _SQLITE.get(message)
    if kind is None:
        return None
    if kind == "check":
        return Violation(kind, constraint=rest)
    if rest.startswith("index "):
        return Violation(kind, constraint=rest[6:].strip("'"))
    pairs = [part.rpartition(".") for part in rest.split(", ")]
    return Violation(kind, table=pairs[0][0], columns=tuple(column for _, _, column in pairs))


def _mariadb_violation(number: int, message: str, statement: str | None) -> Violation | None:
    """MariaDB names the table of some constraints; of the rest it is the statement's."""
    kind = _MARIADB.get(number)
    if kind is None:
        return None
    written = _WRITTEN.search(statement or "")
    table = (written[1] or written[2]).replace("``", "`") if written else ""
    if kind == "not-null":
        # "Column 'x' cannot be null", "Field 'x' doesn't have a default value"
        return Violation(kind, table, columns=(message.split("'")[1],))
    if kind == "unique":
        found = _QUOTED.search(message)
        return Violation(kind, table, found[1].rpartition(".")[2] if found else "")
    name, owner = _CONSTRAINT.search(message), _OF_TABLE.search(message)
    return Violation(
        kind,
        owner[1].replace("``", "`") if owner else table,
        name[1].replace("``", "`").rpartition(".")[2] if name else "",
    )


def duplicate(
    resource: Resource, row: RowPlan | None, taken: Sequence[Sequence[Field]]
) -> ApiError:
    """Each set of fields whose values another row has already."""
    problems: list[Problem] = []
    for fields in taken or [()]:
        what = " and ".join(field.name for field in fields)
        detail = f"a row of {resource.name!r} with this {what or 'value'} already exists"
        problems += _problems(detail, Duplicate.code, row, [field.name for field in fields][:1])
    return Duplicate(problems[0].detail if problems else "the row already exists", problems)


def _taken(
    row: RowPlan, reported: list[Sequence[Field]], connection: sa.Connection
) -> Iterator[Sequence[Field]]:
    """What the database reported, and what it would have next: it stops at the first."""
    resource = row.resource
    source = resource.source
    own = [
        own_column(source, f.column) == v for f, v in zip(resource.key, row.key or (), strict=False)
    ]
    sets = [[f for f in resource.fields.values() if f.name in s] for s in unique_sets(resource)]
    for fields in sorted(sets, key=lambda s: list(resource.fields).index(s[0].name)):
        given = [f for f in fields if f.name in row.values]
        same = [own_column(source, f.column) == row.values[f.name] for f in given]
        if fields in reported:
            yield fields
        elif len(same) == len(fields):
            query: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(source)
            query = query.where(*same)
            if own:
                query = query.where(sa.not_(sa.and_(*own)))
            if connection.execute(query.limit(1)).first() is not None:
                yield fields
    yield from (fields for fields in reported if list(fields) not in sets)


def _broken(found: Violation, row: RowPlan | None, fields: Sequence[Field]) -> ApiError:
    names = [field.name for field in fields]
    together = " and ".join(names)
    if found.kind == "not-null":
        detail = f"{together or 'a value'}: can't be null"
        return InvalidBody(detail, _problems(detail, "not-null", row, names[:1]))
    detail = f"{together or 'the row'}: breaks a rule of the database"
    return InvalidBody(detail, _problems(detail, "check", row, names[:1]))


def _problems(
    detail: str, code: str, row: RowPlan | None, names: Sequence[str]
) -> Sequence[Problem]:
    if row is None:
        return [Problem(detail, code, f"/{name}") for name in names]
    number = UNSET if row.row is None else row.row
    if not names:
        return [Problem(detail, code, row.pointer, row=number)]
    return [Problem(detail, code, f"{row.pointer}/{name}", row=number) for name in names]


def _place(found: Violation, plan: WritePlan) -> tuple[Resource, RowPlan | None, Sequence[Field]]:
    """The resource, the one row of the body that it can be about, and the fields."""
    rows = [row for row in walk_rows(plan.rows) if not row.link]
    about = [row for row in rows if _is_about(found, row.resource)]
    resource = about[0].resource if about else plan.resource
    fields = _fields(found, resource)
    return resource, about[0] if len(about) == 1 else None, fields


def _is_about(found: Violation, resource: Resource) -> bool:
    if not resource.tables:
        return True
    return any(_is_of(found, table) for table in resource.tables)


def _is_of(found: Violation, table: sa.Table) -> bool:
    if found.table:
        return found.table in (table.name, table.fullname)
    named = {c.name for c in table.constraints} | {i.name for i in table.indexes}
    texts = {str(c.sqltext) for c in table.constraints if isinstance(c, sa.CheckConstraint)}
    return found.constraint in named | texts


def _fields(found: Violation, resource: Resource) -> Sequence[Field]:
    """The public fields of the constraint, in the schema's order."""
    columns = {
        column
        for table in resource.tables
        if _is_of(found, table)
        for column in table.columns
        if column.name in (found.columns or _constraint_columns(found, table))
    }
    return [field for field in resource.fields.values() if field.column in columns]


def _constraint_columns(found: Violation, table: sa.Table) -> set[str]:
    for constraint in table.constraints:
        if found.kind == "unique" and found.constraint in _key_names(constraint):
            return {column.name for column in constraint.columns}  # type: ignore[attr-defined]
        if isinstance(constraint, sa.CheckConstraint):
            text = str(constraint.sqltext)
            if found.constraint in (constraint.name, text):
                return set(_WORD.findall(text))
    for index in table.indexes:
        if index.name == found.constraint:
            return {word for e in index.expressions for word in _WORD.findall(str(e))}
    # PostgreSQL's own name for a check that was given none.
    return {c.name for c in table.columns if found.constraint == f"{table.name}_{c.name}_check"}


def _key_names(constraint: sa.Constraint) -> set[str]:
    """What MariaDB may call a key: without a name of its own, as its first column."""
    if isinstance(constraint, sa.PrimaryKeyConstraint):
        return {"PRIMARY"}
    if not isinstance(constraint, sa.UniqueConstraint):
        return set()
    if constraint.name is not None:
        return {str(constraint.name)}
    first = next(iter(constraint.columns)).name
    alike = len(constraint.table.constraints)
    return {first, *(f"{first}_{number}" for number in range(2, alike + 2))}


# Foreign keys


def _foreign_key(found: Violation, plan: WritePlan, connection: sa.Connection) -> ApiError:
    """Either a row points at nothing, or others still point at the row."""
    if plan.action != "delete":
        for row, constraint in references(plan.rows):
            table = constraint.table
            named = found.table in ("", table.name)
            if named and found.constraint in ("", constraint.name or found.constraint):
                fault = _missing_reference(row, constraint, connection)
                if fault is not None:
                    return ReferenceMissing(fault.detail, [fault])
    in_part = any(set_in_part(row, constraint) for row, constraint in references(plan.rows))
    if plan.action in ("create", "upsert") or in_part:
        return unknown_reference(plan)
    return still_referenced(plan)


def _missing_reference(
    row: RowPlan, constraint: sa.ForeignKeyConstraint, connection: sa.Connection
) -> Problem | None:
    key = reference_key(row, constraint)
    if key is None:
        return None
    pairs = [(e.column, value) for e, value in zip(constraint.elements, key, strict=True)]
    exists: sa.Select[Any] = (
        sa.select(sa.literal_column("1")).where(*(c == v for c, v in pairs)).limit(1)
    )
    if connection.execute(exists).first() is not None:
        return None
    return missing_reference(row, constraint)
