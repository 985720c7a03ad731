"""A write plan to its result, in one transaction.

Between BEGIN and COMMIT, a POST of one object is an INSERT and a SELECT, a PATCH a locking
SELECT, an UPDATE and a SELECT, however wide the row. An array is one INSERT (on SQLite one a
row where the database makes the keys) and a SELECT for each 500 rows; all rows of one resource
that a body links are found by one SELECT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.orm import Session

from ..errors import (
    ApiError,
    BadRequest,
    Forbidden,
    LimitExceeded,
    NotFound,
    PreconditionFailed,
)
from ..plan import MAX_FAULTS, Faults, Returning, RowPlan, WritePlan, WriteResult
from ..request import EntityTags
from ..schema import Resource, key_text
from ..sql import keyed_objects, locked_rows, rows_left
from .conflicts import deferred_error, still_referenced, together, violation, write_error
from .database import Database, to_bytes
from .errors import api_error
from .guard import Guard, Key, compared, key_of
from .history import prepare_recording, record
from .idempotency import find_result, keep_result, make_ready
from .insert import insert_plain
from .objects import Objects, Refused
from .plain import is_plain
from .transaction import retried, transaction
from .upsert import Upsert

_CHUNK = 500

Also: TypeAlias = Callable[[sa.Connection, WriteResult], None]
Around: TypeAlias = Callable[[], AbstractContextManager[Any]]


def execute_write(
    database: Database,
    plan: WritePlan,
    also: Also | None = None,
    around: Around = nullcontext,
) -> WriteResult:
    """Run a write; raises the ApiError that the rules or the database's constraints ask for.

    Rows that nothing but the database has a say in are inserted by one statement; what that
    doesn't accept, and everything else, goes through mapped objects, within ``around``. ``also``
    is called at the end of the write's transaction, whose COMMIT is for both.
    """
    if also is None and is_plain(database, plan):
        inserted = insert_plain(database, plan)
        if inserted is not None:
            return inserted
    with around():
        return _write_objects(database, plan, also or (lambda *_: None))


def _write_objects(database: Database, plan: WritePlan, also: Also) -> WriteResult:
    try:
        if plan.recording is not None:
            prepare_recording(database, plan.recording)
        if plan.once is None:
            return retried(database, lambda: _attempt(database, plan, also))
        with database.keys.held((plan.once.scope, plan.once.key)):
            make_ready(database, plan.once)
            return retried(database, lambda: _attempt(database, plan, also))
    except Refused as error:
        raise _refusal(database, plan, error) from error
    except database.errors as error:
        raise _refusal(database, plan, error) from error


def _refusal(database: Database, plan: WritePlan, error: Exception) -> ApiError:
    """The answer to a refusal by the database or an event, with all rows that it is about."""
    try:
        errors: list[ApiError] = []
        if _is_refusal(error) and len(plan.rows) > 1:
            errors = _refusals(database, plan)
        return together(errors) if errors else write_error(error, database, plan)
    except database.errors as another:
        return api_error(another, database.engine)


def _is_refusal(error: Exception) -> bool:
    # A check that fails is no IntegrityError to PyMySQL.
    return isinstance(error, Refused) or violation(error) is not None


def _refusals(database: Database, plan: WritePlan) -> list[ApiError]:
    """Go through the rows again, one by one, to say of each why it is refused.

    Nothing of it stays. It may find nothing: what stood in the way can be gone by now.
    """
    errors: list[ApiError] = []
    with transaction(database, plan.access.who, commit=False) as session:
        for row in plan.rows:
            single = replace(plan, rows=(row,), returning=None)
            try:
                with session.begin_nested():
                    Writer(database, session, single).write()
            except (Refused, sa.exc.DBAPIError) as error:
                if not _is_refusal(error):
                    raise
                errors.append(write_error(error, database, single, session.connection()))
            if len(errors) == MAX_FAULTS:
                break
    return errors


def _attempt(database: Database, plan: WritePlan, also: Also) -> WriteResult:
    with transaction(database, plan.access.who, commit=not plan.dry_run) as session:
        connection = session.connection()
        if plan.once is not None:
            known = find_result(database, connection, plan.once)
            if known is not None:
                also(connection, known)
                return known
        if plan.recording is not None:
            record(database, session, plan.recording)
        result = Writer(database, session, plan).write()
        if plan.once is not None:
            keep_result(connection, plan.once, result)
        if plan.dry_run:
            _check_deferred(database, connection, plan)
        also(connection, result)
        return result


def _check_deferred(database: Database, connection: sa.Connection, plan: WritePlan) -> None:
    """Find now what only the COMMIT would, which a dry run hasn't."""
    if database.dialect.check_deferred is not None:
        connection.exec_driver_sql(database.dialect.check_deferred)
        return
    error = deferred_error(plan, connection)
    if error is not None:
        raise error


