"""The schema: what is exposed, as frozen values that every later stage reads.

Fields, relations and resources are compared by identity: there is one of each in a schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from msgspec import Struct, field
from sqlalchemy import FromClause, Table
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.elements import KeyedColumnElement

from .types import FieldType

Validate: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, str] | None]
"""Takes a row's values by field, answers faults by field (``""`` for the row), or None."""


class Field(Struct, frozen=True, eq=False):
    """One column, or an expression over columns, under its public name.

    ``has_default`` says that a row may leave it out. ``generated`` columns are written by the
    database alone. ``secret`` ones can't be read because they look like secrets.
    """

    name: str
    column: KeyedColumnElement[Any]
    type: FieldType
    nullable: bool
    has_default: bool = False
    generated: bool = False
    readable: bool = True
    writable: bool = True
    secret: bool = False


class Relation(Struct, frozen=True, eq=False):
    """A way from one resource to another.

    ``condition`` joins parent and target (the target's columns carry SQLAlchemy's ``remote``
    annotation), or parent and ``link``; then ``link_condition`` joins link and target.
    ``local`` are the parent's columns in it, ``columns`` all of them. ``through`` is the resource
    that exposes ``link``, if one does. ``hints`` are what ``relation!hint`` takes.
    ``attribute`` is the mapped relationship that writes go through, if there is one.
    """

    name: str
    target: str
    many: bool
    condition: ColumnElement[bool]
    local: tuple[KeyedColumnElement[Any], ...]
    link: FromClause | None = None
    link_condition: ColumnElement[bool] | None = None
    hints: tuple[str, ...] = ()
    attribute: str | None = None
    view_only: bool = False
    through: str | None = None
    columns: frozenset[KeyedColumnElement[Any]] = frozenset()


class Resource(Struct, frozen=True, eq=False):
    """A table, view or mapped class, and how it is exposed.

    ``source`` is what to select from; ``tables`` are those in it that rows are stored in, ``table``
    is the class's own. ``relations`` lists, for a name, every relation that it may mean; more than
    one needs a hint.
    ``bind`` names its database where that isn't the default one.
    ``criterion`` limits a class of single-table inheritance to its rows. With ``history``, every
    write is recorded in the table carboy_history. Answers are kept for ``cache`` seconds, and shown
    for ``stale`` more while one request asks again.
    """

    name: str
    source: FromClause
    fields: Mapping[str, Field]
    relations: Mapping[str, tuple[Relation, ...]]
    key: tuple[Field, ...]
    table: Table | None = None
    tables: tuple[Table, ...] = ()
    mapper: Mapper[Any] | None = None
    bind: str | None = None
    criterion: ColumnElement[bool] | None = None
    exposed: bool = True
    read_only: bool = False
    search: tuple[Field, ...] = ()
    order: str | None = None
    page_size: int | None = None
    max_page_size: int | None = None
    max_depth: int | None = None
    require_match: bool = False
    validate: Validate | None = None
    history: bool = False
    cache: int = 0
    stale: int = 0


class Schema(Struct, frozen=True, eq=False):
    """All resources by name. Those not ``exposed`` can only be named by the application itself."""

    resources: Mapping[str, Resource] = field(default_factory=lambda: MappingProxyType({}))

    def exposed(self) -> tuple[Resource, ...]:
        """The resources that a URL can name, by name."""
        return tuple(r for _, r in sorted(self.resources.items()) if r.exposed)

    def exposing(self, table: FromClause) -> Resource | None:
        """The resource that exposes a table, one that has all of its rows before a subclass."""
        found = [r for r in self.resources.values() if r.exposed and r.table is table]
        return min(found, key=lambda r: r.criterion is not None, default=None)

    def of_mapper(self, mapper: Mapper[Any]) -> Resource | None:
        """The resource of a mapped class, exposed or not."""
        found = [r for r in self.resources.values() if r.mapper is mapper]
        return next((r for r in found if r.exposed), found[0] if found else None)
