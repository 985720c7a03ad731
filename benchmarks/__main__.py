"""Measure Carboy beside its peers: the guides' code, and the floor.

Ends with 0 if Carboy reaches the target beside the guides' code in every scenario, and row policies
the one beside filters by hand; with 1 if not; and with 2 if nothing was measured, such as where
the peers' answers differ.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import create_engine, text

from tools.servers import ServerMissing, postgresql

from .data import FULL, QUICK, fill
from .load import Load, LoadFailed
from .measure import measure
from .peers import BY_HAND, LIMITED, PEERS, Peer, PeerFailed, Workers, serving
from .report import (
    POLICY_TARGET,
    RESULTS,
    TARGET,
    Figures,
    Setup,
    figures,
    publish,
    table,
    write_json,
)
from .scenarios import POLICY, SCENARIOS
from .verify import PeersDiffer, verify

WARM_UP = 1
"""Seconds of load before each measurement."""
FAILURES = (ServerMissing, RuntimeError, PeerFailed, PeersDiffer, LoadFailed)


def run(options: argparse.Namespace, peers: tuple[Peer, ...]) -> Figures:
    """Fill a database, serve all peers, compare their answers, and measure."""
    size = QUICK if options.quick else FULL
    workers = Workers(options.workers, options.threads)
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
        # Before anything takes long: wrk may be missing.
        load = Load(options.connections, size.users)
        url = stack.enter_context(postgresql(durable=True))
        progress.update(task, description=f"Making {size.posts:,} posts")
        fill(url, size)
        progress.update(task, description="Starting the peers")
        served = {
            peer: stack.enter_context(serving(peer, url, workers))
            for peer in (*peers, BY_HAND, LIMITED)
        }
        asked = {scenario: {peer: served[peer] for peer in peers} for scenario in SCENARIOS}
        asked[POLICY] = {peer: served[peer] for peer in (BY_HAND, LIMITED)}
        steps = options.rounds * sum(map(len, asked.values()))
        verify(asked, keys=(1, size.users // 2, size.users))
        names = ", ".join(peer.name for peer in peers)
        progress.console.print(f"The answers of {names} are the same JSON.")

        def announce(number: int, description: str) -> None:
            progress.update(task, description=description, completed=number, total=steps)

        rounds, seconds = options.rounds, options.seconds
        warm_up = 0 if options.quick else WARM_UP
        measured = measure(load, asked, rounds, seconds, warm_up, announce)
        setup = Setup(size, workers, options.connections, rounds, seconds, _version(url))
    return figures(setup, SCENARIOS, peers, measured)


def main() -> None:
    """The command."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        found = run(options, (*PEERS, *options.peer))
    except FAILURES as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    output = Console() if sys.stdout.isatty() else Console(width=120)
    output.print(table(found))
    write_json(found, RESULTS)
    if options.publish:
        publish(found)
    for line in found.missed():
        print(
            f"{line.scenario.title}: Carboy is {line.of_guide.median:.2f} times the guides' code, "
            f"not {TARGET}"
        )
    if found.policy.missed:
        print(
            f"{POLICY.title}: the filters by hand do {found.policy.times.median:.2f} times the "
            f"requests, more than {POLICY_TARGET}"
        )
    sys.exit(bool(found.missed()) or found.policy.missed)


def _options() -> argparse.Namespace:
    assert __doc__
    purpose, _, ends = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser("python -m benchmarks", description=purpose, epilog=ends)
    add = parser.add_argument
    add("--rounds", type=_number, default=None, help="how often each is measured (5)")
    add("--seconds", type=_number, default=None, help="how long each time (4)")
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
    options = parser.parse_args()
    if options.publish and options.quick:
        parser.error("--publish takes the full measurement, without --quick")
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 4)
    return options


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _peer(text: str) -> Peer:
    name, equals, app = text.partition("=")
    if not equals or ":" not in app:
        raise argparse.ArgumentTypeError("it looks like NAME=MODULE:APP")
    return Peer(name, name, app)


def _version(url: str) -> str:
    engine = create_engine(url)
    with engine.connect() as connection:
        number: str = connection.scalar(text("SHOW server_version")) or ""
    engine.dispose()
    return f"PostgreSQL {number.split(maxsplit=1)[0]}"


if __name__ == "__main__":
    main()
