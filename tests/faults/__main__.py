"""Every fault, three times: ``python -m tests.faults`` (``make faults``)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from .report import publish, rows, seen
from .runner import Fault, Outcome, run
from .table import FAULTS

RUNS = 3


def main() -> None:
    """Let each fault happen under load, and say what was seen; status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=main.__doc__)
    parser.add_argument(
        "--only", metavar="TEXT", help="faults with one of these, by commas, in their names"
    )
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how often ({RUNS})")
    parser.add_argument("--seconds", type=float, help="how long each lasts, for all alike")
    parser.add_argument(
        "--publish", action="store_true", help="write the docs' page, if run in full"
    )
    options = parser.parse_args()
    texts = (options.only or "").lower().split(",")
    chosen = [each for each in FAULTS if any(text in each.name.lower() for text in texts)]
    begun = time.monotonic()
    outcomes: dict[str, list[Outcome]] = {}
    found = _outcomes(chosen, options.runs, options.seconds)
    for count, (fault, outcome) in enumerate(found, 1):
        outcomes.setdefault(fault.name, []).append(outcome)
        state = "MISSED" if outcome.missed else "ok"
        minutes, seconds = divmod(int(time.monotonic() - begun), 60)
        place = f"{minutes:3}:{seconds:02} {count}/{len(chosen) * options.runs}"
        _say(f"{place} {fault.name}: {state}; {seen(outcome)}")
        for line in outcome.missed[:10]:
            _say(f"    {line}")
        whole = options.runs >= RUNS and options.seconds is None
        if options.publish and whole and len(outcomes[fault.name]) == options.runs:
            publish(rows({fault.name: outcomes[fault.name]}), [each.name for each in FAULTS])
    missed = [name for name, runs in outcomes.items() if any(each.missed for each in runs)]
    _say(f"not as expected: {', '.join(missed) or 'nothing'}")
    sys.exit(bool(missed))


def _outcomes(
    chosen: Sequence[Fault], runs: int, seconds: float | None
) -> Iterator[tuple[Fault, Outcome]]:
    """Run by run; the faults of one kind of site share a site."""
    for site_of, faults in groupby(chosen, lambda fault: fault.site):
        with site_of() as site:
            for fault in faults:
                for number in range(runs):
                    name = f"{FAULTS.index(fault)}-{number}"
                    yield fault, run(fault, site, name, seconds)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
