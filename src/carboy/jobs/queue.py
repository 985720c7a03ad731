"""The states of jobs, and each change from one to another, as SQL.

Every change of a running job names its claim, so that a worker whose lease has ended, and whose
job another one has taken since, changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from ..access import ANONYMOUS, NOBODY, Actor
from ..errors import ApiError, CommandError
from ..events import TRACE
from ..execute import Database
from ..execute.transaction import transaction
from .table import TABLE, State, is_there, make_ready, now

_C = TABLE.c
_CHUNK = 1000
_ENDED: tuple[State, ...] = ("done", "dead", "cancelled")


class JobError(CommandError):
    """There is no such job, or it can't be done with it; the message says why."""


class LeaseLost(Exception):
    """Another worker has the job by now, or nobody shall finish it."""


class NewJob(Struct, frozen=True):
    """A job to queue. ``actor`` is who asks for it, None for the application itself."""

    name: str
    arguments: bytes
    max_attempts: int
    actor: Actor | None = None
    key: str | None = None
    due_at: int | None = None


class Claimed(Struct, frozen=True):
    """A job that this worker has: nobody else does until its lease ends.

    ``request_id`` is that of the request that queued it, if one did.
    """

    id: str
    name: str
    key: str | None
    arguments: str
    actor: Actor | None
    attempts: int
    max_attempts: int
    claim: str
    request_id: str | None


class StoredError(Struct, frozen=True, omit_defaults=True):
    """Why an attempt failed; ``problem`` is what a client may read of it."""

    type: str
    message: str
    problem: dict[str, Any] | None = None


class _StoredActor(Struct, frozen=True):
    id: Any
    roles: list[str]


LOST = StoredError("WorkerLost", "the worker ended while it ran the job")


def encode_actor(actor: Actor | None) -> str | None:
    """An actor as the table has it: NULL for the application, an id of null for nobody."""
    if actor is None:
        return None
    id_ = None if actor.is_anonymous else actor.id
    return _text(_StoredActor(id_, sorted(actor.roles)))


def decode_actor(text: str | None) -> Actor | None:
    """The reverse."""
    if text is None:
        return None
    stored = msgspec.json.decode(text, type=_StoredActor)
    if stored.id is None:
        return ANONYMOUS
    return Actor(stored.id, frozenset(stored.roles))


def add(database: Database, connection: sa.Connection, job: NewJob) -> str:
    """Queue a job in a transaction; with a key that came before, it answers the first one's id."""
    make_ready(database, connection)
    same = sa.select(_C.id).where(_C.name == job.name, _C.key == job.key)
    if job.key is not None and (known := connection.scalar(same)) is not None:
        return str(known)
    moment = now()
    id_ = str(uuid.uuid4())
    values = {
        "id": id_,
        "name": job.name,
        "key": job.key,
        "arguments": job.arguments.decode(),
        "actor": encode_actor(job.actor),
        "request_id": trace.id if (trace := TRACE.get()) is not None else None,
        "state": "queued",
        "due_at": job.due_at if job.due_at is not None else moment,
        "attempts": 0,
        "max_attempts": job.max_attempts,
        "cancelling": False,
        "created_at": moment,
    }
    if job.key is None:
        connection.execute(sa.insert(TABLE).values(values))
        return id_
    # Another transaction may queue the same in between; then its job is the one.
    connection.execute(database.dialect.insert_new(TABLE).values(values))
    return str(connection.scalar(same))


def find(database: Database, id_: str) -> sa.Row[Any] | None:
    """The row of a job."""
    with database.connect() as connection:
        if not is_there(connection):
            return None
        return connection.execute(sa.select(TABLE).where(_C.id == id_)).first()


