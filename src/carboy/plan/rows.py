"""One row of a body: names bound to fields and relations, values converted, faults collected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from msgspec import UNSET, Struct, field

from ..errors import InvalidBody, LimitExceeded, PayloadTooLarge, Problem
from ..schema import Field, Reader, Relation, Resource, Validate, attribute_value, reader
from .context import Context
from .links import FilledBy, filled_columns, nested_relation

MAX_FAULTS = 100
_SHOWN_FAULTS = 3
_BY_PARENT = "is set by the object around it; leave it out"
_EMPTY: Mapping[str, Any] = MappingProxyType({})


class RowPlan(Struct, frozen=True, eq=False):
    """What one object of the body says.

    ``values`` are by attribute. ``key`` is the whole key where the object has it. A ``link`` has
    nothing but its key and stands for a row that exists; a ``partial`` row may be an existing one.
    """

    resource: Resource
    pointer: str
    row: int | None = None
    values: Mapping[str, Any] = _EMPTY
    related: Mapping[str, RelatedPlan] = _EMPTY
    key: tuple[Any, ...] | None = None
    link: bool = False
    partial: bool = False


class RelatedPlan(Struct, frozen=True, eq=False):
    """The rows that a relation shall lead to; none in a to-one relation means null."""

    relation: Relation
    rows: tuple[RowPlan, ...]
    pointer: str = ""
    filled: FilledBy | None = field(default=None)


def walk_rows(rows: Iterable[RowPlan]) -> Iterator[RowPlan]:
    """Rows and those nested in them."""
    for row in rows:
        yield row
        for related in row.related.values():
            yield from walk_rows(related.rows)


class Faults:
    """The faults of a body, the first hundred of them with their places."""

    def __init__(self, is_array: bool) -> None:
        self._is_array = is_array
        self._problems: list[Problem] = []
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    @property
    def full(self) -> bool:
        """Whether no more will be listed."""
        return self._count >= MAX_FAULTS

    def add(self, pointer: str, detail: str, code: str = "invalid") -> None:
        """Note a fault at a place in the body."""
        self._count += 1
        if self._count <= MAX_FAULTS:
            name = pointer.rsplit("/", 1)[-1]
            # A rule of the application's own may name the field itself.
            named = name and not name.isdigit() and not detail.startswith(name)
            described = f"{name} {detail}" if named else detail
            row = self.row(pointer)
            self._problems.append(
                Problem(described, code, pointer, row=UNSET if row is None else row)
            )

    def row(self, pointer: str) -> int | None:
        """The number of the row that a pointer leads into."""
        return int(pointer.split("/", 2)[1]) if self._is_array and pointer else None

    def raise_any(self) -> None:
        """Raise InvalidBody if there are any."""
        if not self._problems:
            return
        shown = [problem.detail for problem in self._problems[:_SHOWN_FAULTS]]
        if self._count > _SHOWN_FAULTS:
            shown.append(f"{self._count} faults in all")
        if self._count > MAX_FAULTS:
            shown.append(f"the first {MAX_FAULTS} are listed")
        raise InvalidBody("; ".join(shown), self._problems)


Mode = Literal["create", "update", "replace", "upsert", "delete"]


class Expected(Struct, frozen=True, eq=False):
    """What a row may have, what reads each value, and what a row without is given or lacks."""

    writable: frozenset[Field]
    readers: Mapping[str, Reader]
    needed: Sequence[Field]


class RowReader:
    """Reads the rows of one body."""

    def __init__(
        self, context: Context, missing: Literal["default", "null"] | None, is_array: bool
    ) -> None:
        self.faults = Faults(is_array)
        self._context = context
        self._access = context.access
        self._missing = missing
        self._rows = 0
        self._kept: dict[tuple[Resource, Mode], Expected] = {}

    def alone(self, resource: Resource, data: Mapping[str, object]) -> RowPlan:
        """A row of many that come one by one; raises InvalidBody with its own faults alone."""
        self.faults, self._rows = Faults(False), 0
        row = self.root(resource, data, "", "create", None, ())
        self.faults.raise_any()
        return row

    def root(
        self,
        resource: Resource,
        data: Mapping[str, object],
        pointer: str,
        mode: Mode,
        item: tuple[Any, ...] | None,
        conflict: tuple[Field, ...],
    ) -> RowPlan:
        """A row of the resource that the URL names; ``item`` is the URL's key."""
        matching = resource.key if item is not None else conflict
        row = self._row(resource, data, pointer, mode, matching=matching)
        if self._context.validate is not None:
            self._validate(self._context.validate, row.values, pointer)
        if item is None:
            return row
        values = dict(row.values)
        for field_, value in zip(resource.key, item, strict=True):
            name = field_.name
            if (
                name in values
                and values[name] != value
                and (mode == "replace" or field_ not in self._writable(resource, mode))
            ):
                self.faults.add(f"{pointer}/{name}", "isn't the key in the URL", "key-mismatch")
            elif name in values and values[name] == value:
                del values[name]
        return RowPlan(resource, pointer, row.row, values, row.related, item)

    def _row(
        self,
        resource: Resource,
        data: Mapping[str, object],
        pointer: str,
        mode: Mode,
        *,
        matching: tuple[Field, ...] = (),
        filled: Iterable[Any] = (),
        depth: int = 0,
    ) -> RowPlan:
        self._spend_row()
        expected = self._expected(resource, mode)
        writable, readers = expected.writable, expected.readers
        values: dict[str, Any] = {}
        related: dict[str, RelatedPlan] = {}
        by_parent = frozenset(filled)
        filled_here = by_parent
        for name, value in data.items():
            read = readers.get(name)
            if read is not None and value is not None and not by_parent:
                try:
                    values[name] = read(value)
                except ValueError as fault:
                    self.faults.add(f"{pointer}/{_token(name)}", str(fault))
                continue
            place = f"{pointer}/{_token(name)}"
            known = resource.fields.get(name)
            if known is not None and (known in writable or known in matching):
                if known.column in by_parent:
                    self.faults.add(place, _BY_PARENT)
                else:
                    self._value(known, value, place, values)
                continue
            relation = nested_relation(self._context, resource, name)
            if isinstance(relation, Relation):
                found = self._related(resource, relation, value, place, mode, depth + 1)
                related[name] = found
                own = set(found.filled.own if found.filled else ())
                if own & by_parent:
                    self.faults.add(place, _BY_PARENT)
                filled_here |= own
            else:
                self._refuse(resource, name, place, relation, writable)
        if related:
            self._conflicting(resource, data, related, pointer)
        if mode != "update":
            self._complete(resource, data, values, filled_here, pointer, mode)
        if resource.validate is not None:
            self._validate(resource.validate, values, pointer)
        return RowPlan(resource, pointer, self.faults.row(pointer), values, related)

    def _expected(self, resource: Resource, mode: Mode) -> Expected:
        """What is looked for in each row, found once for a body: it may have thousands."""
        key = (resource, mode)
        if key not in self._kept:
            writable = self._writable(resource, mode)
            readers = {field_.name: reader(field_) for field_ in writable}
            self._kept[key] = Expected(
                writable,
                readers,
                needed=[
                    field_
                    for field_ in resource.fields.values()
                    if field_ in writable
                    and (
                        self._missing == "null"
                        if field_.nullable
                        else not has_default(resource, field_)
                    )
                ],
            )
        return self._kept[key]

    def _writable(self, resource: Resource, mode: Mode) -> frozenset[Field]:
        """The fields that a row may have; an upsert's may be new as well as there."""
        if mode in ("create", "upsert"):
            created = self._access.writable(resource, "create")
            return (
                created if mode == "create" else created & self._access.writable(resource, "update")
            )
        return self._access.writable(resource, "update")

    def _spend_row(self) -> None:
        self._rows += 1
        limit = self._context.settings.max_rows
        if self._rows > limit:
            raise PayloadTooLarge(
                f"the body has more than {limit} rows, nested ones included (CARBOY_MAX_ROWS)"
            )

    def _value(self, known: Field, value: object, place: str, values: dict[str, Any]) -> None:
        if value is None and not known.nullable:
            self.faults.add(place, "can't be null", "not-null")
            return
        try:
            values[known.name] = attribute_value(known, value)
        except ValueError as fault:
            self.faults.add(place, str(fault))

    def _refuse(
        self,
        resource: Resource,
        name: str,
        place: str,
        reason: str | None,
        writable: frozenset[Field],
    ) -> None:
        known = resource.fields.get(name)
        if reason is not None:
            self.faults.add(place, reason, "read-only")
        elif known is not None and known in self._access.readable(resource):
            self.faults.add(place, "can't be written", "read-only")
        else:
            names = [f.name for f in resource.fields.values() if f in writable]
            near = difflib.get_close_matches(name, names, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            self.faults.add(place, f"is no field of {resource.name!r}{hint}", "unknown-field")

    def _conflicting(
        self,
        resource: Resource,
        data: Mapping[str, object],
        related: Mapping[str, RelatedPlan],
        pointer: str,
    ) -> None:
        for name, plan in related.items():
            for column in plan.filled.own if plan.filled else ():
                twice = [f for f in resource.fields.values() if f.column is column]
                for field_ in (f for f in twice if f.name in data):
                    self.faults.add(
                        f"{pointer}/{field_.name}", f"is set by {name!r}; send one of the two"
                    )

    def _complete(
        self,
        resource: Resource,
        data: Mapping[str, object],
        values: dict[str, Any],
        filled: frozenset[Any],
        pointer: str,
        mode: Mode,
    ) -> None:
        """Ask for what a whole row needs, and give it the nulls that it leaves out."""
        expected = self._expected(resource, mode)
        for field_ in expected.needed:
            if field_.name in data or field_.column in filled:
                continue
            if mode == "replace" and (
                field_ in resource.key or self._access.hides_field(resource, field_)
            ):
                continue  # the URL has it, or the row, which keeps what the actor doesn't know
            if field_.nullable:
                values[field_.name] = None
            else:
                self.faults.add(f"{pointer}/{field_.name}", "is required", "required")

    def _validate(self, validate: Validate, values: Mapping[str, Any], pointer: str) -> None:
        try:
            found = validate(MappingProxyType(dict(values))) or {}
        except ValueError as error:
            found = {"": str(error)}
        for name, detail in found.items():
            self.faults.add(f"{pointer}/{name}" if name else pointer, detail)

    # Nested rows

    def _related(
        self,
        resource: Resource,
        relation: Relation,
        value: object,
        place: str,
        mode: Mode,
        depth: int,
    ) -> RelatedPlan:
        limit = self._context.settings.max_depth
        if depth > limit:
            raise LimitExceeded(f"{place} is nested deeper than {limit} (CARBOY_MAX_DEPTH)")
        filled = filled_columns(resource, relation)
        self._require_assignable(resource, relation, filled, place, mode)
        target = self._context.schema.resources[relation.target]
        if not relation.many:
            if value is None:
                if any(not column.nullable for column in filled.own):
                    self.faults.add(place, "can't be null", "not-null")
                return RelatedPlan(relation, (), place, filled)
            child = self._child(target, value, place, mode, filled, depth)
            return RelatedPlan(relation, (child,) if child else (), place, filled)
        if not isinstance(value, list):
            self.faults.add(place, "must be an array of objects")
            return RelatedPlan(relation, (), place, filled)
        children = [
            self._child(target, element, f"{place}/{index}", mode, filled, depth)
            for index, element in enumerate(value)
        ]
        return RelatedPlan(relation, tuple(c for c in children if c), place, filled)

    def _child(
        self,
        target: Resource,
        value: object,
        place: str,
        mode: Mode,
        filled: FilledBy,
        depth: int,
    ) -> RowPlan | None:
        if not isinstance(value, dict):
            self.faults.add(place, "must be an object")
            return None
        names = {f.name for f in target.key}
        if not (names and names <= value.keys()):
            self._require_child(target, place, filled, "create")
            return self._row(target, value, place, "create", filled=filled.theirs, depth=depth)
        key: dict[str, Any] = {}
        for field_ in target.key:
            self._value(field_, value[field_.name], f"{place}/{field_.name}", key)
        whole = tuple(key.get(f.name) for f in target.key)
        row = self.faults.row(place)
        if value.keys() == names:
            self._spend_row()
            self._require_child(target, place, filled, "update")
            return RowPlan(target, place, row, key=whole, link=True)
        rest = {k: v for k, v in value.items() if k not in names}
        if filled.theirs and mode in ("update", "replace"):
            child = self._row(target, rest, place, "update", filled=filled.theirs, depth=depth)
            return RowPlan(target, place, row, child.values, child.related, whole, partial=True)
        if all(f in self._access.writable(target, "create") for f in target.key):
            self._require_child(target, place, filled, "create")
            return self._row(target, value, place, "create", filled=filled.theirs, depth=depth)
        fix = f"send only {','.join(sorted(names))} to link a row, or leave it out to create one"
        self.faults.add(place, fix)
        return None

    def _require_assignable(
        self, resource: Resource, relation: Relation, filled: FilledBy, place: str, mode: Mode
    ) -> None:
        """A relation sets foreign keys, which must be writable then, too."""
        writable = self._writable(resource, mode)
        own = [f for f in resource.fields.values() if f.column in filled.own]
        if not all(f in writable for f in own) or not self._access.writes_relation(
            resource, relation.name
        ):
            self.faults.add(place, "can't be written", "read-only")

    def _require_child(
        self, target: Resource, place: str, filled: FilledBy, action: Literal["create", "update"]
    ) -> None:
        """Making or taking over a child sets its foreign key, which must be writable then."""
        for column in filled.theirs:
            for field_ in (f for f in target.fields.values() if f.column is column):
                if field_ not in self._access.writable(target, action):
                    self.faults.add(place, f"{field_.name!r} can't be written", "read-only")


def is_mappers_own(resource: Resource, field_: Field) -> bool:
    """Whether the class's mapper writes the field: a version, or which subclass a row is of."""
    mapper = resource.mapper
    return mapper is not None and (
        mapper.polymorphic_on is field_.column or mapper.version_id_col is field_.column
    )


def has_default(resource: Resource, field_: Field) -> bool:
    """Whether a row gets a value for the field by itself."""
    return field_.has_default or field_.generated or is_mappers_own(resource, field_)


def _token(name: str) -> str:
    """A key within a pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
