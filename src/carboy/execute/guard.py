"""Rows of a write held against the actor's policies, by the database, within the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.orm import Session

from ..access import Access, Action, Condition
from ..errors import Problem, ReferenceMissing
from ..plan import RowPlan, WritePlan, walk_rows
from ..schema import Resource, comparable_value
from ..sql import rows_within

_CHUNK = 500
_DONE = {"create": "created", "update": "changed", "delete": "deleted", "read": "read"}

Key = tuple[Any, ...]


class Guard:
    """Asks the policies about the rows of one write."""

    def __init__(self, session: Session, access: Access) -> None:
        self._session = session
        self._access = access
        self._limits: dict[Resource, dict[sa.ForeignKeyConstraint, Resource]] = {}

    def require(self, action: Action, resource: Resource, instances: Sequence[Any]) -> None:
        """Raise Forbidden or Unauthorized unless the rows, as they are now, fulfil the rule."""
        if self._access.rows(resource, action) is True:
            return
        keys = [key_of(resource, instance) for instance in instances]
        self.require_rows(action, resource, [field.column for field in resource.key], keys)

    def require_rows(
        self, action: Action, resource: Resource, columns: Sequence[Any], keys: Sequence[Key]
    ) -> None:
        """The same of rows by what they have in some columns."""
        found = self.rows_within(action, resource, columns, keys)
        if len(found) < len({compared(key) for key in keys}):
            which = "this row" if len(keys) == 1 else "one of these rows"
            raise self._access.refusal(f"{resource.name!r}: {which} may not be {_DONE[action]}")

    def within(self, action: Action, resource: Resource, keys: Iterable[Key]) -> set[Key]:
        """Those of the keys whose rows fulfil the rule; all or none where it isn't SQL."""
        columns = [field.column for field in resource.key]
        return self.rows_within(action, resource, columns, keys)

    def require_references(self, plan: WritePlan) -> None:
        """Refuse foreign keys to rows that the actor may not read, as if they weren't there."""
        problems = list(self._unreadable(plan))
        if problems:
            more = f"; {len(problems)} faults in all" if len(problems) > 1 else ""
            raise ReferenceMissing(problems[0].detail + more, problems)

    def require_rest_of_references(
        self, plan: WritePlan, written: Sequence[tuple[RowPlan, Any]]
    ) -> None:
        """The same for foreign keys of several columns, of which a body has only some.

        The row has the others already, or the policy sets them.
        """
        for row, instance in written:
            for constraint, target in self._limited(plan, row.resource).items():
                key = _value_of(row, instance, constraint)
                if key is not None and not self._points_well(target, constraint, key, written):
                    raise unknown_reference(plan)

    def _points_well(
        self,
        target: Resource,
        constraint: sa.ForeignKeyConstraint,
        key: Key,
        written: Sequence[tuple[RowPlan, Any]],
    ) -> bool:
        columns = [element.column for element in constraint.elements]
        if self.rows_within("read", target, columns, [key]):
            return True
        names = _names(target)
        own = [instance for row, instance in written if row.resource is target]
        return any(key == tuple(getattr(i, names.get(c, ""), None) for c in columns) for i in own)

    def _limited(
        self, plan: WritePlan, resource: Resource
    ) -> dict[sa.ForeignKeyConstraint, Resource]:
        """The foreign keys that lead to rows of which not all may be read, and where.

        Found once for a resource: a body may have thousands of its rows.
        """
        if resource not in self._limits:
            targets = [(c, self._limited_target(plan, c)) for c in _constraints(resource)]
            self._limits[resource] = {c: target for c, target in targets if target is not None}
        return self._limits[resource]

    def _limited_target(
        self, plan: WritePlan, constraint: sa.ForeignKeyConstraint
    ) -> Resource | None:
        """Where a foreign key leads, unless all rows there may be read."""
        target = plan.schema.exposing(constraint.referred_table)
        return None if target is None or self._access.rows(target, "read") is True else target

    def _unreadable(self, plan: WritePlan) -> Iterator[Problem]:
        """The foreign keys in a body that point at no row that may be read."""
        for (constraint, target), referring in self._referring(plan).items():
            columns = [element.column for element in constraint.elements]
            keys = [key for key, _ in referring]
            known = self.rows_within("read", target, columns, keys) | _own_keys(
                plan, target, columns
            )
            for key, row in referring:
                if compared(key) not in known:
                    yield missing_reference(row, constraint)

    def _referring(
        self, plan: WritePlan
    ) -> dict[tuple[sa.ForeignKeyConstraint, Resource], list[tuple[Key, RowPlan]]]:
        """What a body sets such foreign keys to, with the rows that do."""
        found: dict[tuple[sa.ForeignKeyConstraint, Resource], list[tuple[Key, RowPlan]]] = {}
        for row in walk_rows(plan.rows):
            for limited in () if row.link else self._limited(plan, row.resource).items():
                key = reference_key(row, limited[0])
                if key is not None:
                    found.setdefault(limited, []).append((key, row))
        return found

    def rows_within(
        self, action: Action, resource: Resource, columns: Sequence[Any], keys: Iterable[Key]
    ) -> set[Key]:
        """``within`` by what the rows have in some columns."""
        wanted = {compared(key): key for key in keys}
        decision = self._access.rows(resource, action)
        if not isinstance(decision, Condition):
            return set(wanted) if decision else set()
        found: set[Key] = set()
        values = list(wanted.values())
        for start in range(0, len(values), _CHUNK):
            query = rows_within(resource, decision, columns, values[start : start + _CHUNK])
            found |= {compared(tuple(row)) for row in self._session.connection().execute(query)}
        return found & set(wanted)


