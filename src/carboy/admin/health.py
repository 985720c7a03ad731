"""Whether an application works."""

from __future__ import annotations

import logging
from typing import Any

from msgspec.structs import asdict
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

from ..ops.health import Probe, Replication, Unhealthy, examine, pool_figures
from ..pipeline import Api
from ..respond import Response, respond_json
from ..settings import Settings
from .route import Route, Visit

logger = logging.getLogger("carboy")


class Health:
    """The health of one application's database, of which requests ask one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.health_timeout_ms / 1000
        self._probes: dict[Engine, Probe[Replication | None]] = {}

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
            replication = self._examined(engine)
        except Unhealthy as error:
            return {**found, "status": "unhealthy", "reason": str(error)}
        return {**found, "replication": replication and asdict(replication)}

    def _examined(self, engine: Engine) -> Replication | None:
        if not isinstance(engine.pool, QueuePool):
            # A file or memory, which can't hang as a network can; its connection may be a thread's.
            return examine(engine)
        probe = self._probes.setdefault(engine, Probe(lambda: examine(engine)))
        try:
            return probe.within(self._seconds)
        except TimeoutError:
            milliseconds = round(self._seconds * 1000)
            raise Unhealthy(f"no answer within {milliseconds} ms") from None


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
