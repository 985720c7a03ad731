"""What a mapped class or a table is read from: one FROM clause that has all of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Column, FromClause, Table
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.elements import ColumnClause, KeyedColumnElement, Null
from sqlalchemy.sql.selectable import Join


class Source(Struct, frozen=True, eq=False):
    """The FROM clause, and the tables in it that rows are stored in.

    ``table`` is the class's own: of a subclass with a table of its own, that one. ``stored`` says
    that rows lie in tables, and can be written; a select's can't. ``strict`` says that columns
    which can't be null in their table can't be here either; an outer join's can.
    """

    clause: FromClause
    table: Table | None
    tables: tuple[Table, ...]
    stored: bool
    strict: bool


def source_of(subject: Mapper[Any] | FromClause) -> Source:
    """What to select from."""
    if not isinstance(subject, Mapper):
        return _source(subject, subject, subject)
    source = _mapped_source(subject)
    # The ORM loads a ConcreteBase's rows only from its union with the subclasses' tables.
    return replace(source, stored=source.stored and not _is_union(subject))


def _mapped_source(subject: Mapper[Any]) -> Source:
    whole = subject.persist_selectable
    computed = [c for c in columns_of(subject).values() if not isinstance(c, ColumnClause)]
    if isinstance(whole, Table) and not computed:
        return _source(whole, whole, whole)
    if not isinstance(whole, Join) and not computed:
        return _source(whole, whole, subject.local_table)
    # A subquery, since an alias of a join wouldn't tell columns of the same name apart. The
    # databases read it as if it were written out.
    rows = sa.select(*whole.c, *computed).select_from(whole).correlate(None)
    labelled = rows.set_label_style(sa.LABEL_STYLE_TABLENAME_PLUS_COL)
    return _source(labelled.subquery("source"), whole, subject.local_table)


def columns_of(subject: Mapper[Any] | FromClause) -> dict[str, KeyedColumnElement[Any]]:
    """Columns by attribute name, or by column name where there is no class; expressions last.

    Doesn't configure the mapper, whose relationships may lead to classes that aren't there yet.
    """
    if not isinstance(subject, Mapper):
        return {c.name: c for c in subject.columns}
    stored: dict[str, KeyedColumnElement[Any]] = {}
    computed: dict[str, KeyedColumnElement[Any]] = {}
    for name, column in subject.columns.items():
        if subject.persist_selectable.c.contains_column(column):
            stored[name] = column
        elif not isinstance(column, ColumnClause | Null):
            computed[name] = column
    # A subclass's table shares the key with its base's, which makes its values.
    primary: Sequence[Any] = subject.primary_key
    keys = zip(key_names(subject), primary, strict=True)
    return {**stored, **computed, **dict(keys)}


def key_names(subject: Mapper[Any] | FromClause) -> list[str]:
    """The key, by the names of its columns here."""
    if not isinstance(subject, Mapper):
        return [c.name for c in subject.primary_key]
    return [subject.get_property_by_column(column).key for column in subject.primary_key]


def _source(clause: FromClause, whole: FromClause, own: FromClause) -> Source:
    tables = _tables(whole)
    return Source(
        clause=clause,
        table=own if isinstance(own, Table) else None,
        tables=tables,
        stored=bool(tables),
        strict=bool(tables) and not _is_outer(whole),
    )


def _is_union(mapper: Mapper[Any]) -> bool:
    loaded = mapper.selectable
    return loaded is not mapper.persist_selectable and not isinstance(loaded, Table | Join)


def _tables(whole: FromClause) -> tuple[Table, ...]:
    """The tables of a join; none where something else takes part in it."""
    if isinstance(whole, Table):
        return (whole,)
    if not isinstance(whole, Join):
        return ()
    left, right = _tables(whole.left), _tables(whole.right)
    return (*left, *right) if left and right else ()


def _is_outer(whole: FromClause) -> bool:
    if not isinstance(whole, Join):
        return False
    return whole.isouter or whole.full or _is_outer(whole.left) or _is_outer(whole.right)


def is_generated(column: KeyedColumnElement[Any]) -> bool:
    """Whether the database alone writes it, or nobody does."""
    if not isinstance(column, Column):
        return True
    return column.computed is not None or bool(column.identity and column.identity.always)


def bind_of(source: FromClause) -> str | None:
    """The database of a table, by the ``__bind_key__`` of Flask-SQLAlchemy; None for the default.

    https://flask-sqlalchemy.readthedocs.io/en/stable/binds/
    """
    metadata = source.metadata if isinstance(source, Table) else None
    key: str | None = metadata.info.get("bind_key") if metadata is not None else None
    return key
