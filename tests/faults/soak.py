"""Mixed load for a long time: ``python -m tests.faults.soak`` (``make soak``)."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .load import Load
from .report import replace_part
from .runner import judged
from .servers import THREADS, WORKERS
from .site import Site, on_postgresql

BOUND = 0.05
"""By which share of its mean a quantity may grow, by its slope, in the time that is looked at."""
_MIB = 1 << 20
_SAMPLES = 120
_WARM_UP = 0.25
"""The share of the time in which caches, pools and threads fill up."""
_CLIENTS = 4


@dataclass(frozen=True)
class Quantity:
    """What was measured again and again, after the warm-up; times in minutes."""

    name: str
    moments: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def slope(self) -> float:
        """The growth in an hour, by least squares."""
        return statistics.linear_regression(self.moments, self.values).slope * 60

    @property
    def growth(self) -> float:
        """The growth in the whole time, as a share of the mean."""
        hours = (self.moments[-1] - self.moments[0]) / 60
        return self.slope * hours / statistics.fmean(self.values)


def main() -> None:
    """Load a server, and see whether what it holds grows; status 1 if it does, or errs."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "30")))
    parser.add_argument("--publish", action="store_true", help="write the page of the docs")
    options = parser.parse_args()
    with on_postgresql() as site:
        load = Load(site.server.port, "soak", site.credentials, _CLIENTS)
        try:
            quantities = measured(site, options.minutes)
        finally:
            load.stop()
        outcome = judged(load, site)
    text = table(quantities, options.minutes, outcome.answered)
    _say(text)
    missed = [*outcome.missed, *(f"{status}" for status in outcome.refused)]
    missed += [f"{each.name} grew by {each.growth:.1%}" for each in quantities if grows(each)]
    if options.publish:
        replace_part("soak", text)
    _say(f"not as expected: {', '.join(missed) or 'nothing'}")
    sys.exit(bool(missed))


def grows(quantity: Quantity) -> bool:
    """Whether a quantity grows by more than it may."""
    return quantity.growth > BOUND


def measured(site: Site, minutes: float) -> list[Quantity]:
    """What the server holds, from the end of the warm-up on."""
    begun = time.monotonic()
    moments: list[float] = []
    samples: list[tuple[float, ...]] = []
    while (passed := (time.monotonic() - begun) / 60) < minutes:
        held = site.held_now()
        memory = site.server.memory / _MIB
        if passed >= minutes * _WARM_UP:
            moments.append(passed)
            samples.append((memory, *held))
        _say(f"{passed:5.1f} min: {memory:.1f} MiB, {held}")
        time.sleep(minutes * 60 / _SAMPLES)
    names = ("Memory, MiB", "Processes", "Connections", "Threads", "Files")
    values = zip(*samples, strict=True)
    return [Quantity(name, tuple(moments), each) for name, each in zip(names, values, strict=True)]


def table(quantities: Sequence[Quantity], minutes: float, answered: int) -> str:
    """The quantities as a Markdown table, and how they came about."""
    lines = ["| Held | Mean | Most | Growth an hour | Growth |", "| --- | --: | --: | --: | --: |"]
    lines += [
        f"| {each.name} | {statistics.fmean(each.values):.1f} | {max(each.values):.1f} "
        f"| {each.slope:+.2f} | {each.growth:+.1%} |"
        for each in quantities
    ]
    looked = minutes * (1 - _WARM_UP)
    lines += [
        "",
        f"{minutes:g} minutes, of which the last {looked:g} count; {answered:,} requests by "
        f"{_CLIENTS} clients; {WORKERS} workers with {THREADS} threads. Growth is the slope's in "
        f"the time that counts, and may be {BOUND:.0%} of the mean.",
    ]
    return "\n".join(lines)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
