"""API keys: made, listed and revoked. What is shown of a key once made is never its secret."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Engine

from ..errors import CommandError
from ..execute.api_keys import TABLE, TOKEN_START, hash_secret
from ..execute.tables import create_table

_SECRET_BYTES = 32
_LONGEST_NAME = 100
_LONGEST_ID = 255


class ApiKeyError(CommandError):
    """A key can't be made like this, or isn't there; the message says why."""


class ApiKey(Struct, frozen=True):
    """A key without its secret; ``id`` and ``roles`` are its actor's."""

    prefix: str
    name: str
    id: str
    roles: tuple[str, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None

    @property
    def status(self) -> Literal["active", "expired", "revoked"]:
        """Whether requests may use it."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= dt.datetime.now(dt.UTC):
            return "expired"
        return "active"


def create_key(
    engine: Engine,
    name: str,
    roles: Sequence[str] = (),
    *,
    id: str | None = None,
    expires_in: dt.timedelta | None = None,
) -> str:
    """Make a key and answer its token, which nothing can show again.

    ``id`` is the actor's, in the place of the name. Raises ApiKeyError.
    """
    _check("the name", name, _LONGEST_NAME)
    _check("the id", id if id is not None else name, _LONGEST_ID)
    for role in roles:
        _check("a role", role, _LONGEST_NAME)
    now = int(time.time())
    # 48 bits: that two are the same is out of reach, and the primary key would refuse it.
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES)
    values = {
        "prefix": prefix,
        "hash": hash_secret(secret),
        "name": name,
        "actor_id": id if id is not None else name,
        "roles": json.dumps(sorted(set(roles))),
        "created_at": now,
        "expires_at": now + int(expires_in.total_seconds()) if expires_in is not None else None,
    }
    create_table(engine, TABLE)
    with engine.begin() as connection:
        connection.execute(sa.insert(TABLE).values(values))
    return f"{TOKEN_START}{prefix}_{secret}"


def list_keys(engine: Engine) -> list[ApiKey]:
    """All keys that were ever made, the oldest first."""
    if not sa.inspect(engine).has_table(TABLE.name):
        return []
    query = sa.select(TABLE).order_by(TABLE.c.created_at, TABLE.c.prefix)
    with engine.connect() as connection:
        return [_key(row) for row in connection.execute(query)]


def revoke_key(engine: Engine, prefix: str) -> None:
    """End a key: the next request with it is refused. Raises ApiKeyError where there is none."""
    if prefix not in (key.prefix for key in list_keys(engine)):
        raise ApiKeyError(f"there is no API key {prefix!r}; `carboy keys list` shows the prefixes")
    # Of a key that was revoked before, the moment stays.
    ended = sa.update(TABLE).where(TABLE.c.prefix == prefix, TABLE.c.revoked_at.is_(None))
    with engine.begin() as connection:
        connection.execute(ended.values(revoked_at=int(time.time())))


def _check(what: str, text: str, longest: int) -> None:
    if not text.strip() or len(text) > longest or not text.isprintable():
        raise ApiKeyError(f"{what} must be 1 to {longest} printable characters, not {text!r}")


def _key(row: sa.Row[Any]) -> ApiKey:
    return ApiKey(
        prefix=row.prefix,
        name=row.name,
        id=row.actor_id,
        roles=tuple(json.loads(row.roles)),
        created_at=dt.datetime.fromtimestamp(row.created_at, dt.UTC),
        expires_at=_moment(row.expires_at),
        revoked_at=_moment(row.revoked_at),
        last_used_at=_moment(row.last_used_at),
    )


def _moment(seconds: int | None) -> dt.datetime | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)
