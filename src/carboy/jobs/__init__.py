"""Durable background jobs: queued in the transaction of a write, run until they are done."""

from .functions import ATTEMPTS, BACKOFF, JobFunction, Schedule, check_function
from .job import Job, JobCancelled
from .queue import JobError, NewJob, add
from .queue import cancel as cancel_job
from .queue import counts as count_jobs
from .queue import listed as list_jobs
from .queue import retry as retry_job
from .run import Jobs
from .runner import Runner, run_due
from .show import respond_job, shown
from .table import STATES, TABLE, State, is_there, now
from .writes import answer_later, is_for_later, update_later, write_function

__all__ = [
    "ATTEMPTS",
    "BACKOFF",
    "STATES",
    "TABLE",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFunction",
    "Jobs",
    "NewJob",
    "Runner",
    "Schedule",
    "State",
    "add",
    "answer_later",
    "cancel_job",
    "check_function",
    "count_jobs",
    "is_for_later",
    "is_there",
    "list_jobs",
    "now",
    "respond_job",
    "retry_job",
    "run_due",
    "shown",
    "update_later",
    "write_function",
]
