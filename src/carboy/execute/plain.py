"""Whether a write needs nothing of mapped objects, so that it can go to the database as it is.

What a model, its session or its engine is told to do with new objects happens only where there
are objects. Whatever isn't known to be plain isn't.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.decl_base import _declarative_constructor
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import SelectBase

from ..access import Condition
from ..plan import Embed, Returning, WritePlan
from ..schema import Field, Kind, Resource, Schema
from .database import Database
from .statements import only_ours

_KINDS = frozenset(
    (
        Kind.INTEGER,
        Kind.FLOAT,
        Kind.NUMERIC,
        Kind.BOOLEAN,
        Kind.TEXT,
        Kind.ENUM,
        Kind.DATETIME,
        Kind.DATE,
        Kind.TIME,
        Kind.UUID,
        Kind.JSON,
    )
)
_KEY_KINDS = (Kind.INTEGER, Kind.TEXT, Kind.UUID)

# As a write has them: who listens to the class is seen at an object of it.
_SESSION: Any = Session()
_OF_SESSION = attrgetter(*_SESSION.dispatch._event_names)
_OF_MAPPER = attrgetter("before_insert", "after_insert")
_OF_CLASS = attrgetter("init_failure", "load", "refresh", "refresh_flush", "expire")
_OF_ATTRIBUTE = attrgetter("set", "init_scalar", "modified")


class Plainness(Struct, frozen=True, eq=False):
    """What is found out once of a resource.

    ``simple`` ones are tables whose rows are made of values alone; with ``code`` something of the
    application's own runs before the INSERT. ``targets`` is where the foreign keys lead.
    """

    simple: bool
    code: bool
    targets: tuple[Resource, ...]


def is_plain(database: Database, plan: WritePlan) -> bool:
    """Whether all that a write does is one INSERT, whose rows it answers as they are."""
    return (
        plan.once is None
        and not plan.dry_run
        and _reads_rows(database)
        and is_bulk(database, plan)
        and _answers_simply(plan.returning)
        and _is_simple_rule(plan, "read")
    )


def is_bulk(database: Database, plan: WritePlan) -> bool:
    """Whether the rows of a write need nothing but to be inserted, and held against a rule."""
    return (
        plan.action == "create"
        and bool(plan.rows)
        and _takes_rows(database, plan.schema, plan.resource)
        and not _is_recorded(plan)
        and not any(row.related for row in plan.rows)
        and _is_simple_rule(plan, "create")
        and not _refers_to_limited(database, plan)
    )


def runs_no_code(database: Database, schema: Schema, resource: Resource) -> bool:
    """Whether planning a new row runs nothing of the application's but its policy.

    Nor does inserting it, unless somebody listens, whom only mapped objects tell.
    """
    plainness = _plainness(database, schema, resource)
    return (
        _reads_rows(database)
        and not database.row_security
        and plainness.simple
        and not plainness.code
    )


def _reads_rows(database: Database) -> bool:
    """Whether one statement can take rows, on a connection that is nobody else's."""
    return database.dialect.reads_rows and not isinstance(database.engine.pool, StaticPool)


def _takes_rows(database: Database, schema: Schema, resource: Resource) -> bool:
    """Whether the rows of a resource can go to the database as they are."""
    return (
        not database.row_security
        and _plainness(database, schema, resource).simple
        and only_ours(database.engine)
        and not _is_listened_to(resource)
    )


def forget_plainness(database: Database, resource: Resource) -> None:
    """The table has triggers, or something like it: don't try again in this process."""
    found = database.facts[Plainness, resource]
    database.facts[Plainness, resource] = replace(found, simple=False)


def _plainness(database: Database, schema: Schema, resource: Resource) -> Plainness:
    key = (Plainness, resource)
    if key not in database.facts:
        constraints = [c for table in resource.tables for c in table.foreign_key_constraints]
        targets = (schema.exposing(c.referred_table) for c in constraints)
        database.facts[key] = Plainness(
            simple=_is_simple(resource),
            code=_has_code(schema, resource),
            targets=tuple({t.name: t for t in targets if t is not None}.values()),
        )
    found: Plainness = database.facts[key]
    return found


