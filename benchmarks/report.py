"""What was measured, as tables for a terminal and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.table import Table

from .contest import FLOOR, ROOT, Peer
from .data import Size
from .load import Sample
from .measure import Series
from .scenarios import BY_NAME, Scenario
from .serve import Workers
from .targets import Point, Ratio, Verdict, best, ratio

RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
_PACKAGES = ("carboy", "flask", "granian", "psycopg", "sqlalchemy")


class Setup(Struct, frozen=True):
    """All that the figures depend on; ``apart`` are the versions in the peers' environment."""

    rows: Size
    workers: Workers
    connections: int
    rounds: int
    seconds: int
    database: str
    apart: Mapping[str, str] = {}


class Figures(Struct, frozen=True):
    """All that was found in one run, in the order of the scenarios; what isn't there, and why."""

    setup: Setup
    peers: Mapping[str, Peer]
    measured: Mapping[Point, Series]
    absent: Mapping[Point, str]
    verdicts: Sequence[Verdict]

    def scenarios(self) -> Iterator[tuple[Scenario, list[tuple[Peer, Series | None]]]]:
        """Each scenario with its peers; None for what isn't there."""
        points = [*self.measured, *self.absent]
        points.sort(key=lambda point: list(BY_NAME).index(point[0]))
        for name, group in groupby(points, key=lambda point: point[0]):
            found = [(self.peers[point[1]], self.measured.get(point)) for point in group]
            yield BY_NAME[name], found

    def of_floor(self, series: Series) -> Ratio | None:
        """A peer's share of the floor."""
        floor = self.measured.get((series.scenario, FLOOR.name))
        return None if floor is None else ratio([series], [floor])

    def of_best(self, series: Series) -> Ratio | None:
        """How many times the best peer's."""
        peer = best(series.scenario, self.measured)
        return None if peer is None else ratio([series], [peer])

    def missed(self) -> list[Verdict]:
        """The targets that weren't reached."""
        return [verdict for verdict in self.verdicts if not verdict.met]

    def client_share(self) -> float:
        """The largest share of the machine's CPU time that wrk, or our own client, had."""
        return max((s.middle("cpu_share") or 0 for s in self.measured.values()), default=0)


def scenario_table(found: Figures) -> Table:
    """Every peer in every scenario."""
    shown = Table(title=conditions(found.setup), title_justify="left", title_style="")
    shown.add_column("")
    for heading in (
        "a second", "p50 ms", "p99 ms", "of the floor", "of the best peer", "client's CPU",
        "worker MB",
    ):  # fmt: skip
        shown.add_column(heading, justify="right")
    for scenario, lines in found.scenarios():
        shown.add_section()
        shown.add_row(f"[bold]{scenario.title}")
        for peer, series in lines:
            style = "bold" if peer.ours else ""
            if series is None:
                shown.add_row(peer.title, "not there", style=style)
            else:
                shown.add_row(peer.title, *_cells(found, scenario, series), style=style)
    return shown


def _cells(found: Figures, scenario: Scenario, series: Series) -> list[str]:
    middle = series.middle
    memory = [f"{mb:.0f}" for mb in (middle("rest_mb"), middle("peak_mb")) if mb is not None]
    if scenario.kind == "process":
        first = f"{middle('seconds'):.2f} s"
    else:
        first = f"{series.rate:,.0f} {'rows' if scenario.kind == 'transfer' else 'req'}"
    return [
        first,
        _number(middle("p50_ms")),
        _number(middle("p99_ms")),
        _number(getattr(found.of_floor(series), "median", None)),
        _number(getattr(found.of_best(series), "median", None)),
        f"{middle('cpu_share'):.0%}",
        " to ".join(memory),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def target_table(found: Figures) -> Table:
    """Every target with its figure beside it."""
    shown = Table(title="Targets", title_justify="left", title_style="")
    for heading in ("Scenario", "Figure", "Target", "Found", ""):
        shown.add_column(heading)
    for verdict in found.verdicts:
        shown.add_row(
            BY_NAME[verdict.target.scenario].title,
            verdict.target.title,
            verdict.target.bound,
            with_range(verdict.found) if verdict.found else verdict.why,
            "[green]met" if verdict.met else "[bold red]missed",
        )
    return shown


class Measured(Struct, frozen=True):
    """A line of the JSON file; each sample is a round."""

    scenario: str
    peer: str
    rate: float
    of_floor: Ratio | None
    of_best: Ratio | None
    samples: tuple[Sample, ...]


class Document(Struct, frozen=True):
    """The JSON file. ``absent`` has what isn't there, as scenario, peer and reason."""

    made: datetime
    machine: dict[str, str | int | None]
    versions: dict[str, str]
    setup: Setup
    client_cpu_share: float
    targets: list[dict[str, object]]
    absent: list[tuple[str, str, str]]
    results: list[Measured]


def write_json(found: Figures, path: Path) -> None:
    """Everything, absolute numbers too."""
    document = Document(
        made=datetime.now(UTC),
        machine={"system": platform.platform(), "cpus": os.cpu_count()},
        versions={"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
        setup=found.setup,
        client_cpu_share=found.client_share(),
        targets=[
            {
                "scenario": verdict.target.scenario,
                "figure": verdict.target.title,
                "target": verdict.target.bound,
                "found": verdict.found,
                "met": verdict.met,
                "why": verdict.why,
            }
            for verdict in found.verdicts
        ],
        absent=[(*point, why) for point, why in found.absent.items()],
        results=[
            Measured(
                scenario=series.scenario,
                peer=series.peer,
                rate=series.rate,
                of_floor=found.of_floor(series),
                of_best=found.of_best(series),
                samples=series.samples,
            )
            for series in found.measured.values()
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def with_range(shown: Ratio) -> str:
    """The median, and the lowest and the highest round where they differ."""
    if f"{shown.lowest:.2f}" == f"{shown.highest:.2f}":
        return f"{shown.median:.2f}"
    return f"{shown.median:.2f} ({shown.lowest:.2f}-{shown.highest:.2f})"


def conditions(setup: Setup) -> str:
    """What the figures depend on, in a sentence."""
    rows, workers = setup.rows, setup.workers
    return (
        f"{setup.rounds} x {setup.seconds} s; {setup.database}; {rows.posts:,} posts, "
        f"{rows.users:,} users, {rows.links:,} links, {rows.large:,} events; granian with "
        f"{workers.processes} x {workers.threads} threads; {setup.connections} connections; "
        f"{os.cpu_count()} CPUs; Python {platform.python_version()}"
    )
