"""Rows of a plan to mapped objects, by the class's own rules: constructor, validators, cascades."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import ColumnProperty, Mapper, MapperProperty, RelationshipProperty, Session
from sqlalchemy.orm.collections import collection_adapter

from ..access import Action
from ..plan import (
    Faults,
    RelatedPlan,
    RowPlan,
    WritePlan,
    has_default,
    is_mappers_own,
    walk_rows,
)
from ..schema import Resource
from ..sql import rows_with
from .database import Database
from .guard import Guard, Key, compared, key_of
from .link_rows import LinkRows

_CHUNK = 500


class Refused(Exception):
    """An event of the application's mappers raised ValueError, which has this text."""


class Objects:
    """Makes and changes the objects of one write; what the rules refuse goes to ``faults``."""

    def __init__(
        self, database: Database, session: Session, plan: WritePlan, guard: Guard, faults: Faults
    ) -> None:
        self._database = database
        self._session = session
        self._plan = plan
        self._guard = guard
        self._faults = faults
        self._written: list[tuple[Action, Resource, Any]] = []
        self._changed: list[tuple[RowPlan, Any]] = []
        self._links = LinkRows(guard, plan.schema)
        self._linked: dict[tuple[str, Key], Any] = {}

    def load_links(self, rows: Iterable[RowPlan]) -> None:
        """Find every row that the body links, with one statement for each resource."""
        wanted: dict[str, tuple[Resource, dict[Key, None]]] = {}
        for row in walk_rows(rows):
            if row.link and row.key is not None and None not in row.key:
                _, keys = wanted.setdefault(row.resource.name, (row.resource, {}))
                keys[row.key] = None
        for name, (resource, keys) in wanted.items():
            loaded = self.load(resource, list(keys))
            readable = self._guard.within("read", resource, [*keys])
            for key in loaded.keys() & readable:
                self._linked[name, key] = loaded[key]
        for row in walk_rows(rows):
            if row.link and (row.resource.name, compared(row.key)) not in self._linked:
                name = row.resource.name
                self._faults.add(row.pointer, f"{name!r} has no such row", "reference-missing")

    def load(self, resource: Resource, keys: Sequence[Key]) -> dict[Key, Any]:
        """The objects with these keys."""
        mapper = self._database.mapper(resource)
        found: dict[Key, Any] = {}
        for start in range(0, len(keys), _CHUNK):
            part = keys[start : start + _CHUNK]
            query = rows_with(resource, mapper, resource.key, part, lock=False)
            for instance in self._session.scalars(query):
                found[compared(key_of(resource, instance))] = instance
        return found

    def flush(self) -> None:
        """Write what has changed, and hold the rows as they are now against the policies.

        Raises Refused, what the database does, or Forbidden.
        """
        try:
            self._session.flush()
        except ValueError as error:
            raise Refused(str(error) or "is refused") from error
        written: dict[tuple[Action, Resource], list[Any]] = {}
        for action, resource, instance in self._written:
            written.setdefault((action, resource), []).append(instance)
        for (action, resource), instances in written.items():
            self._guard.require(action, resource, instances)
        self._guard.require_rest_of_references(self._plan, self._changed)
        self._links.require_made()

    def start_over(self) -> None:
        """Forget what was written: a savepoint took it back."""
        self._written.clear()
        self._changed.clear()
        self._links.start_over()

    def before(self, action: Action, resource: Resource, instances: Sequence[Any]) -> None:
        """Hold rows that are about to be changed or deleted against the policies."""
        self._guard.require(action, resource, instances)
        if action == "update":
            self._written += [(action, resource, instance) for instance in instances]

    def create(self, row: RowPlan) -> Any:
        """A new object, not yet in the session; None where its class refuses it."""
        mapper = self._database.mapper(row.resource)
        values = {**row.values, **self._plan.access.values(row.resource, "create")}
        try:
            context = DefaultContext(self._session.connection(), dict(values))
            instance = _construct(mapper, values, context)
        except (ValueError, AssertionError) as error:
            self._faults.add(row.pointer, str(error))
            return None
        self._changed.append((row, instance))
        self._set(instance, values, row)
        for name, related in row.related.items():
            self._relate(instance, name, related, row)
        self._written.append(("create", row.resource, instance))
        return instance

    def update(self, instance: Any, row: RowPlan) -> None:
        """Give an object the row's values and relations."""
        self._changed.append((row, instance))
        filled = self._plan.access.values(row.resource, "update")
        self._set(instance, {**row.values, **filled}, row)
        for name, related in row.related.items():
            self._relate(instance, name, related, row)

    def replace(self, instance: Any, row: RowPlan) -> None:
        """Give an object the row's values, and the defaults or null for what it leaves out.

        What the policy keeps from the actor stays: they can't know what to send.
        """
        writable = self._plan.access.writable(row.resource, "update")
        hides = self._plan.access.hides_field
        given = {c for r in row.related.values() if r.filled for c in r.filled.own}
        fields = {f.name: f.column.key for f in row.resource.fields.values()}
        parameters = {fields[name]: value for name, value in row.values.items()}
        context = DefaultContext(self._session.connection(), parameters)
        for field in row.resource.fields.values():
            left_out = field.name not in row.values and field.column not in given
            kept = field in row.resource.key or is_mappers_own(row.resource, field)
            if field in writable and left_out and not (kept or hides(row.resource, field)):
                value = None
                if has_default(row.resource, field):
                    value = default_value(field.column, context)
                    parameters[field.column.key] = value
                if value is not None or field.nullable:
                    self._set(instance, {field.name: value}, row)
        self.update(instance, row)

    def _set(self, instance: Any, values: Any, row: RowPlan) -> None:
        for name, value in values.items():
            try:
                setattr(instance, name, value)
            except (ValueError, AssertionError) as error:
                self._faults.add(f"{row.pointer}/{name}", str(error) or "is refused")

    def _relate(self, instance: Any, name: str, related: RelatedPlan, row: RowPlan) -> None:
        attribute = related.relation.attribute
        assert attribute is not None
        target = self._plan.schema.resources[related.relation.target]
        existing, unseen = self._children(instance, attribute, related, target)
        members: list[Any] = []
        for child in related.rows:
            member = self._member(child, existing)
            if member is not None and not any(member is m for m in unseen):
                members.append(member)
        self._require_keepable(instance, related, existing, members)
        self._check_children(instance, related, target, existing, members)
        self._links.change(instance, related.relation, [*existing.values()], members)
        value: Any = members[0] if members else None
        if related.relation.many:
            value = _as_collection(instance, attribute, [*unseen, *members])
        try:
            setattr(instance, attribute, value)
        except (ValueError, AssertionError) as error:
            self._faults.add(f"{row.pointer}/{name}", str(error) or "is refused")

    def _children(
        self, instance: Any, attribute: str, related: RelatedPlan, target: Resource
    ) -> tuple[dict[Key, Any], list[Any]]:
        """The rows that now point at a row that is there, or that it is linked with, by key.

        Those that the actor may not read come apart, and stay: the body's list is of what they see.
        """
        theirs = related.relation.many or (related.filled is not None and related.filled.theirs)
        if not theirs or not sa.inspect(instance).has_identity:
            return {}, []
        current = getattr(instance, attribute)
        if related.relation.many:
            children = list(collection_adapter(current))
        else:
            children = [] if current is None else [current]
        keys = {key_of(target, child): child for child in children}
        readable = self._guard.within("read", target, keys)
        tied = self._links.readable(instance, related.relation, children)
        readable &= {compared(key_of(target, child)) for child in tied}
        unseen = [child for key, child in keys.items() if compared(key) not in readable]
        if unseen and not related.relation.many:
            raise self._plan.access.refusal(f"{target.name!r}: the row there may not be replaced")
        seen = {compared(key): child for key, child in keys.items() if compared(key) in readable}
        return seen, unseen

    def _check_children(
        self,
        instance: Any,
        related: RelatedPlan,
        target: Resource,
        existing: dict[Key, Any],
        members: list[Any],
    ) -> None:
        """Rows whose foreign key is set or taken away are updated; orphans may be deleted."""
        there = {id(child) for child in existing.values()}
        stay = {id(member) for member in members}
        added = [member for member in members if id(member) not in there]
        left = [child for child in existing.values() if id(child) not in stay]
        if related.filled is None or not related.filled.theirs:
            return
        prop = sa.inspect(instance).mapper.relationships[related.relation.attribute]
        self.before("update", target, [m for m in added if sa.inspect(m).has_identity])
        orphaned = prop.cascade.delete_orphan
        if left and not orphaned:
            self._require_writable(target, related)
        self.before("delete" if orphaned else "update", target, left)

    def _require_writable(self, target: Resource, related: RelatedPlan) -> None:
        """Leaving out a row takes its foreign key away."""
        writable = self._plan.access.writable(target, "update")
        columns = related.filled.theirs if related.filled else ()
        for field in target.fields.values():
            if field.column in columns and field not in writable:
                detail = f"leaves out rows whose {field.name!r} can't be written"
                self._faults.add(related.pointer, detail, "read-only")

    def _member(self, child: RowPlan, existing: dict[Key, Any]) -> Any:
        if child.link:
            return self._linked.get((child.resource.name, compared(child.key)))
        if not child.partial:
            return self.create(child)
        found = existing.get(compared(child.key))
        if found is None:
            self._faults.add(child.pointer, "is not among the rows that are there", "missing")
            return None
        self.before("update", child.resource, [found])
        self.update(found, child)
        return found

    def _require_keepable(
        self, instance: Any, related: RelatedPlan, existing: dict[Key, Any], members: list[Any]
    ) -> None:
        """Refuse to orphan rows that can't be without their parent."""
        theirs = related.filled.theirs if related.filled else ()
        prop = sa.inspect(instance).mapper.relationships[related.relation.attribute]
        left_out = [c for c in existing.values() if not any(c is m for m in members)]
        required = any(not column.nullable for column in theirs)
        if left_out and required and not (prop.cascade.delete_orphan):
            self._faults.add(
                related.pointer, "leaves out rows that can't be without this one", "orphans"
            )