class Writer:
    """One write within its transaction."""

    def __init__(self, database: Database, session: Session, plan: WritePlan) -> None:
        self._database = database
        self._session = session
        self._plan = plan
        self._faults = Faults(plan.many and plan.action in ("create", "upsert"))
        self._guard = Guard(session, plan.access)
        self._objects = Objects(database, session, plan, self._guard, self._faults)

    def write(self) -> WriteResult:
        """Do it, up to the COMMIT."""
        self._objects.load_links(self._plan.rows)
        self._faults.raise_any()
        self._guard.require_references(self._plan)
        match self._plan.action:
            case "create":
                return self._create()
            case "upsert":
                return self._upsert()
            case "delete":
                return self._delete()
            case _:
                return self._change()

    def _create(self) -> WriteResult:
        instances = [self._objects.create(row) for row in self._plan.rows]
        self._faults.raise_any()
        self._session.add_all(instances)
        self._objects.flush()
        return self._result(instances, created=len(instances))

    def _upsert(self) -> WriteResult:
        upsert = Upsert(
            self._database, self._session, self._plan, self._objects, self._guard, self._faults
        )
        done = upsert.run()
        return self._result(done.instances, created=done.created, affected=done.affected)

    def _change(self) -> WriteResult:
        instances = self._matching()
        row = self._plan.rows[0]
        if not instances and self._plan.key is not None:
            return self._put_missing(row)
        self._objects.before("update", self._plan.resource, instances)
        for instance in instances:
            if self._plan.action == "replace":
                self._objects.replace(instance, row)
            else:
                self._objects.update(instance, row)
            self._faults.raise_any()
        self._objects.flush()
        return self._result(instances)

    def _put_missing(self, row: RowPlan) -> WriteResult:
        plan = self._plan
        if not plan.create_missing or plan.action != "replace":
            raise _missing(plan)
        names = [field.name for field in plan.resource.key]
        values = {**row.values, **dict(zip(names, plan.key or (), strict=True))}
        instance = self._objects.create(
            RowPlan(plan.resource, row.pointer, values=values, related=row.related)
        )
        self._faults.raise_any()
        self._session.add(instance)
        self._objects.flush()
        return self._result([instance], created=1)

    def _delete(self) -> WriteResult:
        instances = self._matching()
        if not instances and self._plan.key is not None:
            raise _missing(self._plan)
        self._objects.before("delete", self._plan.resource, instances)
        result = self._result(instances)
        for instance in instances:
            self._session.delete(instance)
        try:
            self._objects.flush()
        except AssertionError as error:
            # What the unit of work says where it would take the key away from a child.
            raise still_referenced(self._plan) from error
        if self._database.row_security:
            self._require_deleted([key_of(self._plan.resource, each) for each in instances])
        return result

    def _require_deleted(self, keys: Sequence[Key]) -> None:
        """A DELETE passes over what a policy of the database keeps, without a word."""
        resource = self._plan.resource
        for start in range(0, len(keys), _CHUNK):
            query = rows_left(resource, keys[start : start + _CHUNK])
            if self._session.connection().scalar(query):
                raise Forbidden(f"{resource.name!r}: the database doesn't let a row be deleted")

    def _matching(self) -> list[Any]:
        """The rows that the URL means, locked, after If-Match and the limits on their number."""
        plan = self._plan
        mapper = self._database.mapper(plan.resource)
        query = locked_rows(plan, mapper, self._database.dialect)
        parameters = {f"v{index}": value for index, value in enumerate(plan.values)}
        if plan.key is not None:
            parameters |= {f"v{index}": value for index, value in enumerate(plan.key)}
            found = self._session.execute(query, parameters).all()
            if plan.match is not None and not (found and _same_version(plan.match, found[0][1])):
                raise PreconditionFailed(
                    f"{plan.resource.name!r}: the row isn't as it was in the version that "
                    "If-Match names; read it again"
                )
            return [instance for instance, _ in found]
        limit = plan.max_rows
        if plan.max_affected is not None:
            limit = min(limit, plan.max_affected)
        found = self._session.execute(query.limit(limit + 1), parameters).all()
        if len(found) > limit:
            name = "Prefer: max-affected" if limit == plan.max_affected else "CARBOY_MAX_ROWS"
            raise LimitExceeded(f"the filter matches more than {limit} rows ({name})")
        return [instance for instance, _ in found]

    # The answer

    def _result(
        self, instances: Sequence[Any], *, created: int = 0, affected: int | None = None
    ) -> WriteResult:
        plan, resource = self._plan, self._plan.resource
        keys = [key_of(resource, instance) for instance in instances]
        single = keys[0] if len(keys) == 1 and not plan.many else None
        result = WriteResult(
            affected=len(instances) if affected is None else affected,
            created=created,
            key=_texts(resource, single),
        )
        if plan.returning is None:
            return result
        if single is not None:
            found = self._object(plan.returning, single)
            if found is None:
                # What the actor wrote, but may not read.
                return result
            body, version = found
            return WriteResult(result.affected, created, body, result.key, version)
        body = self._array(plan.returning, keys)
        return WriteResult(result.affected, created, body, result.key)

    def _object(self, returning: Returning, key: Key) -> tuple[bytes, str | None] | None:
        statement = self._database.read_statement(returning.plan)
        values = (*key, *returning.values[len(key) :])
        row = self._database.fetch_within(
            self._session.connection(), statement, values, self._plan.access.who
        )
        if row is not None:
            return to_bytes(row[0]), row[1]
        if self._plan.access.rows(self._plan.resource, "read") is True:
            raise BadRequest("the row is no longer what this resource shows")
        return None

    def _array(self, returning: Returning, keys: Sequence[Key]) -> bytes:
        """The rows in the order of ``keys``: the request's, or the key's own."""
        bodies: dict[Key, bytes] = {}
        parameters = {f"v{index}": value for index, value in enumerate(returning.values)}
        for start in range(0, len(keys), _CHUNK):
            part = keys[start : start + _CHUNK]
            query = keyed_objects(returning.plan, self._database.dialect, part)
            result = self._session.connection().execute(query, parameters)
            self._database.require_whole(result.cursor)
            for body, *key in result:
                bodies[compared(tuple(key))] = to_bytes(body)
        ordered = (bodies[compared(key)] for key in keys if compared(key) in bodies)
        return b"[" + b",".join(ordered) + b"]"


def _texts(resource: Resource, key: Key | None) -> tuple[str, ...] | None:
    if key is None:
        return None
    return tuple(key_text(field, value) for field, value in zip(resource.key, key, strict=True))


def _same_version(tags: EntityTags, version: str | None) -> bool:
    """If-Match, which is about the row; what follows the version in a tag is about the body.

    Carboy makes no weak tags. A proxy that compresses a body, as nginx does, marks its tag as weak;
    the row is the same.
    """
    if tags == "*":
        return True
    return any(tag.opaque.rpartition("-")[0] == version for tag in tags)


def _missing(plan: WritePlan) -> NotFound:
    texts = ",".join(_texts(plan.resource, plan.key) or ())
    return NotFound(f"{plan.resource.name!r} has no row '{texts}'")
