"""What happened, as frozen values. Whoever wants to know subscribes; nobody else pays for it.

What a request does is added up in its ``Trace``, which the request's own context holds, so that
no stage has to hand it on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from random import getrandbits
from time import perf_counter
from typing import TypeAlias

from msgspec import Struct

_SANE_ID = re.compile(r"[A-Za-z0-9._~:+/=@-]{1,128}")


class RequestAnswered(Struct, frozen=True):
    """A request has its answer.

    ``resource`` is the name of an exposed resource, or the route of a view; empty where the path
    means nothing. ``rows_read`` and ``rows_written`` are a resource's own rows, without embedded
    and cascaded ones. Times are in seconds.
    """

    id: str
    method: str
    resource: str
    status: int
    seconds: float
    statements: int
    rows_read: int
    rows_written: int
    cache: str = ""


class StatementRan(Struct, frozen=True):
    """A statement was run for a request or a job; ``sql`` has placeholders for its values."""

    request_id: str
    sql: str
    seconds: float


Event: TypeAlias = RequestAnswered | StatementRan
Subscriber: TypeAlias = Callable[[Event], None]


class Trace(Struct, eq=False):
    """One request while it is answered, or the attempt at a job that it queued.

    ``stages`` are the seconds of each stage so far; None where nobody wants to know. ``streams``
    says that rows are still read while the answer is sent.
    """

    id: str
    subscribers: tuple[Subscriber, ...] = ()
    resource: str = ""
    statements: int = 0
    rows_read: int = 0
    rows_written: int = 0
    cache: str = ""
    stages: dict[str, float] | None = None
    marked: float = 0.0
    streams: bool = False

    def emit(self, event: Event) -> None:
        """Tell all subscribers."""
        for subscriber in self.subscribers:
            subscriber(event)


TRACE: ContextVar[Trace | None] = ContextVar("carboy_trace", default=None)
"""The trace of the request or the job that is under way here, if there is one."""


def request_id(sent: str | None = None) -> str:
    """What a client calls its request, if that is fit for logs and headers; else a new id."""
    if sent is not None and _SANE_ID.fullmatch(sent):
        return sent
    return f"{getrandbits(128):032x}"


@contextmanager
def traced(trace: Trace) -> Iterator[None]:
    """What is done meanwhile, in this thread, is the trace's."""
    token = TRACE.set(trace)
    try:
        yield
    finally:
        TRACE.reset(token)


def mark(stage: str) -> None:
    """What has passed since the last mark belongs to this stage."""
    trace = TRACE.get()
    if trace is None or trace.stages is None:
        return
    now = perf_counter()
    trace.stages[stage] = trace.stages.get(stage, 0.0) + now - trace.marked
    trace.marked = now


def about(resource: str) -> None:
    """The request is about this resource."""
    if (trace := TRACE.get()) is not None:
        trace.resource = resource


def streams() -> None:
    """The request's answer is sent while its rows are read."""
    if (trace := TRACE.get()) is not None:
        trace.streams = True


def rows(*, read: int = 0, written: int = 0) -> None:
    """The request has read or written so many rows of its resource."""
    if (trace := TRACE.get()) is not None:
        trace.rows_read += read
        trace.rows_written += written


def cached(outcome: str) -> None:
    """What the cache did for the request: hit, miss, stale or bypass."""
    if (trace := TRACE.get()) is not None:
        trace.cache = outcome


def statement_ran(sql: str, started: float) -> None:
    """A statement that was begun at ``perf_counter() == started`` has ended."""
    trace = TRACE.get()
    if trace is None:
        return
    trace.statements += 1
    if trace.subscribers:
        trace.emit(StatementRan(trace.id, sql, perf_counter() - started))