def _has_code(schema: Schema, resource: Resource) -> bool:
    """Whether planning or inserting calls a function; rows of others may be nested in a body."""
    defaults: Iterable[Any] = (
        getattr(field.column, "default", None) for field in resource.fields.values()
    )
    return any(other.validate is not None for other in schema.resources.values()) or any(
        default is not None and default.is_callable for default in defaults
    )


def _refers_to_limited(database: Database, plan: WritePlan) -> bool:
    """Whether a foreign key leads to rows of which the actor may read not all."""
    targets = _plainness(database, plan.schema, plan.resource).targets
    return any(plan.access.rows(target, "read") is not True for target in targets)


def _is_simple(resource: Resource) -> bool:
    """Whether a resource is a table whose rows are made of values alone."""
    table, mapper = resource.table, resource.mapper
    if table is None or resource.source is not table or resource.tables != (table,):
        return False
    if mapper is not None and not _is_simple_class(mapper):
        return False
    return all(_is_simple_field(field, table) for field in resource.fields.values()) and all(
        field.type.kind in _KEY_KINDS for field in resource.key
    )


def _is_simple_class(mapper: Mapper[Any]) -> bool:
    class_: Any = mapper.class_
    return (
        mapper.inherits is None
        and mapper.polymorphic_on is None
        and mapper.version_id_col is None
        and not mapper.validators
        and mapper.class_manager.original_init is _declarative_constructor
        and class_.__setattr__ is object.__setattr__
        and class_.__new__ is object.__new__
    )


def _is_simple_field(field: Field, table: sa.Table) -> bool:
    """Whether SQLAlchemy and the database agree about the column, and its default is known."""
    column: Any = field.column
    type_, default = column.type, column.default
    return (
        table.c.get(column.key) is column
        and field.type.kind in _KINDS
        and type(type_).__module__.startswith("sqlalchemy.")
        and not isinstance(type_, sa.TypeDecorator)
        and not type_._has_bind_expression
        and (default is None or default.is_scalar or _takes_nothing(default))
    )


def _takes_nothing(default: Any) -> bool:
    """Whether a default is a function that doesn't ask for its context."""
    if not default.is_callable:
        return False
    try:
        return not inspect.signature(default.arg).parameters
    except ValueError:  # such as of dict, which doesn't say
        return False


def _is_listened_to(resource: Resource) -> bool:
    """Whether the application wants to know of new objects: it may ask for that at any time."""
    mapper = resource.mapper
    if any(_OF_SESSION(_SESSION.dispatch)):
        return True
    if mapper is None:
        return False
    of_class = mapper.class_manager.dispatch
    # One that is told of new objects is SQLAlchemy's own.
    if any(_OF_MAPPER(mapper.dispatch)) or any(_OF_CLASS(of_class)) or len(of_class.init) > 1:
        return True
    attributes = mapper.class_manager
    return any(any(_OF_ATTRIBUTE(attributes[name].dispatch)) for name in resource.fields)


def _is_recorded(plan: WritePlan) -> bool:
    """Whether there is a history of the table's rows."""
    recorded = () if plan.recording is None else plan.recording.resources
    return any(resource.table is plan.resource.table for resource in recorded)


def _answers_simply(returning: Returning | None) -> bool:
    """Whether the answer is of the rows alone: what other rows say may be about these."""
    if returning is None:
        return True
    return not any(isinstance(output, Embed) for output in returning.plan.root.outputs)


def _is_simple_rule(plan: WritePlan, action: Any) -> bool:
    """Whether a rule is about the row alone, and not about others in its table."""
    decision = plan.access.rows(plan.resource, action)
    if not isinstance(decision, Condition):
        return True
    parts = visitors.iterate(decision.form.expression)
    return not any(isinstance(part, SelectBase) for part in parts)
