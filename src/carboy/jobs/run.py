"""One attempt at one job: from its claim to what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from msgspec import Struct

from ..errors import ApiError
from ..events import Trace, request_id, traced
from ..execute import Within
from ..pipeline import Api
from ..respond import respond_error
from . import queue
from .functions import JobFunction
from .job import Job, JobCancelled
from .queue import Claimed, LeaseLost, StoredError

_CLIENT_ERRORS = range(400, 500)
logger = logging.getLogger("carboy")


class Jobs(Struct, frozen=True, eq=False):
    """An application's jobs: the functions, its API, and the context that functions run in."""

    functions: Mapping[str, JobFunction]
    api: Api
    context: Callable[[], AbstractContextManager[Any]]


def attempt(jobs: Jobs, job: Job) -> None:
    """Run a claimed job and store what became of it.

    Where even that can't be stored, the job is taken again when its lease ends.
    """
    number = job.claimed.request_id or request_id()
    with traced(Trace(number, jobs.api.subscribers)):
        _attempt(jobs, job)


def _attempt(jobs: Jobs, job: Job) -> None:
    database, claimed = jobs.api.database, job.claimed
    function = jobs.functions.get(claimed.name)
    try:
        if function is None:
            error = StoredError("UnknownJob", f"this application has no job {claimed.name!r}")
            queue.fail(database, claimed, error, None)
            return
        # In place of a request's deadline, which would end its transaction.
        with Within(jobs.api.settings.jobs_timeout):
            _run(jobs, function, job)
    except LeaseLost:
        logger.warning("job %s (%s): its lease has ended; left alone", claimed.id, claimed.name)
    except queue.failures(database) as error:
        logger.warning("job %s (%s): %s", claimed.id, claimed.name, error)


def _run(jobs: Jobs, function: JobFunction, job: Job) -> None:
    database, claimed = jobs.api.database, job.claimed
    arguments = msgspec.json.decode(claimed.arguments)
    try:
        with jobs.context(), job:
            result = function.run(job, **arguments)
            if not job.finished:
                job.session.flush()
                job.finish(job.session.connection(), result)
    except LeaseLost:
        raise
    except JobCancelled:
        queue.end_cancelled(database, claimed)
    except Exception as error:  # noqa: BLE001  the job's own; it is stored and told
        pause = None
        if _may_pass(error) and claimed.attempts < claimed.max_attempts:
            pause = function.pause(claimed.attempts)
        _log(claimed, error, pause)
        queue.fail(database, claimed, stored_error(error), pause)


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may do better: not where the request itself is refused."""
    return not (isinstance(error, ApiError) and error.status in _CLIENT_ERRORS)


def stored_error(error: Exception) -> StoredError:
    """An error as the table keeps it; of ApiErrors clients may read all."""
    problem = None
    if isinstance(error, ApiError):
        problem = msgspec.json.decode(respond_error(error).body)
    return StoredError(type(error).__name__, str(error), problem)


def _log(claimed: Claimed, error: Exception, pause: int | None) -> None:
    what = "is dead" if pause is None else f"is tried again in {pause / 1000:.1f} s"
    logger.warning(
        "job %s (%s) failed at attempt %d of %d and %s",
        claimed.id,
        claimed.name,
        claimed.attempts,
        claimed.max_attempts,
        what,
        exc_info=error,
    )
