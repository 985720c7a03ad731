"""Rounds of measurements, interleaved: whatever slows the machine for a while slows all peers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from statistics import median

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Engine

from .contest import Peer
from .data import Size, empty_anew
from .load import LoadFailed, Request, Sample, put_load, transfer
from .scenarios import Scenario
from .serve import Served


class Turn(Struct, frozen=True, eq=False):
    """A peer in a scenario: what it is asked, its server, and how one more of it is started."""

    scenario: Scenario
    peer: Peer
    request: Request
    served: Served
    start: Callable[[], AbstractContextManager[Served]]


class Pace(Struct, frozen=True):
    """How often each turn is measured, and for how many seconds where that is load.

    Each turn's first load comes after ``warm_up`` seconds that count for nothing. No turn begins
    after ``until``, a time of ``time.monotonic``.
    """

    rounds: int
    seconds: int
    warm_up: int
    until: float


class Series(Struct, frozen=True):
    """One peer's samples in one scenario, a sample a round."""

    scenario: str
    peer: str
    samples: tuple[Sample, ...]

    def middle(self, name: str) -> float | None:
        """The median of one of the samples' attributes, where they have it."""
        found = [getattr(sample, name) for sample in self.samples]
        return None if None in found else median(found)

    @property
    def rate(self) -> float:
        """The median of what was done in a second."""
        return median(sample.rate for sample in self.samples)


def measure(
    turns: Sequence[Turn],
    pace: Pace,
    database: tuple[Engine, Size],
    announce: Callable[[int, str], None],
) -> tuple[list[Series], dict[tuple[str, str], str]]:
    """Measure every turn once a round; a round that time ends is forgotten.

    Tables that a turn writes to are made anew before it, in the database of a size. ``announce`` is
    called before each measurement, with how many there were and what it is. What a rival breaks
    down in is left out from then on, and told beside the series; raises LoadFailed of all others.
    """
    samples: list[dict[tuple[str, str], Sample]] = []
    broken: dict[tuple[str, str], str] = {}
    for number in range(pace.rounds):
        found: dict[tuple[str, str], Sample] = {}
        for turn in _rotated(turns, number):
            point = turn.scenario.name, turn.peer.name
            if point in broken:
                continue
            if time.monotonic() > pace.until:
                break
            announce(
                number * len(turns) + len(found),
                f"Round {number + 1}: {turn.scenario.name}, {turn.peer.name}",
            )
            try:
                found[point] = _sample(turn, pace, number, database)
            except LoadFailed as error:
                if not turn.peer.rival:
                    raise
                broken[point] = str(error)
        else:
            samples.append(found)
            continue
        break
    series = [
        Series(*point, tuple(found[point] for found in samples))
        for point in ((turn.scenario.name, turn.peer.name) for turn in turns)
        if samples and point not in broken
    ]
    return series, broken


def _sample(turn: Turn, pace: Pace, number: int, database: tuple[Engine, Size]) -> Sample:
    def prepare() -> None:
        if turn.scenario.writes:
            empty_anew(database[0], turn.scenario.writes, database[1])

    prepare()
    match turn.scenario.kind:
        case "transfer":
            turn.served.forget_peak()
            sample = transfer(turn.request)
            return replace(sample, peak_mb=turn.served.peak_mb())
        case "process":
            return _started(turn)
    if pace.warm_up and not number:
        put_load(turn.request, pace.warm_up, seed=-1)
        prepare()
    return put_load(turn.request, pace.seconds, seed=number)


def _started(turn: Turn) -> Sample:
    """How long a new server takes to answer, and what its workers need, before and under load."""
    with turn.start() as served:
        rest = served.resting_mb()
        put_load(replace(turn.request, server=served.url), 1, seed=0)
        peak = served.peak_mb()
    return Sample(amount=1, seconds=served.started_in, rest_mb=rest, peak_mb=peak)


def _rotated(turns: Sequence[Turn], number: int) -> Iterator[Turn]:
    """All scenarios in their order; another peer goes first in each round."""
    for _, group in groupby(turns, key=lambda turn: turn.scenario.name):
        peers = list(group)
        first = number % len(peers)
        yield from (*peers[first:], *peers[:first])
