"""Upsert through mapped objects: lock what is there, change it, insert the rest.

A row that appears between the two is met as a duplicate; the savepoint is taken back and the
next round finds it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.orm import Session

from ..plan import Faults, RowPlan, WritePlan
from ..schema import comparable_value
from ..sql import rows_with
from .conflicts import duplicate, violates_only
from .database import Database
from .guard import Guard, Key, compared, key_of
from .objects import Objects

_ROUNDS = 5
_CHUNK = 500


class Upserted(Struct, frozen=True):
    """The objects in the request's order, and how many of them are new or changed."""

    instances: list[Any]
    created: int
    affected: int


class Upsert:
    """One upsert within its transaction."""

    def __init__(
        self,
        database: Database,
        session: Session,
        plan: WritePlan,
        objects: Objects,
        guard: Guard,
        faults: Faults,
    ) -> None:
        self._database = database
        self._session = session
        self._plan = plan
        self._objects = objects
        self._guard = guard
        self._faults = faults
        self._names = [field.name for field in plan.conflict]

    def run(self) -> Upserted:
        """Insert or change every row of the plan."""
        for round_ in range(_ROUNDS):
            try:
                return self._round()
            except sa.exc.IntegrityError as error:
                ours = violates_only(error, self._plan.resource, set(self._names))
                if not ours or round_ == _ROUNDS - 1:
                    raise
        raise AssertionError("the last round returns or raises")

    def _round(self) -> Upserted:
        self._objects.start_over()
        existing = self._existing()
        self._require_seen(existing)
        if not self._plan.keep_existing:
            self._objects.before("update", self._plan.resource, list(existing.values()))
        instances: list[Any] = []
        new: list[Any] = []
        for row in self._plan.rows:
            found = existing.get(self._match(row))
            if found is None:
                found = self._create(row)
                new.append(found)
            elif not self._plan.keep_existing:
                self._objects.update(found, self._without_key(row))
            instances.append(found)
        self._faults.raise_any()
        self._objects.flush()
        with self._session.begin_nested():
            self._session.add_all(new)
            self._objects.flush()
        affected = len(new) if self._plan.keep_existing else len(instances)
        return Upserted(instances, len(new), affected)

    def _require_seen(self, existing: dict[Key | None, Any]) -> None:
        """A row that the actor may not read is in the way, as in any other write."""
        resource = self._plan.resource
        keys = {match: key_of(resource, found) for match, found in existing.items()}
        readable = self._guard.within("read", resource, keys.values())
        for row in self._plan.rows:
            key = keys.get(self._match(row))
            if key is not None and compared(key) not in readable:
                raise duplicate(resource, row, [self._plan.conflict])

    def _match(self, row: RowPlan) -> Key | None:
        values = tuple(comparable_value(row.values.get(name)) for name in self._names)
        return None if None in values else values

    def _existing(self) -> dict[Key | None, Any]:
        plan = self._plan
        mapper = self._database.mapper(plan.resource)
        rows = [row for row in plan.rows if self._match(row) is not None]
        wanted = [tuple(row.values[name] for name in self._names) for row in rows]
        found: dict[Key | None, Any] = {}
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]
            query = rows_with(plan.resource, mapper, plan.conflict, part, lock=True)
            for instance in self._session.scalars(query):
                values = (getattr(instance, name) for name in self._names)
                found[tuple(comparable_value(value) for value in values)] = instance
        return found

    def _create(self, row: RowPlan) -> Any:
        access, resource = self._plan.access, self._plan.resource
        filled = access.values(resource, "create")
        for field in self._plan.conflict:
            given = row.values.get(field.name)
            settable = field in access.writable(resource, "create")
            if given is not None and not settable and given != filled.get(field.name):
                detail = "there is no such row, and a new one gets its own"
                self._faults.add(f"{row.pointer}/{field.name}", detail, "missing")
        return self._objects.create(row)

    def _without_key(self, row: RowPlan) -> RowPlan:
        rest = {name: v for name, v in row.values.items() if name not in self._names}
        return replace(row, values=rest)
