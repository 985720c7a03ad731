"""Watches over the jobs that a process runs: renews their leases, and learns who must stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import queue
from .job import Job
from .queue import Beat, StoredError
from .run import Jobs

_TICK_SECONDS = 1.0
logger = logging.getLogger("carboy")


class Watch:
    """A thread that tells the database, while jobs run, that they do and how far they are.

    A job that takes longer than CARBOY_JOBS_TIMEOUT is given up: it can't be completed any more.
    """

    def __init__(self, jobs: Jobs) -> None:
        settings = jobs.api.settings
        self.lease = settings.jobs_lease * 1000
        self._jobs = jobs
        self._timeout = settings.jobs_timeout
        self._lock = threading.Lock()
        self._running: dict[Job, float] = {}
        self._told: dict[Job, tuple[float, int | None, int | None]] = {}

    @property
    def running(self) -> list[Job]:
        """The jobs that are watched over now."""
        with self._lock:
            return list(self._running)

    def add(self, job: Job) -> None:
        """A job begins."""
        with self._lock:
            self._running[job] = time.monotonic()
            self._told[job] = (time.monotonic(), None, None)

    def remove(self, job: Job) -> None:
        """A job has ended, in whatever way."""
        with self._lock:
            self._running.pop(job, None)
            self._told.pop(job, None)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the end of the block."""
        stop = threading.Event()
        thread = threading.Thread(target=self._loop, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(_TICK_SECONDS)

    def _loop(self, stop: threading.Event) -> None:
        database = self._jobs.api.database
        while not stop.wait(min(_TICK_SECONDS, self.lease / 4000)):
            try:
                self._tick()
            except queue.failures(database) as error:
                # On SQLite a job that writes keeps this waiting, and others from its job.
                logger.debug("jobs' leases weren't renewed: %s", error)

    def _tick(self) -> None:
        database = self._jobs.api.database
        now = time.monotonic()
        running = self.running
        if not running:
            return
        holding = queue.held(database, [job.claimed for job in running])
        for job in running:
            job.stopping = holding.get(job.claimed.claim, False)
            job.lost = job.claimed.claim not in holding
        self._give_up(now)
        beats = [job for job in self.running if not job.lost and self._is_news(job, now)]
        if beats:
            told = [Beat(job.claimed, job.done, job.total) for job in beats]
            queue.beat(database, told, self.lease)
            with self._lock:
                self._told |= {
                    job: (now, beat.done, beat.total)
                    for job, beat in zip(beats, told, strict=True)
                    if job in self._running
                }

    def _is_news(self, job: Job, now: float) -> bool:
        with self._lock:
            at, done, total = self._told.get(job, (now, job.done, job.total))
        return (done, total) != (job.done, job.total) or now - at > self.lease / 3000

    def _give_up(self, now: float) -> None:
        with self._lock:
            late = [job for job, start in self._running.items() if now - start > self._timeout]
        for job in late:
            job.lost = True
            claimed = job.claimed
            error = StoredError(
                "JobTimeout", f"it took longer than {self._timeout} s (CARBOY_JOBS_TIMEOUT)"
            )
            function = self._jobs.functions[claimed.name]
            again = claimed.attempts < claimed.max_attempts
            pause = function.pause(claimed.attempts) if again else None
            queue.fail(self._jobs.api.database, claimed, error, pause)
            self.remove(job)
