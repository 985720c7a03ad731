"""Tells the broker of the jobs that are due: those in the table are its outbox."""

from __future__ import annotations

import logging
import threading

from . import queue
from .broker import BrokerError, Carrier
from .clock import Clock
from .run import Jobs

_POLL_SECONDS = 0.5
_AFTER_ERROR_SECONDS = 2.0
_AHEAD = 1000
_LOST_MILLISECONDS = 10_000
logger = logging.getLogger("carboy")


class Relay:
    """Runs beside each Celery worker; several do no harm.

    A job that was sent and isn't taken is sent again only while no message waits at the broker: so
    what is lost comes again, and what just has to wait isn't sent over and over.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._carrier = Carrier(jobs.api.settings)
        self._clock = Clock(jobs)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let ``run`` return."""
        self._stopping.set()

    def run(self) -> None:
        """Send until ``stop`` is called."""
        while not self._stopping.wait(self._step()):
            pass

    def _step(self) -> float:
        """Send what is due; answers how many seconds to wait."""
        database = self._jobs.api.database
        try:
            self._clock.tick()
            if not self._clock.has_table() or not queue.is_due(database):
                return _POLL_SECONDS
            self._send()
        except queue.failures(database) as error:
            logger.warning("jobs: %s", error)
            return _AFTER_ERROR_SECONDS
        except BrokerError as error:
            logger.warning("jobs: the broker (CARBOY_JOBS_BROKER) can't be reached: %s", error)
            return _AFTER_ERROR_SECONDS
        return _POLL_SECONDS

    def _send(self) -> None:
        database = self._jobs.api.database
        waiting = self._carrier.waiting()
        if waiting >= _AHEAD:
            return
        lost = None if waiting else _LOST_MILLISECONDS
        ids = queue.take_unsent(database, _AHEAD - waiting, lost)
        if not ids:
            return
        try:
            self._carrier.send(ids)
        except BrokerError:
            queue.mark_unsent(database, ids)
            raise
