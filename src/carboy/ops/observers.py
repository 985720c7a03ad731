"""Who is told of an application's events, as its settings say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy.engine import Engine

from ..events import Subscriber
from ..execute import notice_statements
from ..settings import SettingError, Settings
from .logs import LogEvents, write_logs

if TYPE_CHECKING:
    from .metrics import Metrics


class Observers:
    """Logs and metrics; raises SettingError for settings that mean nothing."""

    def __init__(self, settings: Settings) -> None:
        write_logs(settings)
        logs = LogEvents(settings)
        self._metrics = _metrics(settings)
        self.subscribers: tuple[Subscriber, ...] = (
            (logs,) if self._metrics is None else (logs, self._metrics)
        )

    def watch(self, engines: Mapping[str | None, Engine]) -> None:
        """Notice the statements of engines, by bind key, and what their pools hold."""
        for engine in engines.values():
            notice_statements(engine)
        if self._metrics is not None:
            self._metrics.watch(engines)


def _metrics(settings: Settings) -> Metrics | None:
    if settings.metrics == "off":
        return None
    try:
        from .metrics import Metrics
    except ModuleNotFoundError:
        raise SettingError(
            "CARBOY_METRICS needs prometheus-client: pip install 'carboy[metrics]'"
        ) from None
    return Metrics()