def claim(database: Database, count: int, lease: int, id_: str | None = None) -> list[Claimed]:
    """Take up to ``count`` jobs that are due, or the one named, for ``lease`` milliseconds.

    Those whose worker was lost at the last attempt end here.
    """
    moment = now()
    due = sa.select(TABLE).where(_C.due_at <= moment).order_by(_C.due_at).limit(count)
    if id_ is not None:
        due = due.where(_C.id == id_)
    claimed = []
    with transaction(database, ANONYMOUS) as session:
        connection = session.connection()
        for row in connection.execute(due.with_for_update(skip_locked=True)).all():
            if row.cancelling or row.attempts >= row.max_attempts:
                state: State = "cancelled" if row.cancelling else "dead"
                error = None if row.cancelling else _text(LOST)
                _change(connection, row.id, **_end(state), error=error)
                continue
            token = uuid.uuid4().hex
            _change(
                connection,
                row.id,
                state="running",
                claim=token,
                due_at=moment + lease,
                attempts=row.attempts + 1,
                started_at=moment,
            )
            claimed.append(_claimed(row, token))
    return claimed


def _claimed(row: sa.Row[Any], token: str) -> Claimed:
    return Claimed(
        id=row.id,
        name=row.name,
        key=row.key,
        arguments=row.arguments,
        actor=decode_actor(row.actor),
        attempts=row.attempts + 1,
        max_attempts=row.max_attempts,
        claim=token,
        request_id=row.request_id,
    )


def _change(connection: sa.Connection, id_: str, **values: Any) -> None:
    connection.execute(sa.update(TABLE).where(_C.id == id_).values(values))


def _end(state: State) -> dict[str, Any]:
    """What a job has that has ended."""
    return {"state": state, "claim": None, "due_at": None, "finished_at": now()}


def complete(connection: sa.Connection, claimed: Claimed, result: object) -> None:
    """End a job well, in the transaction of what it has done; raises LeaseLost."""
    values = _end("done") | {"result": _text(result), "error": None}
    if not _held(connection, claimed, values):
        raise LeaseLost


def fail(database: Database, claimed: Claimed, error: StoredError, pause: int | None) -> None:
    """Note a failure: the job is tried again after ``pause`` milliseconds, or is dead for None."""
    if pause is None:
        values = _end("dead")
    else:
        values = {"state": "failed", "claim": None, "due_at": now() + pause}
    _settle(database, claimed, values | {"error": _text(error)})


def end_cancelled(database: Database, claimed: Claimed) -> None:
    """End a job that has obeyed a request to stop."""
    _settle(database, claimed, _end("cancelled"))


def give_back(database: Database, claimed: Claimed) -> None:
    """Let another worker have the job; the attempt doesn't count."""
    _settle(
        database,
        claimed,
        {"state": "queued", "claim": None, "due_at": now(), "attempts": _C.attempts - 1},
    )


def _settle(database: Database, claimed: Claimed, values: Mapping[str, Any]) -> None:
    with transaction(database, ANONYMOUS) as session:
        _held(session.connection(), claimed, values)


def _held(connection: sa.Connection, claimed: Claimed, values: Mapping[str, Any]) -> bool:
    """Change a job if the claim still holds; whether it did."""
    held = sa.update(TABLE).where(_C.id == claimed.id, _C.claim == claimed.claim)
    return connection.execute(held.values(values)).rowcount == 1


class Beat(Struct, frozen=True):
    """What a heartbeat tells: how far a job has come, and whether its lease is to be renewed."""

    claimed: Claimed
    done: int | None
    total: int | None


def beat(database: Database, beats: Iterable[Beat], lease: int) -> None:
    """Renew leases and store how far the jobs have come."""
    with transaction(database, ANONYMOUS) as session:
        for each in beats:
            values = {"due_at": now() + lease, "done": each.done, "total": each.total}
            _held(session.connection(), each.claimed, values)


def held(database: Database, claims: Collection[Claimed]) -> dict[str, bool]:
    """The claims that still hold, each with whether its job is asked to stop."""
    query = sa.select(_C.claim, _C.cancelling).where(_C.id.in_([each.id for each in claims]))
    with database.connect() as connection:
        return {row.claim: row.cancelling for row in connection.execute(query)}


def cancel(database: Database, id_: str) -> State:
    """Stop a job, or ask a running one to; answers its state. Raises JobError."""
    row = _required(database, id_)
    if row.state in _ENDED:
        raise JobError(f"the job {id_} is {row.state} already")
    with transaction(database, ANONYMOUS) as session:
        job = sa.update(TABLE).where(_C.id == id_)
        waiting = job.where(_C.state.in_(("queued", "failed")))
        if session.connection().execute(waiting.values(_end("cancelled"))).rowcount:
            return "cancelled"
        running = job.where(_C.state == "running")
        session.connection().execute(running.values(cancelling=True))
    return "running"


