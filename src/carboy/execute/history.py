"""A row's history: recorded in the transaction of each write, and read.

The values are those of the rows' own JSON, which the database writes as for any read: once before
a flush changes the rows, and once after it. So they are right whatever made them, defaults,
triggers and column types included, and look as the API shows them. A flush costs one SELECT for
what it changes or deletes, one for what it creates or changes (each for 500 rows of a resource),
and one INSERT.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Mapper, Session, object_session

from ..access import Actor
from ..plan import (
    PlannedHistory,
    ReadPlan,
    ReadResult,
    Recording,
    linking_relations,
    recorded_fields,
    recorded_key,
)
from ..plan.nodes import Allowed, FieldValue, Node, Output
from ..schema import Resource
from ..sql import HISTORY, compile_history, keyed_objects
from .database import Database, to_bytes
from .guard import Key, compared, key_of
from .tables import create_table

_CHUNK = 500
_INFO = "carboy_recorder"

Action: TypeAlias = Literal["create", "update", "delete"]
Values: TypeAlias = dict[str, msgspec.Raw]
"""JSON by field, as the database wrote it."""

_NULL = msgspec.Raw(b"null")


def execute_history(database: Database, planned: PlannedHistory, who: Actor) -> ReadResult | None:
    """One page of a row's history; None where there is no such row, or it may not be read."""
    prepare_history(database)
    plan = planned.plan
    dialect = database.engine.dialect
    statement = database.statement(plan, lambda: compile_history(plan, database.dialect, dialect))
    row = database.fetch(statement, planned.values, who)
    assert row is not None
    body, rows, last, known = row
    if not known:
        return None
    return ReadResult(to_bytes(body), rows, None if last is None else f"[{last}]")


def prepare_history(database: Database) -> None:
    """Create the table at a process's first need of it."""
    database.once(HISTORY.name, lambda: create_table(database.engine, HISTORY))


def prepare_recording(database: Database, recording: Recording) -> None:
    """Create the table, and let the mappers tell what they write."""
    prepare_history(database)
    database.once(_INFO, lambda: _listen(database, recording.resources))


def record(database: Database, session: Session, recording: Recording) -> None:
    """Record what the session writes from now on."""
    recorder = Recorder(database, session, recording)
    session.info[_INFO] = recorder
    sa.event.listen(session, "before_flush", recorder.begin)
    sa.event.listen(session, "after_flush", recorder.finish)


def _listen(database: Database, resources: Iterable[Resource]) -> None:
    """Only a mapper's own events tell of every row: a flush finds orphans and the like itself."""
    for resource in resources:
        mapper = database.mapper(resource)
        sa.event.listen(mapper, "before_insert", _before_insert, propagate=True)
        sa.event.listen(mapper, "before_update", _before_update, propagate=True)
        sa.event.listen(mapper, "before_delete", _before_delete, propagate=True)


def _before_insert(mapper: Mapper[Any], connection: sa.Connection, target: Any) -> None:
    _tell(target, "create")


def _before_update(mapper: Mapper[Any], connection: sa.Connection, target: Any) -> None:
    _tell(target, "update")


def _before_delete(mapper: Mapper[Any], connection: sa.Connection, target: Any) -> None:
    _tell(target, "delete")


def _tell(target: Any, action: Action) -> None:
    """Sessions of the application's own have no recorder, and are let be."""
    session = object_session(target)
    recorder = session.info.get(_INFO) if session is not None else None
    if recorder is not None:
        recorder.note(target, action)


