"""What a database's error means to the client."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from ..errors import (
    ApiError,
    BadRequest,
    Forbidden,
    InternalError,
    InvalidQuery,
    LimitExceeded,
    Unavailable,
)
from .deadline import RETRY_AFTER, has_passed, too_late

_SQLITE_LIMITS = ("too many", "too large", "too big", "stack overflow", "pattern too complex")


def api_error(error: Exception, engine: Engine) -> ApiError:
    """What a database's error means to the client."""
    if has_passed():
        return too_late()
    if isinstance(error, sa.exc.TimeoutError):
        return Unavailable("no free database connection; try again", headers=[RETRY_AFTER])
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    state = str(getattr(original, "sqlstate", None) or "")
    if state.startswith("22") or _is_bad_value(original, engine):
        return BadRequest("a value in the request is out of what the database can hold")
    if state == "42704":
        # Every other name in a statement is of the schema.
        return _unknown_config(original)
    if state.startswith("54") or (
        engine.dialect.name == "sqlite" and any(part in str(original) for part in _SQLITE_LIMITS)
    ):
        return LimitExceeded("the request asks for more than one statement of this database can do")
    if state == "42501":
        return Forbidden("the database user may not do this")
    if state == "57014":
        # The server has a limit of its own for statements.
        return too_late()
    if state.startswith(("40", "55", "57", "53")) or "locked" in str(original):
        return Unavailable("the database is busy; try again", headers=[RETRY_AFTER])
    if "overflow" in str(original) or isinstance(original, OverflowError):
        return BadRequest("a number in the request or its result is past 64 bits")
    if _is_down(original, engine):
        return Unavailable("the database can't be reached; try again", headers=[RETRY_AFTER])
    return InternalError("the database refused a statement")


def is_missing_table(error: BaseException | None) -> bool:
    """Whether a statement named a table that isn't there."""
    return getattr(error, "sqlstate", None) == "42P01" or "no such table" in str(error)


def _unknown_config(error: object) -> ApiError:
    """The configuration that ``fts(config)`` names is quoted in the message, in any language."""
    diagnosis = getattr(error, "diag", None)
    found = re.search(r"[\"'«„“](\w[\w.]*)", getattr(diagnosis, "message_primary", None) or "")
    name = f" {found[1]!r}" if found else " of that name"
    return InvalidQuery(f"the database has no text search configuration{name}")


def _is_bad_value(error: object, engine: Engine) -> bool:
    """What the driver itself refuses has no state: psycopg a NUL in a text, for one."""
    dbapi = engine.dialect.dbapi
    return dbapi is not None and isinstance(error, dbapi.DataError)


def _is_down(error: object, engine: Engine) -> bool:
    dbapi = engine.dialect.dbapi
    if dbapi is None or not isinstance(error, dbapi.OperationalError | dbapi.InterfaceError):
        return False
    if engine.dialect.name == "sqlite":
        return "unable to open" in str(error) or "disk I/O" in str(error)
    return True
