"""How the tests' tables look on MariaDB, where a type without a size holds less than elsewhere.

A model for MariaDB names the sizes itself: DATETIME(6), DOUBLE, VARCHAR(255). The tests' models
are for every database, so that the rules stand here, for DDL alone.
"""

# Compilers and types as SQLAlchemy's hooks hand them over.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn
from sqlalchemy.sql.functions import now

_LONGEST_KEY = 700


def _in_key(column: Any) -> bool:
    """Whether an index or a foreign key is on the column, or may be on one like it."""
    if not isinstance(column, sa.Column):
        return False
    indexed = any(column.name in i.columns for i in column.table.indexes)
    constraints = (c for c in column.table.constraints if hasattr(c, "columns"))
    constrained = any(
        column.name in c.columns for c in constraints if not isinstance(c, sa.CheckConstraint)
    )
    return bool(
        column.primary_key or column.unique or column.foreign_keys or indexed or constrained
    )


def _text(type_: Any, compiler: Any, type_expression: Any = None, **_: Any) -> str:
    if type_.length:
        return f"VARCHAR({type_.length})"
    return f"VARCHAR({_LONGEST_KEY})" if _in_key(type_expression) else "LONGTEXT"


def _numeric(type_: Any, compiler: Any, **_: Any) -> str:
    if type_.precision is None:
        return "NUMERIC(65, 30)"
    return f"NUMERIC({type_.precision}, {type_.scale or 0})"


def _uuid(type_: Any, compiler: Any, **_: Any) -> str:
    """MariaDB's own UUID refuses some: those whose version and variant contradict each other."""
    return f"CHAR({36 if type_.native_uuid else 32})"


def _is(sql: str) -> Callable[..., str]:
    return lambda type_, compiler, **_: sql


def _foreign_key(constraint: Any, compiler: Any, **options: Any) -> str:
    """Without DEFERRABLE, which is nothing that MariaDB knows."""
    deferrable, initially = constraint.deferrable, constraint.initially
    constraint.deferrable = constraint.initially = None
    try:
        sql: str = compiler.visit_foreign_key_constraint(constraint, **options)
    finally:
        constraint.deferrable, constraint.initially = deferrable, initially
    return sql


def _computed(computed: Any, compiler: Any, **options: Any) -> str:
    """Names in the quotes that MariaDB takes for names."""
    sql: str = compiler.visit_computed_column(computed, **options)
    return sql.replace('"', "`")


def _create_column(create: Any, compiler: Any, **options: Any) -> str:
    """A default without a time zone, which no literal has here."""
    sql: str = compiler.visit_create_column(create, **options) or ""
    return sql.replace("+00:00'", "'")


for _name in ("mysql", "mariadb"):
    compiles(sa.String, _name)(_text)
    compiles(sa.Text, _name)(_text)
    compiles(sa.Numeric, _name)(_numeric)
    compiles(sa.Uuid, _name)(_uuid)
    compiles(sa.DateTime, _name)(_is("DATETIME(6)"))
    compiles(sa.Time, _name)(_is("TIME(6)"))
    compiles(sa.Float, _name)(_is("DOUBLE"))
    compiles(sa.LargeBinary, _name)(_is("LONGBLOB"))
    compiles(sa.Computed, _name)(_computed)
    compiles(CreateColumn, _name)(_create_column)
    compiles(now, _name)(_is("CURRENT_TIMESTAMP(6)"))
    compiles(sa.ForeignKeyConstraint, _name)(_foreign_key)
