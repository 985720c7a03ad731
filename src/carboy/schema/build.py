"""Mapped classes and tables to a ``Schema``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Column, FromClause, Table
from sqlalchemy.ext.declarative import AbstractConcreteBase
from sqlalchemy.orm import Mapper, class_mapper
from sqlalchemy.sql.elements import KeyedColumnElement

from .model import Field, Relation, Resource, Schema, Validate
from .relations import foreign_key_relations, mapped_relations, with_ends
from .secrets import looks_secret
from .sources import Source, bind_of, columns_of, is_generated, key_names, source_of
from .types import Kind, field_type

_MOMENTS = (Kind.DATETIME, Kind.DATE, Kind.TIME)


class SchemaError(ValueError):
    """A resource is declared wrongly; the message names the model, the option and the fix."""


class Registration(Struct, frozen=True, eq=False):
    """What ``Carboy.resource`` was given, checked as far as one class alone allows.

    ``show`` names columns that look like secrets and are readable all the same.
    The last two are for SQLite's tables that others made: integers have 64 bits there, and
    dates and times several spellings.
    """

    subject: Mapper[Any] | FromClause
    name: str
    readable: tuple[str, ...] | None = None
    writable: tuple[str, ...] | None = None
    hidden: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    read_only: bool = False
    search: tuple[str, ...] = ()
    order: str | None = None
    page_size: int | None = None
    max_page_size: int | None = None
    max_depth: int | None = None
    require_match: bool = False
    validate: Validate | None = None
    history: bool = False
    cache: int = 0
    stale: int = 0
    wide_integers: bool = False
    mixed_spellings: bool = False

    def __post_init__(self) -> None:
        known = set(columns_of(self.subject))
        for option in ("readable", "writable", "hidden", "show", "search"):
            for name in getattr(self, option) or ():
                if name not in known:
                    raise SchemaError(
                        f"resource {self.name!r}: {option}={name!r} is no column; "
                        f"it has {', '.join(sorted(known))}"
                    )
        for name in self.show:
            if name in self.hidden or (self.readable is not None and name not in self.readable):
                raise SchemaError(
                    f"resource {self.name!r}: show={name!r} is hidden by another option"
                )
        for name in self.search:
            if name in self.secrets:
                raise SchemaError(
                    f"resource {self.name!r}: search={name!r} looks like a secret and is hidden; "
                    f"show=({name!r},) makes it readable"
                )
            if name in self.hidden or (self.readable is not None and name not in self.readable):
                raise SchemaError(
                    f"resource {self.name!r}: search={name!r} can't be read, so that it can't be "
                    "searched either"
                )
        if self.cache < 0 or self.stale < 0 or (self.stale and not self.cache):
            raise SchemaError(
                f"resource {self.name!r}: cache= and stale= are seconds, and stale= needs cache="
            )
        if not self.name or any(c in self.name for c in "/?#%"):
            raise SchemaError(f"resource name {self.name!r} can't stand in a URL")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The columns that look like secrets, and that no option names: they aren't readable.

        A key is readable in any case, for URLs and cursors hold it.
        """
        if self.readable is not None:
            return ()
        named = {*self.hidden, *self.show, *key_names(self.subject)}
        columns = columns_of(self.subject).items()
        return tuple(n for n, column in columns if n not in named and looks_secret(n, column))

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """Parts of the key that look like secrets, and that no option names."""
        columns = columns_of(self.subject)
        named = {*self.show, *(self.readable or ())}
        keys = (name for name in key_names(self.subject) if name not in named)
        return tuple(name for name in keys if looks_secret(name, columns[name]))


def subject_of(model: object) -> Mapper[Any] | FromClause:
    """The mapper of a class, or the table itself."""
    if isinstance(model, FromClause):
        return model
    if isinstance(model, type):
        try:
            return class_mapper(model, configure=False)
        except sa.orm.exc.UnmappedClassError:
            if issubclass(model, AbstractConcreteBase):
                raise SchemaError(
                    f"{model.__name__} has no table of its own; register its subclasses"
                ) from None
    raise SchemaError(f"{model!r} is neither a mapped class nor a Table")


def about_secrets(registration: Registration) -> list[str]:
    """What is said of a resource's columns that look like secrets, and that no option names."""
    name = registration.name
    hidden = [
        f"resource {name!r}: {column!r} looks like a secret and is hidden; "
        f"show=({column!r},) makes it readable, hidden=({column!r},) ends this message"
        for column in registration.secrets
    ]
    return hidden + [
        f"resource {name!r}: {column!r} looks like a secret, but is the key, which can't be "
        f"hidden; show=({column!r},) ends this message"
        for column in registration.secret_keys
    ]


def default_name(subject: Mapper[Any] | FromClause) -> str:
    """The table's name."""
    table = subject.local_table if isinstance(subject, Mapper) else subject
    return str(getattr(table, "name", None) or "resource")


