"""Figures of the database, and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa

from ..execute import Database, api_error
from ..jobs import State, count_jobs
from ..ops.health import Probe
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


class Scrape:
    """What Prometheus reads. The database is asked for jobs, but waited for only so long."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.health_timeout_ms / 1000
        self._probe: Probe[Mapping[State, int]] | None = None

    def __call__(self, visit: Visit) -> Response:
        from ..ops.metrics import exposition

        if self._probe is None:
            self._probe = Probe(partial(count_jobs, visit.api().database))
        jobs: Mapping[State, int] | None = None
        # What goes wrong there, the requests that are counted tell.
        with suppress(TimeoutError, sa.exc.SQLAlchemyError):
            jobs = self._probe.within(self._seconds)
        type_, text = exposition(jobs)
        return Response(200, (("Content-Type", type_),), text)


def figures_routes(settings: Settings) -> tuple[Route, ...]:
    """The routes of figures; raises SettingError for a CARBOY_METRICS that means nothing."""
    found = []
    if path := settings.admin_path.rstrip("/"):
        found.append(Route("db_stats", f"{path}/db-stats", statistics))
    if settings.metrics in _READERS:
        found.append(
            Route("metrics", "/metrics", Scrape(settings), roles=_READERS[settings.metrics])
        )
    elif settings.metrics != "off":
        raise SettingError(f"CARBOY_METRICS must be off, closed or open, not {settings.metrics!r}")
    return tuple(found)
