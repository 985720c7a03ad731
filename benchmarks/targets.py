"""What Carboy has to reach, in one table, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

from msgspec import Struct

from .contest import BY_HAND, BY_PEER, CACHED, CACHED_REDIS, CARBOY, FLASK, FLOOR, LIMITED
from .measure import Series

BEST = "the best peer"
"""Stands for the fastest peer of a scenario, of those that aren't Carboy or a floor."""
MOST_MB = 150.0
NOISE = 0.05
"""What two measurements of the same may differ by, where a target says: no more than another."""

Point = tuple[str, str]
"""The names of a scenario and a peer."""


class Target(Struct, frozen=True):
    """A bound on a quotient of what is done in a second: ``over`` divided by ``under``.

    Where ``of`` is memory, it is ``over``'s own, in MB. Each round has a value; their median
    decides.
    """

    scenario: str
    title: str
    over: tuple[Point, ...]
    under: tuple[Point, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    of: Literal["rate", "peak_mb"] = "rate"

    @property
    def bound(self) -> str:
        """As people write it."""
        unit = " MB" if self.of == "peak_mb" else ""
        if self.at_least is not None:
            return f"at least {self.at_least:g}{unit}"
        return f"at most {self.at_most:g}{unit}"

    @property
    def points(self) -> tuple[Point, ...]:
        """All that it takes to know."""
        return (*self.over, *self.under)


def _of_floor(scenario: str, least: float) -> Target:
    mine, floor = (scenario, CARBOY.name), (scenario, FLOOR.name)
    return Target(scenario, "share of the floor", (mine,), (floor,), at_least=least)


def _of_best(scenario: str, least: float) -> Target:
    mine, best = (scenario, CARBOY.name), (scenario, BEST)
    return Target(scenario, "times the best peer", (mine,), (best,), at_least=least)


def _memory(scenario: str) -> Target:
    mine = (scenario, CARBOY.name)
    return Target(scenario, "memory of a worker", (mine,), at_most=MOST_MB, of="peak_mb")


def _of_flask(peer: str, least: float) -> Target:
    title = f"{BY_PEER[peer].title}: share of Flask's own trivial view"
    return Target("cached", title, (("cached", peer),), (("cached", FLASK.name),), at_least=least)


def _growth(small: str, large: str) -> Target:
    """How much slower Carboy gets as the table grows, in times of how much the floor does."""
    over = ((small, CARBOY.name), (large, FLOOR.name))
    under = ((large, CARBOY.name), (small, FLOOR.name))
    title = "growth of the time from the small table, times that of the floor's statement"
    return Target(large, title, over, under, at_most=1 + NOISE)


TARGETS = (
    _of_floor("one", 0.80),
    _of_best("one", 3.8),
    _of_floor("list", 0.90),
    _of_best("list", 4.5),
    _of_floor("page", 0.85),
    _of_best("page", 3),
    _of_floor("insert", 0.70),
    _of_best("insert", 1.5),
    _of_floor("insert-many", 0.50),
    _of_best("insert-many", 8),
    *(
        target
        for name in ("export-ndjson", "export-csv")
        for target in (_of_floor(name, 0.60), _of_best(name, 5), _memory(name))
    ),
    _of_flask(CACHED.name, 0.9),
    _of_flask(CACHED_REDIS.name, 0.6),
    Target(
        "deep-cursor",
        "times the first page's time",
        (("first-page", CARBOY.name),),
        (("deep-cursor", CARBOY.name),),
        at_most=1.2,
    ),
    _growth("key-small", "key-large"),
    _growth("page-small", "page-large"),
    Target(
        "policy",
        "requests of the same filters by hand, times those under policies",
        (("policy", BY_HAND.name),),
        (("policy", LIMITED.name),),
        at_most=1.15,
    ),
)


class Ratio(Struct, frozen=True):
    """A figure of each round: their median and their range."""

    median: float
    lowest: float
    highest: float


class Verdict(Struct, frozen=True):
    """A target and what was found; ``found`` is None where that isn't there, as ``why`` tells."""

    target: Target
    found: Ratio | None
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        if self.found is None:
            return False
        least, most = self.target.at_least, self.target.at_most
        return (least is None or self.found.median >= least) and (
            most is None or self.found.median <= most
        )


def ratio(over: Sequence[Series], under: Sequence[Series], of: str = "rate") -> Ratio | None:
    """The quotient of each round, for samples of one round saw the same machine.

    None where a sample hasn't what is asked for.
    """
    values = []
    for number in range(len(over[0].samples)):
        value = 1.0
        for series, power in (*((s, 1) for s in over), *((s, -1) for s in under)):
            measured = getattr(series.samples[number], of)
            if measured is None:
                return None
            value *= measured**power
        values.append(value)
    return Ratio(median(values), min(values), max(values))


def best(scenario: str, measured: Mapping[Point, Series]) -> Series | None:
    """The fastest peer's series in a scenario."""
    peers = [
        series
        for (name, peer), series in measured.items()
        if name == scenario and (peer not in BY_PEER or BY_PEER[peer].rival)
    ]
    return max(peers, key=lambda series: series.rate, default=None)


def judge(measured: Mapping[Point, Series], absent: Mapping[Point, str]) -> list[Verdict]:
    """Every target on what was asked for, beside what was measured.

    ``absent`` says of points why they couldn't be measured, though they were asked for.
    """
    known = dict(measured)
    for scenario, _ in measured:
        if series := best(scenario, measured):
            known[scenario, BEST] = series
    verdicts = []
    for target in TARGETS:
        missing = [absent[point] for point in target.points if point in absent]
        if missing:
            verdicts.append(Verdict(target, None, f"not there: {missing[0]}"))
        elif all(point in known for point in target.points):
            found = ratio(
                [known[point] for point in target.over],
                [known[point] for point in target.under],
                target.of,
            )
            why = "" if found else "this system doesn't tell"
            verdicts.append(Verdict(target, found, why))
    return verdicts