def build_schema(registrations: Sequence[Registration]) -> Schema:
    """Every registered resource, and unexposed ones for the other classes of their registries."""
    resources: dict[str, Resource] = {}
    unregistered = _unregistered(registrations)
    for registration in registrations:
        if registration.name in resources:
            raise SchemaError(f"two resources are called {registration.name!r}; give one a name=")
        resources[registration.name] = _resource(registration, exposed=True)
    for mapper in unregistered:
        name = f"{mapper.class_.__module__}.{mapper.class_.__qualname__}"
        resources[name] = _resource(Registration(subject=mapper, name=name), exposed=False)
    return Schema(resources=MappingProxyType(_related(resources)))


def _unregistered(registrations: Iterable[Registration]) -> list[Mapper[Any]]:
    registered = {r.subject for r in registrations if isinstance(r.subject, Mapper)}
    registries = {mapper.registry for mapper in registered}
    for registry in registries:
        # A relationship may lead to a class of another registry.
        registry.configure(cascade=True)
    mappers = {m for registry in registries for m in registry.mappers} - registered
    return sorted(mappers, key=lambda m: m.class_.__qualname__)


def _resource(r: Registration, *, exposed: bool) -> Resource:
    source, secrets = source_of(r.subject), r.secrets
    fields = {
        name: _field(name, column, r, source, secret=name in secrets)
        for name, column in columns_of(r.subject).items()
    }
    mapper = r.subject if isinstance(r.subject, Mapper) else None
    if r.history and not (source.stored and key_names(r.subject)):
        raise SchemaError(
            f"resource {r.name!r}: history=True needs rows of a table that has a primary key"
        )
    return Resource(
        name=r.name,
        source=source.clause,
        table=source.table,
        tables=source.tables,
        fields=MappingProxyType(fields),
        relations=MappingProxyType({}),
        key=tuple(fields[name] for name in key_names(r.subject)),
        mapper=mapper,
        bind=bind_of(source.clause if source.table is None else source.table),
        criterion=_single_table_criterion(mapper),
        exposed=exposed,
        read_only=r.read_only or not source.stored,
        search=tuple(fields[name] for name in r.search),
        order=r.order,
        page_size=r.page_size,
        max_page_size=r.max_page_size,
        max_depth=r.max_depth,
        require_match=r.require_match,
        validate=r.validate,
        history=r.history,
        cache=r.cache,
        stale=r.stale,
    )


def _field(
    name: str, column: KeyedColumnElement[Any], r: Registration, source: Source, *, secret: bool
) -> Field:
    generated = is_generated(column)
    made = generated or (column.primary_key and _has_default(column))
    readable = name in r.readable if r.readable is not None else True
    writable = name in r.writable if r.writable is not None else not made
    as_string = isinstance(column, Column) and column.info.get("json") == "string"
    type_ = field_type(column.type, wide=r.wide_integers, as_string=as_string)
    if r.mixed_spellings:
        type_ = replace(type_, mixed_spellings=type_.kind in _MOMENTS)
    strict = isinstance(column, Column) and (source.strict or column.primary_key)
    return Field(
        name=name,
        column=column,
        type=type_,
        nullable=not strict or bool(column.nullable),
        has_default=_has_default(column),
        generated=generated,
        readable=readable and name not in r.hidden and not secret,
        secret=secret,
        writable=writable and not generated and source.stored and not r.read_only,
    )


def _has_default(column: KeyedColumnElement[Any]) -> bool:
    if not isinstance(column, Column):
        return False
    table: FromClause = column.table
    automatic = isinstance(table, Table) and table.autoincrement_column is column
    return column.default is not None or column.server_default is not None or automatic


def _single_table_criterion(mapper: Mapper[Any] | None) -> sa.ColumnElement[bool] | None:
    """Single-table inheritance: the rows that are of this class or its subclasses."""
    if mapper is None or not mapper.single or mapper.polymorphic_on is None:
        return None
    column = mapper.polymorphic_on
    # Not IN, whose list SQLAlchemy fills in only when it executes a statement itself.
    classes = [m for m in mapper.self_and_descendants if not m.polymorphic_abstract]
    return sa.or_(sa.false(), *(column == m.polymorphic_identity for m in classes))


def _related(resources: Mapping[str, Resource]) -> dict[str, Resource]:
    """The same resources with their relations, which need all the names."""
    finished: dict[str, Resource] = {}
    for name, resource in resources.items():
        # No statement reaches into another database.
        near = [other for other in resources.values() if other.bind == resource.bind]
        relations: dict[str, tuple[Relation, ...]] = {}
        for relation in foreign_key_relations(resource, near):
            relations[relation.name] = (*relations.get(relation.name, ()), relation)
        for relation in mapped_relations(resource, near):
            # A relationship of the class always means itself, whatever a foreign key suggests.
            relations[relation.name] = (relation,)
        relations = {
            key: tuple(with_ends(r, near) for r in found) for key, found in relations.items()
        }
        finished[name] = _with_relations(resource, relations)
    return finished


def _with_relations(resource: Resource, relations: dict[str, tuple[Relation, ...]]) -> Resource:
    values = {name: getattr(resource, name) for name in resource.__struct_fields__}
    return Resource(**{**values, "relations": MappingProxyType(relations)})
