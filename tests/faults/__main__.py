"""Every fault, three times: ``python -m tests.faults`` (``make faults``)."""

from __future__ import annotations

import argparse
import sys
import time
from itertools import groupby

from .report import publish, seen
from .runner import Fault, Outcome, run
from .table import FAULTS


def main() -> None:
    """Let each fault happen under load, and say what was seen; status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=main.__doc__)
    parser.add_argument("--only", metavar="TEXT", help="faults whose name has this in it")
    parser.add_argument("--runs", type=int, default=3, help="how often (3)")
    parser.add_argument("--seconds", type=float, help="how long each lasts, for all alike")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if (options.only or "").lower() in fault.name.lower()]
    outcomes = {}
    started = time.monotonic()
    for fault, outcome, number in _outcomes(chosen, options.runs, options.seconds):
        outcomes.setdefault(fault, []).append(outcome)
        done = sum(map(len, outcomes.values()))
        state = "MISSED" if outcome.missed else "ok"
        _say(f"{done}/{len(chosen) * options.runs} {fault.name}, run {number} ({time.monotonic() - started:.0f} s): {seen(outcome)}: {state}")
        for line in outcome.missed[:20]:
            _say(f"    {line}")
    if len(chosen) == len(FAULTS) and options.runs >= 3 and options.seconds is None:
        publish(outcomes)
    sys.exit(any(outcome.missed for runs in outcomes.values() for outcome in runs))


def _outcomes(chosen, runs, seconds):
    for site_of, faults in groupby(chosen, lambda fault: fault.site):
        with site_of() as site:
            for fault in faults:
                for number in range(1, runs + 1):
                    name = f"{FAULTS.index(fault)}-{number}"
                    yield fault, run(fault, site, name, seconds), number


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
