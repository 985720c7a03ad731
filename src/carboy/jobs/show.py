"""A job as people and clients see it."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from ..access import Actor
from ..errors import NotFound
from ..pipeline import Api
from ..respond import Response, respond_json
from . import queue
from .table import moment

_ADMIN = "admin"


def respond_job(api: Api, who: Actor, id_: str) -> Response:
    """A job, for whoever queued it and for admins; to all others it isn't there."""
    row = queue.find(api.database, id_)
    if row is None or not (who.has(_ADMIN) or queue.is_owner(queue.decode_actor(row.actor), who)):
        raise NotFound(f"there is no job {id_!r}")
    return respond_json(shown(row, whole=who.has(_ADMIN)))


def shown(row: sa.Row[Any], *, whole: bool) -> dict[str, Any]:
    """A row of the table; ``whole`` with whose it is, its arguments, and what was raised."""
    error = None if row.error is None else msgspec.json.decode(row.error)
    found = {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "attempts": row.attempts,
        "max_attempts": row.max_attempts,
        "progress": None if row.done is None else {"done": row.done, "total": row.total},
        "result": None if row.result is None else msgspec.json.decode(row.result),
        "error": None if error is None else error.get("problem") or {"title": "The job failed"},
        "created_at": moment(row.created_at),
        "due_at": moment(row.due_at) if row.state in ("queued", "failed") else None,
        "started_at": moment(row.started_at),
        "finished_at": moment(row.finished_at),
    }
    if whole:
        found |= {
            "key": row.key,
            "actor": None if row.actor is None else msgspec.json.decode(row.actor),
            "arguments": msgspec.json.decode(row.arguments),
            "exception": None if error is None else f"{error['type']}: {error['message']}",
        }
    return found
