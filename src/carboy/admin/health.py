"""Whether an application works."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import flask
import msgspec
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

from ..ops.health import Examined, Probe, Unhealthy, examine, pool_figures
from ..ops.migrate import Migrations, MigrationsError, find_migrations
from ..pipeline import Api
from ..respond import Response, respond_json
from ..settings import Settings
from .route import Route, Visit

logger = logging.getLogger("carboy")


class Health:
    """The health of one application's databases, of each of which one request asks at a time."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.health_timeout_ms / 1000
        self._probes: dict[Engine, Probe[Examined]] = {}

    def ready(self, visit: Visit) -> Response:
        """The API is built, and each of its databases answers in time."""
        try:
            for database in _built(visit).databases.values():
                self._examined(database.engine)
        except Unhealthy as error:
            return respond_json({"status": "unavailable", "reason": str(error)}, 503)
        return respond_json({"status": "ok"})

    def database(self, visit: Visit) -> Response:
        """The state of the default database, and under ``binds`` of the others.

        The status is that of all.
        """
        databases = visit.api().databases
        found = {bind: self._state(each.engine) for bind, each in databases.items()}
        healthy = all(state["status"] == "healthy" for state in found.values())
        answer = found.pop(None)
        if found:
            answer |= {"status": "healthy" if healthy else "unhealthy", "binds": found}
        return respond_json(answer, 200 if healthy else 503)

    def _state(self, engine: Engine) -> dict[str, Any]:
        """A database, and its pool as it was before this took its part."""
        pool = pool_figures(engine)
        found: dict[str, Any] = {
            "status": "healthy",
            "pool_size": pool.size,
            "checked_in": pool.checked_in,
            "checked_out": pool.checked_out,
            "overflow": pool.overflow,
        }
        try:
            return {**found, **msgspec.to_builtins(self._examined(engine))}
        except Unhealthy as error:
            return {**found, "status": "unhealthy", "reason": str(error)}

    def _examined(self, engine: Engine) -> Examined:
        if engine not in self._probes:
            # Only the request has the application's context, in which its migrations are found.
            ask = partial(examine, engine, _migrations_of(engine))
            self._probes.setdefault(engine, Probe(ask))
        probe = self._probes[engine]
        if not isinstance(engine.pool, QueuePool):
            # A file or memory, which can't hang as a network can; its connection may be a thread's.
            return probe.ask()
        try:
            return probe.within(self._seconds)
        except TimeoutError:
            milliseconds = round(self._seconds * 1000)
            raise Unhealthy(f"no answer within {milliseconds} ms") from None


def _migrations_of(engine: Engine) -> Migrations | None:
    """The migrations of a database; None for one that has none, or none that can be read."""
    try:
        found = find_migrations(flask.current_app.extensions)
    except MigrationsError:
        logger.exception("the migrations can't be read")
        return None
    return found if found is not None and found.engine is engine else None


def _built(visit: Visit) -> Api:
    try:
        return visit.api()
    except Exception as error:
        logger.exception("the API can't be built")
        raise Unhealthy("the API can't be built; the log says why") from error


def live(_: Visit) -> Response:
    """The process answers, whatever its database does."""
    return respond_json({"status": "ok"})


def health_routes(settings: Settings) -> tuple[Route, ...]:
    """The routes under CARBOY_HEALTH_PATH."""
    path = settings.health_path.rstrip("/")
    if not path:
        return ()
    health = Health(settings)
    return (
        Route("health_live", f"{path}/live", live, roles=()),
        Route("health_ready", f"{path}/ready", health.ready, roles=()),
        Route("health_database", f"{path}/database", health.database, roles=()),
    )
