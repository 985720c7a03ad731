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

# MariaDB's; it takes the savepoints away, so that going back to one may be the error seen.
DEADLOCK = (1213, 1305)
# MariaDB's numbers as the SQLSTATE that PostgreSQL has for the same; its own are too coarse.
_STATES = {
    **dict.fromkeys((1139, 1264, 1265, 1292, 1366, 1406, 1411, 1525, 1690), "22"),
    **dict.fromkeys((1020, 1205, *DEADLOCK), "40"),
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370), "42501"),
    **dict.fromkeys((1290, 1792, 1836), "25006"),
    1146: "42P01",
    # 1114: a table is full, as InnoDB says of a full disk.
    **dict.fromkeys((3, 1021, 1026, 1037, 1038, 1040, 1041, 1114, 1203, 1226), "53"),
    **dict.fromkeys((1104, 1116, 1117, 1153, 1436, 1461), "54"),
    **dict.fromkeys((1053, 1317, 1927, 1969, 3024), "57"),
}
_OF_CLIENT = range(2000, 3000)
_SQLITE_LIMITS = ("too many", "too large", "too big", "stack overflow", "pattern too complex")


def api_error(error: Exception, engine: Engine) -> ApiError:
    """What a database's error means to the client."""
    if has_passed():
        return too_late()
    if isinstance(error, sa.exc.TimeoutError):
        return Unavailable("no free database connection; try again", headers=[RETRY_AFTER])
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    state = state_of(original)
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
    if state == "25006":
        # A standby, or a primary that somebody keeps from writing for a while.
        return Unavailable("the database takes no writes now; try again", headers=[RETRY_AFTER])
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
    return state_of(error) == "42P01" or "no such table" in str(error)


def error_number(error: object) -> int | None:
    """MariaDB's number of an error."""
    arguments = getattr(error, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def state_of(error: object) -> str:
    """The SQLSTATE of a driver's error, or its beginning; empty where there is none."""
    number = error_number(error)
    if number is not None:
        return _STATES.get(number, "")
    return str(getattr(error, "sqlstate", None) or "")


def _unknown_config(error: object) -> ApiError:
    """The configuration that ``fts(config)`` names is quoted in the message, in any language."""
    diagnosis = getattr(error, "diag", None)
    found = re.search(r"[\"'«„“](\w[\w.]*)", getattr(diagnosis, "message_primary", None) or "")
    name = f" {found[1]!r}" if found else " of that name"
    return InvalidQuery(f"the database has no text search configuration{name}")


def _is_bad_value(error: object, engine: Engine) -> bool:
    """What the driver itself refuses has no state: psycopg a NUL in a text, PyMySQL infinity."""
    if "can not be used with MySQL" in str(error):
        return True
    dbapi = engine.dialect.dbapi
    return dbapi is not None and isinstance(error, dbapi.DataError)


def _is_down(error: object, engine: Engine) -> bool:
    dbapi = engine.dialect.dbapi
    if dbapi is None or not isinstance(error, dbapi.OperationalError | dbapi.InterfaceError):
        return False
    if engine.dialect.name == "sqlite":
        return any(part in str(error) for part in ("unable to open", "disk I/O", "disk is full"))
    number = error_number(error)
    return number is None or number == 0 or number in _OF_CLIENT
