"""Measure Carboy beside its peers, and beside the floor.

Ends with 0 if Carboy reaches every target; with 1 if it misses one, if something that a target is
about isn't there, or if time was up before five rounds were whole; and with 2 if nothing was
measured, such as where the peers' answers differ.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import create_engine, text

from tools.servers import ServerMissing, find_or_install, postgresql, redis

from .contest import BY_PEER, PEERS, Ask, Peer, contestants
from .data import FULL, QUICK, copy_to_sqlite, fill
from .load import WRK, LoadFailed
from .measure import Pace, measure
from .page import publish
from .report import RESULTS, Figures, Setup, scenario_table, target_table, write_json
from .scenarios import BY_NAME, SCENARIOS, Scenario
from .serve import PeerFailed, Workers
from .targets import judge
from .turns import Stage, full_transfers, make_turns
from .verify import PeersDiffer, verify

T = TypeVar("T")

WARM_UP = 1
"""Seconds of load before a peer is first measured in a scenario."""
LEAST_ROUNDS = 5
FAILURES = (
    ServerMissing, RuntimeError, PeerFailed, PeersDiffer, LoadFailed, subprocess.CalledProcessError,
)  # fmt: skip


def run(
    options: argparse.Namespace, scenarios: tuple[Scenario, ...], peers: tuple[Peer, ...]
) -> Figures:
    """Fill a database, serve all peers, compare their answers, and measure."""
    until = time.monotonic() + 60 * options.minutes
    size = QUICK if options.quick else FULL
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with ExitStack() as stack:
        stack.enter_context(progress)
        task = progress.add_task("Starting PostgreSQL", total=None)

        def announce(description: str) -> None:
            progress.update(task, description=description)

        find_or_install(WRK)  # before anything takes long
        taking = {peer for scenario in scenarios for peer in contestants(scenario, peers)}
        databases = {"postgresql": stack.enter_context(postgresql(durable=True))}
        announce(f"Making {size.posts:,} posts and {size.large:,} events")
        url = databases["postgresql"]
        fill(url, size)
        if any(peer.database == "sqlite" for peer in taking):
            announce("Copying the posts to SQLite")
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="carboy-bench-"))
            databases["sqlite"] = copy_to_sqlite(url, Path(folder) / "blog.db")
        cached = any("cached" in peer.asks for peer in taking)
        stage = Stage(
            databases,
            stack.enter_context(redis()) if cached else "redis://127.0.0.1:1",
            Workers(options.workers, options.threads),
            options.connections,
            size,
        )
        turns = make_turns(
            scenarios, peers, stage, stack, lambda peer: announce(f"Starting {peer}")
        )
        engine = create_engine(url)
        stack.callback(engine.dispose)
        announce("Comparing the answers")
        turns, absent = verify(turns, engine, size)
        names = ", ".join(peer.name for peer in peers if peer in taking)
        progress.console.print(f"The answers of {names} are the same JSON.")
        for (scenario, peer), why in absent.items():
            progress.console.print(f"Not there: {scenario} of {peer}: {why}.")
        pace = Pace(options.rounds, options.seconds, 0 if options.quick else WARM_UP, until)
        steps = pace.rounds * len(turns)
        measured, broken = measure(
            full_transfers(turns, stage),
            pace,
            (engine, size),
            lambda done, what: progress.update(task, description=what, completed=done, total=steps),
        )
        for (scenario, peer), why in broken.items():
            progress.console.print(f"Broke down: {scenario} of {peer}: {why}")
        absent |= {point: f"broke down: {why}" for point, why in broken.items()}
        version = _version(url)
    found = {(series.scenario, series.peer): series for series in measured}
    rounds = len(measured[0].samples) if measured else 0
    setup = Setup(size, stage.workers, options.connections, rounds, options.seconds, version)
    verdicts = judge(found, absent) if rounds or absent else []
    return Figures(setup, {peer.name: peer for peer in peers}, found, absent, verdicts)


def main() -> None:
    """The command."""
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        found = run(options, options.only or SCENARIOS, (*(options.peers or PEERS), *options.peer))
    except FAILURES as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    output = Console() if sys.stdout.isatty() else Console(width=140)
    output.print(scenario_table(found))
    output.print(target_table(found))
    output.print(f"The client's share of the CPU time: {found.client_share():.0%} at most.")
    write_json(found, RESULTS)
    rounds = found.setup.rounds
    if rounds < options.rounds:
        print(f"Time was up: {rounds} of {options.rounds} rounds in {options.minutes} minutes")
    elif options.publish:
        publish(found)
    sys.exit(bool(found.missed()) or rounds < options.rounds)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for; it ends the process where that can't be done."""
    assert __doc__
    purpose, _, ends = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser("python -m benchmarks", description=purpose, epilog=ends)
    add = parser.add_argument
    add("--only", type=_scenarios, metavar="SCENARIO,...", help=f"some of {', '.join(BY_NAME)}")
    add("--peers", type=_peers, metavar="PEER,...", help=f"some of {', '.join(BY_PEER)}")
    add("--minutes", type=_number, default=30, help="the time limit (%(default)s)")
    add("--rounds", type=_number, default=None, help="how often each is measured (5)")
    add("--seconds", type=_number, default=None, help="how long each load lasts (2)")
    add(
        "--quick", action="store_true", help="one round of a second on little data, with no warm-up"
    )
    add("--workers", type=_number, default=os.cpu_count(), help="processes of each (%(default)s)")
    add("--threads", type=_number, default=1, help="threads of each process (%(default)s)")
    add("--connections", type=_number, default=16, help="clients at a time (%(default)s)")
    add(
        "--peer",
        type=_peer,
        action="append",
        default=[],
        metavar="NAME=MODULE:APP",
        help="measure a WSGI application of yours as well, which answers /posts and /users/<key>",
    )
    add("--publish", action="store_true", help="write the ratios and the plot into the docs")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else LEAST_ROUNDS)
    options.seconds = options.seconds or (1 if options.quick else 2)
    partial_run = options.quick or options.only or options.peers or options.rounds < LEAST_ROUNDS
    if options.publish and partial_run:
        parser.error("--publish takes the full measurement of at least five rounds")
    return options


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _scenarios(text: str) -> tuple[Scenario, ...]:
    return _named(text, BY_NAME)


def _peers(text: str) -> tuple[Peer, ...]:
    return _named(text, BY_PEER)


def _named(text: str, table: Mapping[str, T]) -> tuple[T, ...]:
    """What a list of names means, in the table's order."""
    names = text.split(",")
    if unknown := set(names) - set(table):
        raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}")
    return tuple(value for name, value in table.items() if name in names)


def _peer(text: str) -> Peer:
    name, equals, app = text.partition("=")
    if not equals or ":" not in app:
        raise argparse.ArgumentTypeError("it looks like NAME=MODULE:APP")
    return Peer(name, name, app, {"one": Ask(), "list": Ask()})


def _version(url: str) -> str:
    engine = create_engine(url)
    with engine.connect() as connection:
        number: str = connection.scalar(text("SHOW server_version")) or ""
    engine.dispose()
    return f"PostgreSQL {number.split(maxsplit=1)[0]}"


if __name__ == "__main__":
    main()
