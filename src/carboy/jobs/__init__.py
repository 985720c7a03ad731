"""Durable background jobs: queued in the transaction of a write, run until they are done."""

from .functions import ATTEMPTS, BACKOFF, JobFunction, Schedule, check_function
from .job import Job, JobCancelled
from .queue import JobError, NewJob, add
from .run import Jobs
from .runner import Runner, run_due
from .show import respond_job
from .writes import answer_later, is_for_later, update_later, write_function

__all__ = [
    "ATTEMPTS",
    "BACKOFF",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFunction",
    "Jobs",
    "NewJob",
    "Runner",
    "Schedule",
    "add",
    "answer_later",
    "check_function",
    "is_for_later",
    "respond_job",
    "run_due",
    "update_later",
    "write_function",
]
