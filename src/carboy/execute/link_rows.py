"""The rows of link tables that lists of related rows make and unmake, and their policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, RelationshipProperty

from ..schema import Relation, Resource, Schema
from .guard import Guard, Key, compared


class LinkRows:
    """Asks the policy of the resource that exposes a link table; without one there is none."""

    def __init__(self, guard: Guard, schema: Schema) -> None:
        self._guard = guard
        self._schema = schema
        self._made: list[tuple[Resource, Any, Relation, Any]] = []

    def readable(self, instance: Any, relation: Relation, members: Sequence[Any]) -> list[Any]:
        """The members of an object's list whose links to it may be read."""
        through = self._through(relation)
        if through is None:
            return list(members)
        columns, keys = _links(instance, relation, members)
        known = self._guard.rows_within("read", through, columns, keys)
        return [m for m, key in zip(members, keys, strict=True) if compared(key) in known]

    def change(
        self, instance: Any, relation: Relation, before: Sequence[Any], after: Sequence[Any]
    ) -> None:
        """Hold the links that go against the policy now; those that come, when they are there."""
        through = self._through(relation)
        if through is None:
            return
        gone = [m for m in before if not any(m is other for other in after)]
        columns, keys = _links(instance, relation, gone)
        self._guard.require_rows("delete", through, columns, keys)
        new = [m for m in after if not any(m is other for other in before)]
        self._made += [(through, instance, relation, member) for member in new]

    def require_made(self) -> None:
        """Hold the links that were made against the policy."""
        for through, instance, relation, member in self._made:
            columns, keys = _links(instance, relation, [member])
            self._guard.require_rows("create", through, columns, keys)

    def start_over(self) -> None:
        """Forget what was made: a savepoint took it back."""
        self._made.clear()

    def _through(self, relation: Relation) -> Resource | None:
        return None if relation.through is None else self._schema.resources[relation.through]


def _links(
    instance: Any, relation: Relation, members: Sequence[Any]
) -> tuple[list[Any], list[Key]]:
    """The link table's columns, and what the row for each member has in them."""
    prop: RelationshipProperty[Any] = sa.inspect(instance).mapper.relationships[relation.attribute]
    near, far = prop.synchronize_pairs, prop.secondary_synchronize_pairs or ()
    own = _values(sa.inspect(instance).mapper, instance, [column for column, _ in near])
    keys = [
        own + _values(sa.inspect(member).mapper, member, [column for column, _ in far])
        for member in members
    ]
    return [link for _, link in (*near, *far)], keys


def _values(mapper: Mapper[Any], instance: Any, columns: Sequence[Any]) -> Key:
    return tuple(getattr(instance, mapper.get_property_by_column(c).key) for c in columns)