class Recorder:
    """Watches the flushes of one write's session, and stores what each has changed."""

    def __init__(self, database: Database, session: Session, recording: Recording) -> None:
        self._database = database
        self._session = session
        self._recording = recording
        # One moment for all of a write, which shows what was done together.
        self._at = datetime.now(UTC)
        self._written: dict[int, tuple[Any, Action]] = {}
        self._before: dict[tuple[str, Key], Values] = {}

    def begin(self, *_: object) -> None:
        """A flush begins; what a failed one has left is forgotten."""
        self._written.clear()
        self._before.clear()

    def note(self, instance: Any, action: Action) -> None:
        """A row is about to be written: read what it holds, with all others that are known of."""
        if not self._written:
            self._look([*self._session.dirty, *self._session.deleted])
        if action != "create":
            self._look([instance])
        if action == "delete" or id(instance) not in self._written:
            self._written[id(instance)] = (instance, action)

    def finish(self, *_: object) -> None:
        """The flush has written everything: store what is different now."""
        entries = [e for resource in self._recording.resources for e in self._entries(resource)]
        if entries:
            self._session.connection().execute(sa.insert(HISTORY), entries)

    def _look(self, instances: Sequence[Any]) -> None:
        for resource in self._recording.resources:
            keys = [_old_key(resource, i) for i in instances if self._is_of(resource, i)]
            unread = [k for k in keys if (resource.name, compared(k)) not in self._before]
            for key, values in self._values(resource, unread, lock=True).items():
                self._before[resource.name, key] = values

    def _is_of(self, resource: Resource, instance: Any) -> bool:
        """Whether the object's row is one of the resource's: of its class, and in its table."""
        mapper, own = sa.inspect(instance).mapper, self._database.mapper(resource)
        return mapper.isa(own) and own.local_table in mapper.tables

    def _values(
        self, resource: Resource, keys: Sequence[Key], *, lock: bool = False
    ) -> dict[Key, Values]:
        """What the rows with these keys hold."""
        outputs = tuple(Output(f.name, FieldValue(f)) for f in recorded_fields(resource))
        # What happened is recorded whole, whatever the actor may read of it.
        plan = ReadPlan(Node(resource, outputs), (Allowed(resource),))
        found: dict[Key, Values] = {}
        for start in range(0, len(keys), _CHUNK):
            part = keys[start : start + _CHUNK]
            query = keyed_objects(plan, self._database.dialect, part)
            if lock:
                query = query.with_for_update(key_share=True)
            result = self._session.connection().execute(query)
            self._database.require_whole(result.cursor)
            for body, *parts in result:
                # A column's type may hand a key over in another spelling than the object's.
                key = tuple(parts) if len(keys) > 1 else keys[0]
                found[compared(key)] = msgspec.json.decode(to_bytes(body), type=Values)
        for key in keys if len(keys) > 1 else ():
            if compared(key) not in found:
                found |= self._values(resource, [key], lock=lock)
        return found

    def _entries(self, resource: Resource) -> Iterator[dict[str, Any]]:
        written = [(i, a) for i, a in self._written.values() if self._is_of(resource, i)]
        left = [key_of(resource, i) for i, action in written if action != "delete"]
        after = self._values(resource, left)
        for instance, action in written:
            old_key, new_key = _old_key(resource, instance), key_of(resource, instance)
            old = self._before.get((resource.name, compared(old_key)), {})
            new = {} if action == "delete" else after.get(compared(new_key), {})
            changes = dict(_differences(resource, old, new))
            if action != "delete":
                changes |= self._links(resource, instance)
            # What is deleted and made again in one flush is updated.
            done: Action = "update" if action == "create" and old else action
            if changes or done != "update":
                for key in sorted({recorded_key(resource, k) for k in (old_key, new_key)}):
                    yield self._entry(resource, key, done, changes)

    def _entry(
        self, resource: Resource, key: str, action: Action, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        actor = self._recording.actor
        return {
            "resource": resource.name,
            "key": key,
            "at": self._at,
            "actor": None if actor.is_anonymous else str(actor.id),
            "action": action,
            "changes": msgspec.json.encode(changes).decode(),
        }

    def _links(self, resource: Resource, instance: Any) -> Iterator[tuple[str, Any]]:
        """The rows that were linked and unlinked by relations with a link table."""
        for relation in linking_relations(resource):
            target = self._recording.schema.resources[relation.target]
            history = sa.inspect(instance).attrs[relation.attribute].history
            added, removed = (
                [recorded_key(target, key_of(target, o)) for o in objects or () if o is not None]
                for objects in (history.added, history.deleted)
            )
            if added or removed:
                yield relation.name, {"added": added, "removed": removed}


def _differences(resource: Resource, old: Values, new: Values) -> Iterator[tuple[str, Any]]:
    """What has changed, by field; of hidden fields only that they have."""
    for field in recorded_fields(resource):
        before, after = old.get(field.name, _NULL), new.get(field.name, _NULL)
        if bytes(before) != bytes(after):
            yield field.name, [before, after] if field.readable else []


def _old_key(resource: Resource, instance: Any) -> Key:
    """The key that the row has in the database until the flush."""
    attributes = sa.inspect(instance).attrs
    histories = [(field, attributes[field.name].history) for field in resource.key]
    return tuple(
        history.deleted[0] if history.deleted else getattr(instance, field.name)
        for field, history in histories
    )