def key_of(resource: Resource, instance: Any) -> Key:
    """An object's key, by attribute values."""
    return tuple(getattr(instance, field.name) for field in resource.key)


def compared(key: Key | None) -> Key:
    """A key as dictionaries compare it."""
    return tuple(comparable_value(value) for value in key or ())


def missing_reference(row: RowPlan, constraint: sa.ForeignKeyConstraint) -> Problem:
    """What is said of a foreign key that points nowhere."""
    columns = [element.parent for element in constraint.elements]
    names = [f.name for c in columns for f in row.resource.fields.values() if f.column is c]
    detail = f"{' and '.join(names)}: there is no such row"
    number = UNSET if row.row is None else row.row
    return Problem(detail, ReferenceMissing.code, f"{row.pointer}/{names[0]}", row=number)


def reference_key(row: RowPlan, constraint: sa.ForeignKeyConstraint) -> Key | None:
    """The values that a row of a body has for a foreign key, or None where it has none."""
    names = _names(row.resource)
    values = [row.values.get(names.get(e.parent, "")) for e in constraint.elements]
    return None if None in values else tuple(values)


def references(rows: Iterable[RowPlan]) -> Iterator[tuple[RowPlan, sa.ForeignKeyConstraint]]:
    """Every row of a body that is written, with each foreign key of its tables."""
    for row in walk_rows(rows):
        for constraint in () if row.link else _constraints(row.resource):
            yield row, constraint


def _names(resource: Resource) -> dict[Any, str]:
    return {field.column: field.name for field in resource.fields.values()}


def _constraints(resource: Resource) -> Iterator[sa.ForeignKeyConstraint]:
    for table in resource.tables:
        yield from sorted(table.foreign_key_constraints, key=lambda c: list(c.column_keys))


def set_in_part(row: RowPlan, constraint: sa.ForeignKeyConstraint) -> bool:
    """Whether a body has some columns of a foreign key, but not all."""
    names = _names(row.resource)
    given = [names.get(element.parent) in row.values for element in constraint.elements]
    return any(given) and not all(given)


def unknown_reference(plan: WritePlan) -> ReferenceMissing:
    """What is said of a foreign key that a body has in part, if no readable row has it."""
    return ReferenceMissing(f"{plan.resource.name!r}: a row that it points at isn't there")


def _value_of(row: RowPlan, instance: Any, constraint: sa.ForeignKeyConstraint) -> Key | None:
    """What a foreign key that a body has in part has come to."""
    names = _names(row.resource)
    own = [names.get(element.parent) for element in constraint.elements]
    if not set_in_part(row, constraint) or None in own:
        return None
    key = tuple(getattr(instance, name) for name in own if name is not None)
    return None if None in key else key


def _own_keys(plan: WritePlan, target: Resource, columns: Sequence[Any]) -> set[Key]:
    """What the body's own rows will have in the columns: they may point at each other."""
    names = _names(target)
    rows = [row for row in walk_rows(plan.rows) if row.resource is target and not row.link]
    keys = [[row.values.get(names.get(c, "")) for c in columns] for row in rows]
    return {compared(tuple(key)) for key in keys if None not in key}