class DefaultContext:
    """What a default that is a function of its context may ask for (SQLAlchemy's documentation).

    ``current_parameters`` are the row's values by column, as far as they are known.
    """

    def __init__(self, connection: sa.Connection, parameters: dict[str, Any]) -> None:
        self.connection = connection
        self.root_connection = connection
        self.engine = connection.engine
        self.dialect = connection.dialect
        self.current_parameters = parameters

    def get_current_parameters(self, isolate_multiinsert_params: bool = True) -> dict[str, Any]:
        """The row's values; there is one row, so ``isolate_multiinsert_params`` changes nothing."""
        return self.current_parameters


def default_value(column: sa.ColumnElement[Any], context: DefaultContext) -> Any:
    """What a row that leaves the column out would get."""
    if not isinstance(column, sa.Column):
        return None
    default = column.default
    if isinstance(default, sa.Sequence):
        return default.next_value()
    if default is not None and default.is_callable:
        return default.arg(context)  # type: ignore[attr-defined]
    if default is not None:
        return default.arg  # type: ignore[attr-defined]
    server = getattr(column.server_default, "arg", None)
    if isinstance(server, str):
        # Without a type, so that the database reads it as the column's.
        quoted = server.replace("'", "''")
        return sa.literal_column(f"'{quoted}'")
    return server


def _construct(mapper: Mapper[Any], values: dict[str, Any], context: DefaultContext) -> Any:
    """Call the class with what its constructor demands, taken out of ``values``."""
    class_ = mapper.class_
    demanded = [
        name
        for name, parameter in inspect.signature(class_.__init__).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name in mapper.attrs
    ]
    absent = {n: _absent(mapper.attrs[n], context) for n in demanded if n not in values}
    return class_(**{n: values.pop(n) for n in demanded if n in values}, **absent)


def _absent(attribute: MapperProperty[Any], context: DefaultContext) -> Any:
    """What a constructor that asks for an attribute gets where the row doesn't have it.

    Relations are set afterwards.
    """
    if isinstance(attribute, RelationshipProperty):
        return (attribute.collection_class or list)() if attribute.uselist else None
    if isinstance(attribute, ColumnProperty) and isinstance(attribute.columns[0], sa.Column):
        return default_value(attribute.columns[0], context)
    return None


def _as_collection(instance: Any, attribute: str, members: list[Any]) -> Any:
    """The members in the kind of collection that the relationship has."""
    made: Any = sa.inspect(instance).mapper.relationships[attribute].collection_class
    return set(members) if isinstance(made, type) and issubclass(made, set) else members
