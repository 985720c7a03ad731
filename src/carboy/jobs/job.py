"""What a job's function is given: who asks, how to tell how far it is, and a session."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..access import ANONYMOUS, Actor
from ..execute import Database
from ..execute.transaction import transaction
from . import queue
from .queue import Claimed, LeaseLost


class JobCancelled(Exception):
    """Somebody has asked the job to stop."""


class Job:
    """One attempt at a job. What goes through ``session`` is committed with its completion."""

    def __init__(self, database: Database, claimed: Claimed) -> None:
        self.claimed = claimed
        # Set by the heartbeat, from its own thread.
        self.stopping = False
        self.lost = False
        self.done: int | None = None
        self.total: int | None = None
        self.finished = False
        self._database = database
        self._stack = ExitStack()
        self._session: Session | None = None

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *raised: Any) -> None:
        """Commit what went through the session, or take it back where something was raised."""
        self._stack.__exit__(*raised)

    @property
    def id(self) -> str:
        """Names the job, as in ``/api/jobs/<id>``."""
        return self.claimed.id

    @property
    def key(self) -> str:
        """The same at every attempt: for effects elsewhere, such as a payment's own key."""
        return self.claimed.key or self.claimed.id

    @property
    def attempt(self) -> int:
        """Counted from 1."""
        return self.claimed.attempts

    @property
    def actor(self) -> Actor:
        """Who queued it, with the roles of that time; ``ANONYMOUS`` for the application itself."""
        return self.claimed.actor or ANONYMOUS

    @property
    def session(self) -> Session:
        """A session whose transaction begins here, and is committed with the job's completion.

        On SQLite it keeps all others from writing, so ask for it as late as you can.
        """
        if self._session is None:
            self._session = self._stack.enter_context(transaction(self._database, self.actor))
            self._session.autoflush = True
        return self._session

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked the job to stop, or its time is over."""
        return self.stopping or self.lost

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far the job is; raises JobCancelled where somebody has asked it to stop."""
        self.done, self.total = done, total
        if self.lost:
            raise LeaseLost
        if self.stopping:
            raise JobCancelled

    def finish(self, connection: sa.Connection, result: object) -> None:
        """Complete the job in a transaction, which is rolled back where LeaseLost is raised."""
        queue.complete(connection, self.claimed, result)
        self.finished = True
