"""Rounds of load, interleaved: whatever slows the machine for a while slows all peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from msgspec import Struct

from .load import Load, Sample
from .peers import Peer, headers
from .scenarios import Scenario


class Series(Struct, frozen=True):
    """One peer's samples in one scenario, a sample a round."""

    scenario: str
    peer: str
    samples: tuple[Sample, ...]

    @property
    def rate(self) -> float:
        """The median of requests a second."""
        return median(sample.rate for sample in self.samples)

    @property
    def p50_ms(self) -> float:
        """The median of the rounds' median latencies."""
        return median(sample.p50_ms for sample in self.samples)

    @property
    def p99_ms(self) -> float:
        """The median of the rounds' 99th percentiles of latency."""
        return median(sample.p99_ms for sample in self.samples)

    @property
    def cpu_share(self) -> float:
        """The median of wrk's own share of the machine's CPU time."""
        return median(sample.cpu_share for sample in self.samples)


class Ratio(Struct, frozen=True):
    """How many times another's requests a second: the median of the rounds, and their range."""

    median: float
    lowest: float
    highest: float


def ratio(mine: Series, other: Series) -> Ratio:
    """Compare round by round, for two samples of one round saw the same machine."""
    rounds = [a.rate / b.rate for a, b in zip(mine.samples, other.samples, strict=True)]
    return Ratio(median(rounds), min(rounds), max(rounds))


def measure(
    load: Load,
    asked: Mapping[Scenario, Mapping[Peer, str]],
    rounds: int,
    seconds: int,
    warm_up: int,
    announce: Callable[[int, str], None],
) -> list[Series]:
    """Measure every scenario's peers, once a round, for a number of seconds.

    ``asked`` has the peers' URLs. Before each measurement come ``warm_up`` seconds of load that
    count for nothing. ``announce`` is called before each measurement, with how many there were and
    what it is. Raises LoadFailed.
    """
    samples: dict[tuple[Scenario, Peer], list[Sample]] = {}
    turns = [
        (number, scenario, peer)
        for number in range(rounds)
        for scenario, peers in asked.items()
        for peer in _rotated(list(peers), number)
    ]
    for done, (number, scenario, peer) in enumerate(turns):
        announce(done, f"Round {number + 1}: {scenario.name}, {peer.name}")
        url, path, who = asked[scenario][peer], peer.path(scenario), headers(scenario)
        if warm_up:
            load.put(url, path, who, warm_up, seed=-1 - number)
        sample = load.put(url, path, who, seconds, seed=number)
        samples.setdefault((scenario, peer), []).append(sample)
    return [
        Series(scenario.name, peer.name, tuple(samples[scenario, peer]))
        for scenario, peers in asked.items()
        for peer in peers
    ]


def _rotated(peers: Sequence[Peer], number: int) -> list[Peer]:
    """Another peer goes first in each round."""
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]
