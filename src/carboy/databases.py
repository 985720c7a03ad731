"""An application's databases: its engines by bind key, and a replica to read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

from .execute import Database, Replica
from .schema import Schema, SchemaError
from .settings import SettingError, Settings

_REPLICA_SECONDS = 2


def engines_in(source: Any) -> dict[str | None, Engine]:
    """The engines of a Flask extension's object by bind key, the default one's None."""
    more = getattr(source, "engines", {})
    named: dict[str | None, Engine] = {key: engine for key, engine in more.items() if key}
    return {**named, None: engine_in(source)}


def engine_in(source: Any) -> Engine:
    """The default engine of a Flask extension's object, or the engine itself."""
    engine = source if isinstance(source, Engine) else getattr(source, "engine", None)
    if isinstance(engine, Engine):
        return engine
    raise SchemaError(f"{source!r} is no Engine and has none; give Carboy your db object")


def _replica_engine(url: str, primary: Engine) -> Engine:
    """An engine for CARBOY_REPLICA_URL, with a pool like the primary's; SettingError for others.

    Nothing is connected yet. No message has the URL, for it may hold a password.
    """
    try:
        found = sa.make_url(url)
        is_postgresql = found.get_backend_name() in ("postgresql", "postgres")
    except (sa.exc.ArgumentError, ValueError):
        is_postgresql = False
    if not is_postgresql or primary.dialect.name != "postgresql":
        raise SettingError(
            "CARBOY_REPLICA_URL must be the URL of a PostgreSQL that replicates the default "
            "database, such as postgresql+psycopg://user:password@host/database"
        )
    # A request waits for it, and can go to the primary instead.
    query = {"connect_timeout": str(_REPLICA_SECONDS), **found.query}
    pool: dict[str, Any] = {}
    if isinstance(primary.pool, QueuePool):
        pool = {"pool_size": primary.pool.size(), "max_overflow": primary.pool._max_overflow}
    return sa.create_engine(found.set(drivername=primary.url.drivername, query=query), **pool)


def databases_of(
    engines: Mapping[str | None, Engine], schema: Schema, settings: Settings
) -> dict[str | None, Database]:
    """The default database, and the others that resources are in."""
    found: dict[str | None, Database] = {}
    for resource in (None, *schema.exposed()):
        bind = resource.bind if resource is not None else None
        if bind in found:
            continue
        if bind not in engines:
            raise SchemaError(
                f"resource {resource and resource.name!r}: there is no database for its "
                f"__bind_key__ {bind!r}; add it to SQLALCHEMY_BINDS"
            )
        name = engines[bind].dialect.name
        if settings.row_security and name != "postgresql":
            raise SettingError(
                f"CARBOY_ROW_SECURITY is for PostgreSQL; {name} has none, so set it to 0"
            )
        found[bind] = _database(engines[bind], settings)
    return found


def replica_of(primary: Database, settings: Settings) -> Replica | None:
    """What the default database's reads may go to."""
    if not settings.replica_url:
        return None
    engine = _replica_engine(settings.replica_url, primary.engine)
    return Replica(primary, _database(engine, settings))


def _database(engine: Engine, settings: Settings) -> Database:
    return Database(
        engine,
        statements=settings.statement_cache,
        row_security=settings.row_security,
        deadline=settings.deadline,
        queue=settings.queue,
        exports=settings.exports,
    )
