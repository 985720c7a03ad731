"""One fault under load: what was answered meanwhile, what is left afterwards, and what is wrong."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from .jobs import Jobs, settled
from .ledger import wrong_rows
from .load import Answer, Load
from .site import Kind, Site

BACK_SECONDS = 5
"""How soon after a fault has ended reads and writes must succeed."""
_CALM_SECONDS = 1.0
_AFTER_SECONDS = 1.0
_GIVE_UP_SECONDS = 40
_SLOWEST_SECONDS = 20
"""An answer may take CARBOY_DEADLINE and the time that a busy machine takes besides."""

Inject = Callable[[Site], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and which answers are right meanwhile beside success.

    ``inject`` begins it and, at the end of its block, ends it. ``reads`` and ``writes`` are
    statuses; ``breaks`` says that connections of clients may break, as the server itself is hit.
    """

    name: str
    site: Kind
    inject: Inject
    seconds: float
    reads: frozenset[int] = frozenset()
    writes: frozenset[int] = frozenset()
    breaks: bool = False
    quick: bool = False
    """Whether it is in the short form, which is part of the tests."""
    job_within: float = BACK_SECONDS
    """How soon after it has ended a job must be done, where there are any."""


@dataclass
class Outcome:
    """What was seen in one run of a fault; times in seconds."""

    answered: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    """Answers that weren't successes, by status; 0 for a connection that broke."""
    back: float | None = None
    """Until a read and a write that came after the fault had succeeded."""
    acknowledged: int = 0
    found: int = 0
    """Acknowledged writes that the database has, once each."""
    missed: list[str] = field(default_factory=list)
    """Expectations that weren't fulfilled."""
    jobs: Jobs | None = None
    """What became of jobs, where there are any."""


def run(fault: Fault, site: Site, name: str, seconds: float | None = None) -> Outcome:
    """Let a fault happen under load, for ``seconds`` if given; ``name`` is of this run alone."""
    most = site.most()
    site.load = load = Load(site.server.port, name, site.credentials, orders=site.orders)
    try:
        time.sleep(_CALM_SECONDS)
        begun = time.monotonic()
        with fault.inject(site):
            time.sleep(fault.seconds if seconds is None else seconds)
        ended, ended_at = time.monotonic(), time.time()
        back = _wait_for_success(load, ended)
        time.sleep(_AFTER_SECONDS)
    finally:
        load.stop()
    outcome = judged(load, site)
    outcome.back = back
    outcome.missed += wrong_answers(fault, load.answers, begun, ended)
    if back is None or back > BACK_SECONDS:
        outcome.missed.append(f"no success within {BACK_SECONDS} s: {back}")
    if site.orders:
        outcome.jobs = settled(site.engine, site.charges, name, ended_at)
        outcome.missed += wrong_jobs(fault, outcome.jobs)
    held = site.held(most)
    if not held.within(most):
        outcome.missed.append(f"leaked: {held}, at most {most}")
    return outcome


def wrong_jobs(fault: Fault, jobs: Jobs) -> list[str]:
    """What shouldn't have become of jobs."""
    late = jobs.first is None or jobs.first > fault.job_within
    told = [f"no job done within {fault.job_within} s: {jobs.first}"] if late else []
    return [*told, *([] if jobs.orders else ["nothing was ordered"]), *jobs.wrong]


def judged(load: Load, site: Site) -> Outcome:
    """What became of a load that has ended, and of its writes."""
    answers, writes = load.answers, load.writes
    acknowledged = [write for write in writes if write.acknowledged]
    wrong = wrong_rows(site.engine, writes)
    missed = [f"{write} was never answered" for write in writes if not write.acknowledged]
    return Outcome(
        answered=sum(answer.status > 0 for answer in answers),
        refused=Counter(answer.status for answer in answers if not answer.done),
        acknowledged=len(acknowledged),
        found=sum(write.ref not in wrong for write in acknowledged),
        missed=[*missed, *wrong.values()],
    )


def _wait_for_success(load: Load, since: float) -> float | None:
    """The seconds until a read and a write that were sent since then had succeeded."""
    end = since + _GIVE_UP_SECONDS
    while time.monotonic() < end:
        first: dict[str, float] = {}
        for answer in load.answers:
            if answer.begun >= since and answer.done:
                first.setdefault(answer.kind, answer.ended - since)
        if len(first) == 2:
            return max(first.values())
        time.sleep(0.05)
    return None


def wrong_answers(fault: Fault, answers: list[Answer], begun: float, ended: float) -> list[str]:
    """What shouldn't have been answered, each kind once with an example."""
    wrong: dict[str, str] = {}
    for answer in answers:
        if answer.ended - answer.begun > _SLOWEST_SECONDS:
            taken = answer.ended - answer.begun
            wrong.setdefault("slow", f"{answer.asked}: {answer.status} after {taken:.1f} s")
        if answer.done or answer.is_in_flight:
            continue
        meanwhile = answer.ended >= begun and answer.begun <= ended + BACK_SECONDS
        right = set(fault.reads if answer.kind == "read" else fault.writes) if meanwhile else set()
        if fault.breaks and meanwhile:
            right.add(0)
        what = None
        if answer.status not in right:
            what = f"{answer.kind}: {answer.status} {'' if meanwhile else 'after it had ended'}"
        elif answer.status and "retry-after" not in answer.headers:
            what = f"{answer.kind}: {answer.status} without Retry-After"
        if what is not None:
            said = answer.body[:300].decode(errors="replace")
            wrong.setdefault(what, f"{what} ({answer.asked}: {said})")
    return list(wrong.values())
