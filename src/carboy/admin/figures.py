"""Figures of the database, and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy as sa

from ..execute import Database, api_error
from ..ops.statistics import figures
from ..pipeline import Api
from ..plan import bind_of_select
from ..respond import Response, respond_json
from ..settings import SettingError, Settings
from .route import Route, Visit

_READERS = {"closed": ("metrics", "admin"), "open": ()}


def statistics(visit: Visit) -> Response:
    """The figures of each database's tables, and those that the application adds."""
    api = visit.api()
    found = []
    for bind, database in api.databases.items():
        tables = {t.fullname: t for r in api.schema.exposed() if r.bind == bind for t in r.tables}
        with _errors(database):
            measured = figures(database.engine, list(tables.values()))
        name = database.engine.dialect.name
        found.append({"bind": bind, "dialect": name, **msgspec.to_builtins(measured)})
    own = {name: _value(api, make()) for name, make in api.statistics.items()}
    return respond_json({"databases": found, "statistics": own})


def _value(api: Api, select: sa.Select[Any]) -> Any:
    database = api.databases[bind_of_select(select)]
    with _errors(database), database.engine.connect() as connection:
        return connection.scalar(select)


@contextmanager
def _errors(database: Database) -> Iterator[None]:
    try:
        yield
    except database.errors as error:
        raise api_error(error, database.engine) from error


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
