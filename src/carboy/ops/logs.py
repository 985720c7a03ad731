"""Events as lines of a log, for people or for programs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from ..events import TRACE, Event, RequestAnswered, StatementRan
from ..settings import SettingError, Settings

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_access = logging.getLogger("carboy.access")
_statements = logging.getLogger("carboy.statements")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what ``extra`` names becomes a member of it.

    ``time`` is UTC. Within a request ``request_id`` says which.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (trace := TRACE.get()) is not None:
            line["request_id"] = trace.id
        line |= {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, skipkeys=True)


class TextFormatter(logging.Formatter):
    """One line for people, with the id of the request within which it was written."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s%(of_request)s")

    def format(self, record: logging.LogRecord) -> str:
        number = getattr(record, "request_id", None)
        if number is None and (trace := TRACE.get()) is not None:
            number = trace.id
        record.of_request = f" [{number}]" if number is not None else ""
        return super().format(record)


_FORMATTERS = {"json": JsonFormatter, "text": TextFormatter}


def write_logs(settings: Settings) -> None:
    """Let logs be written as CARBOY_LOG says; an application that has handlers keeps its own."""
    if not settings.log:
        return
    if settings.log not in _FORMATTERS:
        raise SettingError(f"CARBOY_LOG must be text, json or empty, not {settings.log!r}")
    handler = logging.StreamHandler()
    handler.setFormatter(_FORMATTERS[settings.log]())
    logging.basicConfig(handlers=[handler])
    logger = logging.getLogger("carboy")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


class LogEvents:
    """Writes a line a request, and one for each slow statement: its shape, never its values."""

    def __init__(self, settings: Settings) -> None:
        self._slow = settings.slow_statement_ms / 1000 or float("inf")

    def __call__(self, event: Event) -> None:
        if isinstance(event, StatementRan):
            if event.seconds >= self._slow:
                _log_slow(event)
        elif _access.isEnabledFor(logging.INFO):
            _log_request(event)


def _log_request(event: RequestAnswered) -> None:
    milliseconds = round(event.seconds * 1000, 1)
    _access.info(
        "%s %s %d in %s ms, statements: %d",
        event.method,
        event.resource or "-",
        event.status,
        milliseconds,
        event.statements,
        extra={
            "request_id": event.id,
            "method": event.method,
            "resource": event.resource or None,
            "status": event.status,
            "milliseconds": milliseconds,
            "statements": event.statements,
            "rows_read": event.rows_read,
            "rows_written": event.rows_written,
        },
    )


def _log_slow(event: StatementRan) -> None:
    milliseconds, sql = round(event.seconds * 1000, 1), " ".join(event.sql.split())
    _statements.warning(
        "a statement took %s ms: %s",
        milliseconds,
        sql,
        extra={"request_id": event.request_id, "milliseconds": milliseconds, "sql": sql},
    )
