"""An existing database to registrations: its tables and views, as they are found."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy import Column, Connection, ForeignKeyConstraint, Table
from sqlalchemy.engine import Engine

from .build import Registration, SchemaError

_NOT_IN_URLS = re.compile(r"[/?#%\\\s]+")
_EXTENSION_MEMBERS = sa.text(
    "SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid "
    "WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' "
    "AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = :schema)"
)


class Reflected(Struct, frozen=True, eq=False):
    """What was found: a registration for each table and view, and the names of what failed."""

    tables: tuple[Registration, ...]
    views: tuple[Registration, ...]
    skipped: tuple[str, ...] = ()

    @property
    def registrations(self) -> tuple[Registration, ...]:
        """Tables, then views."""
        return (*self.tables, *self.views)


def reflect(engine: Engine, *, schema: str | None = None, writable: bool = False) -> Reflected:
    """The tables and views of a database, or of one of its schemas.

    Views, and tables without a primary key, are read-only whatever ``writable`` says. Left out
    are system tables, those of PostgreSQL's extensions, SQLite's virtual tables with their
    shadows, and Carboy's own. Raises SchemaError for a schema that isn't there.
    """
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        if schema is not None and schema not in inspector.get_schema_names():
            known = ", ".join(sorted(inspector.get_schema_names()))
            raise SchemaError(f"there is no schema {schema!r}; there are {known}")
        left_out = _left_out(connection, schema or inspector.default_schema_name)
        views = {*inspector.get_view_names(schema), *_materialized(inspector, schema)}
        names = {*inspector.get_table_names(schema), *_foreign(inspector, schema), *views}
        wanted = sorted(n for n in names - left_out if not n.startswith("carboy_"))
        metadata = sa.MetaData()
        with warnings.catch_warnings():
            # Types and indexes that SQLAlchemy doesn't know are shown as text, or not needed.
            warnings.simplefilter("ignore", sa.exc.SAWarning)
            skipped = _load(connection, metadata, wanted, schema)
    if engine.dialect.name == "sqlite":
        _match_case(metadata)
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    own_kind = engine.dialect.name == "sqlite"
    found = {
        table.name: Registration(
            subject=table,
            name=name,
            read_only=not writable or table.name in views or not table.primary_key.columns,
            wide_integers=own_kind,
            mixed_spellings=own_kind,
        )
        for table, name in zip(tables, _url_names(t.name for t in tables), strict=True)
    }
    return Reflected(
        tables=tuple(r for name, r in found.items() if name not in views),
        views=tuple(r for name, r in found.items() if name in views),
        skipped=tuple(skipped),
    )


def _left_out(connection: Connection, schema: str | None) -> set[str]:
    if connection.dialect.name == "sqlite":
        listed = connection.exec_driver_sql("PRAGMA table_list").all()
        return {row.name for row in listed if row.type in ("virtual", "shadow")}
    if connection.dialect.name == "postgresql":
        return set(connection.scalars(_EXTENSION_MEMBERS, {"schema": schema}))
    return set()


def _materialized(inspector: sa.Inspector, schema: str | None) -> list[str]:
    if inspector.dialect.name != "postgresql":
        return []
    return inspector.get_materialized_view_names(schema)


def _foreign(inspector: sa.Inspector, schema: str | None) -> list[str]:
    """Tables that lie on another server: read like any other."""
    names = getattr(inspector, "get_foreign_table_names", None)
    return list(names(schema)) if names is not None else []


def _load(
    connection: Connection, metadata: sa.MetaData, names: list[str], schema: str | None
) -> list[str]:
    """Fill ``metadata``; the names of those that can't be reflected."""
    if connection.dialect.name != "sqlite":
        # All at once: a query for each table would take long on a large schema.
        metadata.reflect(connection, schema=schema, views=True, only=names, resolve_fks=False)
        loaded = {table.name for table in metadata.tables.values()}
        return [name for name in names if name not in loaded]
    # One by one: a view over a table that is gone would break all the others.
    return [name for name in names if not _load_one(connection, metadata, name, schema)]


def _load_one(connection: Connection, metadata: sa.MetaData, name: str, schema: str | None) -> bool:
    """Whether a table of SQLite could be added, if need be without its foreign keys."""
    try:
        Table(name, metadata, schema=schema, autoload_with=connection, resolve_fks=False)
    except sa.exc.ArgumentError:
        # SQLite takes foreign keys with more or fewer columns than the key they point at.
        _load_columns(sa.inspect(connection), metadata, name, schema)
    except sa.exc.SQLAlchemyError:
        return False
    return True


def _load_columns(
    inspector: sa.Inspector, metadata: sa.MetaData, name: str, schema: str | None
) -> None:
    key = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    columns = inspector.get_columns(name, schema)
    made = [
        Column(c["name"], c["type"], primary_key=c["name"] in key, nullable=c["nullable"])
        for c in columns
    ]
    Table(name, metadata, *made, schema=schema)


def _match_case(metadata: sa.MetaData) -> None:
    """SQLite finds names whatever their case, so its foreign keys may spell them otherwise."""
    tables = {table.name.lower(): table for table in metadata.tables.values()}
    for table in tables.values():
        for constraint in list(table.foreign_key_constraints):
            targets = [e.target_fullname.lower().rpartition(".") for e in constraint.elements]
            target = tables.get(targets[0][0])
            columns = {c.name.lower(): c for c in target.columns} if target is not None else {}
            if all(column in columns for _, _, column in targets):
                _point_at(constraint, [columns[column] for _, _, column in targets])


def _point_at(constraint: ForeignKeyConstraint, columns: list[Column[Any]]) -> None:
    """Replace a foreign key by one that has the target's columns themselves."""
    table = constraint.table
    table.constraints.discard(constraint)
    for element in constraint.elements:
        element.parent.foreign_keys.discard(element)
        table.foreign_keys.discard(element)
    near = [element.parent.name for element in constraint.elements]
    table.append_constraint(ForeignKeyConstraint(near, columns, name=constraint.name))


def _url_names(names: Iterable[str]) -> list[str]:
    """Tables' names as URLs can have them, each once."""
    given: list[str] = []
    for name in names:
        safe = base = _NOT_IN_URLS.sub("_", name).strip(".") or "_"
        number = 2
        while safe in given:
            safe, number = f"{base}_{number}", number + 1
        given.append(safe)
    return given
