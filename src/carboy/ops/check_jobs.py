"""Whether somebody runs the background jobs."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from ..jobs import TABLE, is_there, now
from .checked import Checked, Fault

_MINUTES = 5


def broker(app: Checked) -> Iterator[Fault]:
    """Jobs wait until it is back."""
    if not app.settings.jobs_broker:
        return
    try:
        from ..jobs.broker import BrokerError, Carrier
    except ModuleNotFoundError:
        yield Fault(
            "CARBOY_JOBS_BROKER is set, and Celery isn't installed",
            "run: pip install 'carboy[jobs]'",
        )
        return
    try:
        Carrier(app.settings).waiting()
    except BrokerError as error:
        yield Fault(
            f"CARBOY_JOBS_BROKER can't be reached: {error}", "start the Redis, or correct its URL"
        )


def waiting(app: Checked) -> Iterator[Fault]:
    """Nothing takes what is due."""
    late = sa.select(sa.func.count()).where(TABLE.c.due_at < now() - _MINUTES * 60_000)
    with app.engine.connect() as connection:
        count = connection.scalar(late) if is_there(connection) else 0
    if count:
        jobs = "1 job has" if count == 1 else f"{count} jobs have"
        yield Fault(
            f"{jobs} been due for more than {_MINUTES} minutes: nothing runs them, or too little",
            "start carboy worker; carboy serve runs jobs itself, where CARBOY_JOBS_THREADS isn't 0",
        )


def dead(app: Checked) -> Iterator[Fault]:
    """What was asked for wasn't done, and won't be."""
    query = sa.select(sa.func.count()).where(TABLE.c.state == "dead")
    with app.engine.connect() as connection:
        count = connection.scalar(query) if is_there(connection) else 0
    if count:
        yield Fault(
            f"{count} {'job is' if count == 1 else 'jobs are'} dead",
            "see carboy jobs list --state dead; carboy jobs retry queues one again",
        )
