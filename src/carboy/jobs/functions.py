"""Functions that run as jobs, and when they are due by themselves."""

from __future__ import annotations

import datetime as dt
import inspect
import random
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from ..schema import SchemaError

Schedule: TypeAlias = str | dt.timedelta
"""A cron expression, in UTC, or a time between two runs."""

ATTEMPTS = 5
BACKOFF = 5.0
_LONGEST_NAME = 100
_LONGEST_PAUSE = 3600.0


class JobFunction(Struct, frozen=True, eq=False):
    """A function and how it is run: ``backoff`` is the first pause in seconds, which doubles."""

    name: str
    run: Callable[..., Any]
    attempts: int = ATTEMPTS
    backoff: float = BACKOFF
    schedule: Schedule | None = None

    def pause(self, attempts: int) -> int:
        """Milliseconds to wait after so many attempts: some more or less, or all come at once."""
        seconds = min(self.backoff * 2.0 ** (attempts - 1), _LONGEST_PAUSE)
        return int(seconds * random.uniform(750, 1250))  # noqa: S311  no secret

    def encode(self, arguments: Mapping[str, Any]) -> bytes:
        """Arguments as JSON; raises SchemaError where the function can't be called with them."""
        try:
            inspect.signature(self.run).bind(None, **arguments)
        except TypeError as error:
            raise SchemaError(f"the job {self.name!r} can't be called so: {error}") from None
        try:
            return msgspec.json.encode(arguments)
        except (TypeError, ValueError) as error:
            raise SchemaError(f"the job {self.name!r}: arguments must be JSON: {error}") from None

    def next_run(self, after: dt.datetime) -> dt.datetime | None:
        """When the schedule has it run next."""
        match self.schedule:
            case None:
                return None
            case dt.timedelta() as interval:
                start = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
                return start + ((after - start) // interval + 1) * interval
            case expression:
                from croniter import croniter

                found: dt.datetime = croniter(expression, after).get_next(dt.datetime)
                return found


def check_function(function: JobFunction) -> None:
    """Refuse options that can't mean anything; raises SchemaError."""
    what = f"job {function.name!r}"
    if not function.name or len(function.name) > _LONGEST_NAME:
        raise SchemaError(f"{what}: a name has 1 to {_LONGEST_NAME} characters")
    if function.attempts < 1:
        raise SchemaError(f"{what}: attempts={function.attempts!r} must be 1 or more")
    if function.backoff < 0:
        raise SchemaError(f"{what}: backoff={function.backoff!r} must not be negative")
    match function.schedule:
        case dt.timedelta() as interval if interval < dt.timedelta(seconds=1):
            raise SchemaError(f"{what}: a schedule is a second or more, not {interval}")
        case str() as expression if not _is_cron(what, expression):
            raise SchemaError(
                f"{what}: schedule={expression!r} is no cron expression such as '30 3 * * *'"
            )
    if function.schedule is not None:
        function.encode({})


def _is_cron(what: str, expression: str) -> bool:
    try:
        from croniter import croniter
    except ModuleNotFoundError:
        raise SchemaError(
            f"{what}: a cron expression needs croniter; run: pip install 'carboy[jobs]', or give "
            "a timedelta"
        ) from None
    return bool(croniter.is_valid(expression))
