"""What is done by the clock: schedules are queued ahead, and jobs of old are deleted."""

from __future__ import annotations

import datetime as dt
import time

from ..access import ANONYMOUS
from ..execute.transaction import transaction
from . import queue
from .functions import JobFunction
from .queue import NewJob
from .run import Jobs
from .table import is_there, make_ready

_PRUNE_SECONDS = 3600.0


class Clock:
    """Several may run at once: a run of a schedule has a key, and so is queued only once.

    The next run of each schedule is always in the queue. So one whose time comes while no process
    runs is done when the next one starts, and of several that were missed just the first.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._scheduled = [f for f in jobs.functions.values() if f.schedule is not None]
        self._queued: dict[str, dt.datetime] = {}
        self._pruned = 0.0
        self._has_table = False

    def has_table(self) -> bool:
        """Whether there ever was a job."""
        self._has_table = self._has_table or is_there(self._jobs.api.database.engine)
        return self._has_table

    def tick(self) -> None:
        """Do what is due by now."""
        for function in self._scheduled:
            if self._queued.get(function.name, dt.datetime.min.replace(tzinfo=dt.UTC)) <= _now():
                self._queue_next(function)
        days = self._jobs.api.settings.jobs_days
        if days and time.monotonic() - self._pruned > _PRUNE_SECONDS and self.has_table():
            self._pruned = time.monotonic()
            queue.prune(self._jobs.api.database, days)

    def _queue_next(self, function: JobFunction) -> None:
        moment = function.next_run(_now())
        assert moment is not None
        job = NewJob(
            name=function.name,
            arguments=function.encode({}),
            max_attempts=function.attempts,
            key=f"schedule {moment.isoformat()}",
            due_at=int(moment.timestamp() * 1000),
        )
        database = self._jobs.api.database
        make_ready(database)
        with transaction(database, ANONYMOUS) as session:
            queue.add(database, session.connection(), job)
        self._queued[function.name] = moment


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
