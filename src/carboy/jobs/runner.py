"""Runs jobs in threads of this process: what ``carboy serve`` does, and ``carboy worker``."""

from __future__ import annotations

import logging
import threading
import time

from . import queue
from .clock import Clock
from .job import Job
from .run import Jobs, attempt
from .table import make_ready
from .watch import Watch

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 20.0
_AFTER_ERROR_SECONDS = 2.0
logger = logging.getLogger("carboy")


class Runner:
    """Takes what is due, ``threads`` jobs at a time, until it is told to stop."""

    def __init__(self, jobs: Jobs, threads: int) -> None:
        self._jobs = jobs
        self._threads = threads
        self._clock = Clock(jobs)
        self._watch = Watch(jobs)
        self._stopping = False
        # Set when there is something to do before the next look at the database.
        self._wake = threading.Event()

    def stop(self) -> None:
        """Take no more jobs; ``run`` returns when those that run have ended, or been given back."""
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        """Run jobs until ``stop`` is called, from a signal's handler or another thread."""
        with self._watch.watching():
            while not self._stopping:
                self._wake.wait(self._step())
                self._wake.clear()
            self._leave()

    def _step(self) -> float:
        """Start what is due; answers how many seconds to wait."""
        database = self._jobs.api.database
        try:
            self._clock.tick()
            free = self._threads - len(self._watch.running)
            if free <= 0 or not self._clock.has_table() or not queue.is_due(database):
                return _POLL_SECONDS
            for claimed in queue.claim(database, free, self._watch.lease):
                self._start(Job(database, claimed))
        except queue.failures(database) as error:
            logger.warning("jobs: %s", error)
            return _AFTER_ERROR_SECONDS
        return 0.0

    def _start(self, job: Job) -> None:
        def run() -> None:
            try:
                attempt(self._jobs, job)
            finally:
                self._watch.remove(job)
                self._wake.set()

        self._watch.add(job)
        # A daemon, so that a job that never ends keeps no process from it.
        threading.Thread(target=run, name=f"job {job.id}", daemon=True).start()

    def _leave(self) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while self._watch.running and time.monotonic() < end:
            self._wake.wait(_POLL_SECONDS)
            self._wake.clear()
        database = self._jobs.api.database
        for job in self._watch.running:
            job.stopping = True
            try:
                queue.give_back(database, job.claimed)
            except queue.failures(database) as error:
                logger.warning("job %s (%s): %s", job.id, job.claimed.name, error)


def run_due(jobs: Jobs) -> int:
    """Run what is due, one after the other in this thread, until nothing is; answers how many.

    For tests: nothing renews a lease.
    """
    database, number = jobs.api.database, 0
    make_ready(database)
    while claimed := queue.claim(database, 1, jobs.api.settings.jobs_lease * 1000):
        attempt(jobs, Job(database, claimed[0]))
        number += 1
    return number
