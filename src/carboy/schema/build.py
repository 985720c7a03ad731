"""Mapped classes and tables to a ``Schema``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Column, FromClause, Table
from sqlalchemy.orm import Mapper, class_mapper

from .model import Field, Relation, Resource, Schema, Validate
from .relations import foreign_key_relations, mapped_relations
from .types import Kind, field_type

_MOMENTS = (Kind.DATETIME, Kind.DATE, Kind.TIME)


class SchemaError(ValueError):
    """A resource is declared wrongly; the message names the model, the option and the fix."""


class Registration(Struct, frozen=True, eq=False):
    """What ``Carboy.resource`` was given, checked as far as one class alone allows.

    The last two are for SQLite's tables that others made: integers have 64 bits there, and
    dates and times several spellings.
    """

    subject: Mapper[Any] | FromClause
    name: str
    readable: tuple[str, ...] | None = None
    writable: tuple[str, ...] | None = None
    hidden: tuple[str, ...] = ()
    read_only: bool = False
    search: tuple[str, ...] = ()
    order: str | None = None
    page_size: int | None = None
    max_page_size: int | None = None
    max_depth: int | None = None
    require_match: bool = False
    validate: Validate | None = None
    wide_integers: bool = False
    mixed_spellings: bool = False

    def __post_init__(self) -> None:
        known = set(_columns(self.subject))
        for option in ("readable", "writable", "hidden", "search"):
            for name in getattr(self, option) or ():
                if name not in known:
                    raise SchemaError(
                        f"resource {self.name!r}: {option}={name!r} is no column; "
                        f"it has {', '.join(sorted(known))}"
                    )
        if not self.name or any(c in self.name for c in "/?#%"):
            raise SchemaError(f"resource name {self.name!r} can't stand in a URL")


def subject_of(model: object) -> Mapper[Any] | FromClause:
    """The mapper of a class, or the table itself."""
    if isinstance(model, FromClause):
        return model
    if isinstance(model, type):
        try:
            return class_mapper(model, configure=False)
        except sa.orm.exc.UnmappedClassError:
            pass
    raise SchemaError(f"{model!r} is neither a mapped class nor a Table")


def default_name(subject: Mapper[Any] | FromClause) -> str:
    """The table's name."""
    table = subject.local_table if isinstance(subject, Mapper) else subject
    return str(getattr(table, "name", None) or "resource")


def build_schema(registrations: Sequence[Registration]) -> Schema:
    """Every registered resource, and unexposed ones for the other classes of their registries."""
    resources: dict[str, Resource] = {}
    for registration in registrations:
        if registration.name in resources:
            raise SchemaError(f"two resources are called {registration.name!r}; give one a name=")
        resources[registration.name] = _resource(registration, exposed=True)
    for mapper in _unregistered(registrations):
        name = f"{mapper.class_.__module__}.{mapper.class_.__qualname__}"
        resources[name] = _resource(Registration(subject=mapper, name=name), exposed=False)
    return Schema(resources=MappingProxyType(_related(resources)))


def _unregistered(registrations: Iterable[Registration]) -> list[Mapper[Any]]:
    registered = {r.subject for r in registrations if isinstance(r.subject, Mapper)}
    registries = {mapper.registry for mapper in registered}
    for registry in registries:
        registry.configure()
    mappers = {m for registry in registries for m in registry.mappers} - registered
    return sorted(mappers, key=lambda m: m.class_.__qualname__)


def _resource(r: Registration, *, exposed: bool) -> Resource:
    columns = _columns(r.subject)
    fields = {name: _field(name, column, r) for name, column in columns.items()}
    by_column = {field.column: field for field in fields.values()}
    mapper = r.subject if isinstance(r.subject, Mapper) else None
    source = mapper.selectable if mapper is not None else r.subject
    assert isinstance(source, FromClause)
    key_columns = mapper.primary_key if mapper is not None else tuple(source.primary_key)
    keyed = key_columns and all(c in by_column for c in key_columns)
    return Resource(
        name=r.name,
        source=source,
        fields=MappingProxyType(fields),
        relations=MappingProxyType({}),
        key=tuple(by_column[c] for c in key_columns if isinstance(c, Column)) if keyed else (),
        mapper=mapper,
        criterion=_single_table_criterion(mapper),
        exposed=exposed,
        read_only=r.read_only,
        search=tuple(fields[name] for name in r.search),
        order=r.order,
        page_size=r.page_size,
        max_page_size=r.max_page_size,
        max_depth=r.max_depth,
        require_match=r.require_match,
        validate=r.validate,
    )


def _columns(subject: Mapper[Any] | FromClause) -> dict[str, Column[Any]]:
    """Columns by attribute name, or by column name where there is no class."""
    named: dict[str, Any] = {}
    if isinstance(subject, Mapper):
        named = {p.key: p.columns[0] for p in subject.column_attrs}
    else:
        named = {c.name: c for c in subject.columns}
    return {name: column for name, column in named.items() if isinstance(column, Column)}


def _field(name: str, column: Column[Any], r: Registration) -> Field:
    generated = column.computed is not None or bool(column.identity and column.identity.always)
    table: FromClause = column.table
    automatic = isinstance(table, Table) and table.autoincrement_column is column
    has_default = column.default is not None or column.server_default is not None or automatic
    made = generated or (column.primary_key and has_default)
    readable = name in r.readable if r.readable is not None else True
    writable = name in r.writable if r.writable is not None else not made
    type_ = field_type(
        column.type, wide=r.wide_integers, as_string=column.info.get("json") == "string"
    )
    if r.mixed_spellings:
        type_ = replace(type_, mixed_spellings=type_.kind in _MOMENTS)
    return Field(
        name=name,
        column=column,
        type=type_,
        nullable=bool(column.nullable),
        has_default=has_default,
        generated=generated,
        readable=readable and name not in r.hidden,
        writable=writable and not generated and not r.read_only,
    )


def _single_table_criterion(mapper: Mapper[Any] | None) -> sa.ColumnElement[bool] | None:
    """Single-table inheritance: the rows that are of this class or its subclasses."""
    if mapper is None or not mapper.single or mapper.polymorphic_on is None:
        return None
    identities = [m.polymorphic_identity for m in mapper.self_and_descendants]
    return mapper.polymorphic_on.in_(identities)


def _related(resources: Mapping[str, Resource]) -> dict[str, Resource]:
    """The same resources with their relations, which need all the names."""
    finished: dict[str, Resource] = {}
    for name, resource in resources.items():
        relations: dict[str, tuple[Relation, ...]] = {}
        for relation in foreign_key_relations(resource, resources.values()):
            relations[relation.name] = (*relations.get(relation.name, ()), relation)
        for relation in mapped_relations(resource, resources.values()):
            # A relationship of the class always means itself, whatever a foreign key suggests.
            relations[relation.name] = (relation,)
        finished[name] = _with_relations(resource, relations)
    return finished


def _with_relations(resource: Resource, relations: dict[str, tuple[Relation, ...]]) -> Resource:
    values = {name: getattr(resource, name) for name in resource.__struct_fields__}
    return Resource(**{**values, "relations": MappingProxyType(relations)})
