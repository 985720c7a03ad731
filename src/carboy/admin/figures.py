"""Figures of the database, and metrics."""

from __future__ import annotations

import msgspec

from ..execute import api_error
from ..ops.statistics import figures
from ..respond import Response, respond_json
from ..settings import SettingError, Settings
from .route import Route, Visit

_READERS = {"closed": ("metrics", "admin"), "open": ()}


def statistics(visit: Visit) -> Response:
    """The tables' figures, and those that the application adds."""
    api = visit.api()
    database = api.database
    try:
        found = msgspec.to_builtins(figures(database.engine, api.schema))
        with database.engine.connect() as connection:
            own = {name: connection.scalar(make()) for name, make in api.statistics.items()}
    except database.errors as error:
        raise api_error(error, database.engine) from error
    return respond_json({"database": database.engine.dialect.name, **found, "statistics": own})


def metrics(_: Visit) -> Response:
    """What Prometheus reads."""
    from ..ops.metrics import exposition

    type_, text = exposition()
    return Response(200, (("Content-Type", type_),), text)


def figures_routes(settings: Settings) -> tuple[Route, ...]:
    """The routes of figures; raises SettingError for a CARBOY_METRICS that means nothing."""
    found = []
    if path := settings.admin_path.rstrip("/"):
        found.append(Route("db_stats", f"{path}/db-stats", statistics))
    if settings.metrics in _READERS:
        found.append(Route("metrics", "/metrics", metrics, roles=_READERS[settings.metrics]))
    elif settings.metrics != "off":
        raise SettingError(f"CARBOY_METRICS must be off, closed or open, not {settings.metrics!r}")
    return tuple(found)