def retry(database: Database, id_: str) -> None:
    """Queue a job again that has failed, died or was cancelled. Raises JobError."""
    _required(database, id_)
    again = {
        "state": "queued", "due_at": now(), "attempts": 0, "cancelling": False,
        "finished_at": None, "sent_at": None,
    }  # fmt: skip
    with transaction(database, ANONYMOUS) as session:
        stopped = sa.update(TABLE).where(
            _C.id == id_, _C.state.in_(("failed", "dead", "cancelled"))
        )
        if session.connection().execute(stopped.values(again)).rowcount == 0:
            raise JobError(f"the job {id_} is neither failed nor dead nor cancelled")


def _required(database: Database, id_: str) -> sa.Row[Any]:
    row = find(database, id_)
    if row is None:
        raise JobError(f"there is no job {id_!r}; `carboy jobs list` shows the ids")
    return row


def listed(database: Database, states: Sequence[State] = (), limit: int = 50) -> list[sa.Row[Any]]:
    """The newest jobs, of these states."""
    query = sa.select(TABLE).order_by(_C.created_at.desc(), _C.id).limit(limit)
    if states:
        query = query.where(_C.state.in_(states))
    with database.connect() as connection:
        return list(connection.execute(query)) if is_there(connection) else []


def counts(database: Database) -> dict[State, int]:
    """How many jobs there are of each state."""
    query = sa.select(_C.state, sa.func.count()).group_by(_C.state)
    with database.connect() as connection:
        if not is_there(connection):
            return {}
        return {row[0]: row[1] for row in connection.execute(query)}


def prune(database: Database, days: int) -> None:
    """Delete the jobs that ended more than so many days ago, some thousand at a time."""
    oldest = now() - days * 86_400_000
    old = sa.select(_C.id).where(_C.finished_at < oldest).limit(_CHUNK)
    while True:
        with transaction(database, ANONYMOUS) as session:
            ids = session.connection().scalars(old).all()
            session.connection().execute(sa.delete(TABLE).where(_C.id.in_(ids)))
        if len(ids) < _CHUNK:
            return


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def is_owner(actor: Actor | None, who: Actor) -> bool:
    """Whether ``who`` queued a job of ``actor``'s; nobody's are everybody's who knows the id."""
    if actor is None:
        return False
    if actor.id is NOBODY:
        return True
    return not who.is_anonymous and str(actor.id) == str(who.id)


def is_due(database: Database) -> bool:
    """Whether a job waits for a worker; asked before ``claim``, which on SQLite takes its turn."""
    query = sa.select(_C.id).where(_C.due_at <= now()).limit(1)
    with database.connect() as connection:
        return connection.scalar(query) is not None


def take_unsent(database: Database, count: int, lost: int | None) -> list[str]:
    """The ids of due jobs that the broker is to be told of, marked as sent.

    With ``lost`` also those that were sent so many milliseconds ago, and that nobody has taken.
    """
    moment = now()
    unsent = sa.or_(_C.sent_at.is_(None), _C.sent_at < _C.due_at)
    if lost is not None:
        unsent = sa.or_(unsent, _C.sent_at < moment - lost)
    due = sa.select(_C.id).where(_C.due_at <= moment, unsent).order_by(_C.due_at).limit(count)
    with transaction(database, ANONYMOUS) as session:
        connection = session.connection()
        ids = list(connection.scalars(due.with_for_update(skip_locked=True)))
        connection.execute(sa.update(TABLE).where(_C.id.in_(ids)).values(sent_at=moment))
    return ids


def mark_unsent(database: Database, ids: Collection[str]) -> None:
    """Let jobs be sent again that the broker may not have got."""
    with transaction(database, ANONYMOUS) as session:
        unsent = sa.update(TABLE).where(_C.id.in_(ids)).values(sent_at=None)
        session.connection().execute(unsent)


def failures(database: Database) -> tuple[type[Exception], ...]:
    """What is raised where the database is away, busy or slow."""
    return (*database.errors, ApiError)
