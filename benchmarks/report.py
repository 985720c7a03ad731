"""What was measured, as a table, as JSON, and as a page of the docs."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.table import Table

from .chart import Bar, Group, draw
from .data import Size
from .load import Sample
from .measure import Ratio, Series, ratio
from .peers import BY_HAND, CARBOY, FLOOR, GUIDE, LIMITED, ROOT, Peer, Workers
from .scenarios import POLICY, Scenario

TARGET = 2.5
"""How many times the guides' code Carboy has to be at least."""
POLICY_TARGET = 1.15
"""How many times the requests under row policies the same filters by hand may do at most."""
RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
PAGE = ROOT / "docs" / "reference" / "performance.md"
PLOT = ROOT / "docs" / "reference" / "performance.svg"
BEGIN = "<!-- figures: written by `make bench ARGS=--publish` -->"
END = "<!-- end of the figures -->"
_PACKAGES = ("carboy", "flask", "flask-sqlalchemy", "granian", "psycopg", "sqlalchemy")


class Setup(Struct, frozen=True):
    """All that the figures depend on."""

    rows: Size
    workers: Workers
    connections: int
    rounds: int
    seconds: int
    database: str


class Line(Struct, frozen=True):
    """One peer in one scenario."""

    scenario: Scenario
    peer: Peer
    series: Series
    of_floor: Ratio
    of_guide: Ratio


class PolicyCost(Struct, frozen=True):
    """Row policies beside the same filters by hand; ``times`` is by hand in times of policies."""

    by_hand: Series
    limited: Series
    times: Ratio

    @property
    def missed(self) -> bool:
        """Whether policies cost more than they may."""
        return self.times.median > POLICY_TARGET


class Figures(Struct, frozen=True):
    """All lines of one run, and what policies cost in it."""

    setup: Setup
    lines: tuple[Line, ...]
    policy: PolicyCost

    def missed(self) -> list[Line]:
        """The lines of Carboy that are below the target."""
        return [
            line for line in self.lines if line.peer is CARBOY and line.of_guide.median < TARGET
        ]


def figures(
    setup: Setup, scenarios: Sequence[Scenario], peers: Sequence[Peer], measured: Iterable[Series]
) -> Figures:
    """Every series beside the floor's and the guides'."""
    found = {(series.scenario, series.peer): series for series in measured}
    by_hand, limited = (found[POLICY.name, peer.name] for peer in (BY_HAND, LIMITED))
    return Figures(
        setup,
        policy=PolicyCost(by_hand, limited, ratio(by_hand, limited)),
        lines=tuple(
            Line(
                scenario,
                peer,
                mine := found[scenario.name, peer.name],
                of_floor=ratio(mine, found[scenario.name, FLOOR.name]),
                of_guide=ratio(mine, found[scenario.name, GUIDE.name]),
            )
            for scenario in scenarios
            for peer in peers
        ),
    )


def table(found: Figures) -> Table:
    """The figures for a terminal."""
    shown = Table(title=_conditions(found.setup), title_justify="left", title_style="")
    shown.add_column("")
    for heading in ("req/s", "p50 ms", "p99 ms", "of the floor", "of the guides'", "wrk's CPU"):
        shown.add_column(heading, justify="right")
    for line in found.lines:
        if line.peer is found.lines[0].peer:
            shown.add_section()
            shown.add_row(f"[bold]{line.scenario.title}")
        series = line.series
        shown.add_row(
            line.peer.title,
            f"{series.rate:,.0f}",
            f"{series.p50_ms:.2f}",
            f"{series.p99_ms:.2f}",
            f"{line.of_floor.median:.2f}",
            f"{line.of_guide.median:.2f}",
            f"{series.cpu_share:.0%}",
            style="bold" if line.peer is CARBOY else "",
        )
    _add_policy(shown, found.policy)
    return shown


def _add_policy(shown: Table, cost: PolicyCost) -> None:
    shown.add_section()
    shown.add_row(f"[bold]{POLICY.title}")
    for peer, series in ((BY_HAND, cost.by_hand), (LIMITED, cost.limited)):
        shown.add_row(
            peer.title,
            f"{series.rate:,.0f}",
            f"{series.p50_ms:.2f}",
            f"{series.p99_ms:.2f}",
            "",
            "",
            f"{series.cpu_share:.0%}",
        )
    shown.add_row(f"By hand / policies (at most {POLICY_TARGET})", f"{cost.times.median:.2f}")


class Measured(Struct, frozen=True):
    """A line of the JSON file; each sample is a round."""

    scenario: str
    peer: str
    requests_per_second: float
    of_floor: Ratio
    of_guide: Ratio
    samples: tuple[Sample, ...]


class Document(Struct, frozen=True):
    """The JSON file. ``missed`` has the scenarios in which Carboy is below the target."""

    made: datetime
    machine: dict[str, str | int | None]
    versions: dict[str, str]
    setup: Setup
    target: float
    missed: list[str]
    results: list[Measured]
    policy_target: float
    policy: PolicyCost


def write_json(found: Figures, path: Path) -> None:
    """Everything, absolute numbers too."""
    document = Document(
        made=datetime.now(UTC),
        machine={"system": platform.platform(), "cpus": os.cpu_count()},
        versions={"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
        setup=found.setup,
        target=TARGET,
        missed=[line.scenario.name for line in found.missed()]
        + [POLICY.name] * found.policy.missed,
        policy_target=POLICY_TARGET,
        policy=found.policy,
        results=[
            Measured(
                scenario=line.scenario.name,
                peer=line.peer.name,
                requests_per_second=line.series.rate,
                of_floor=line.of_floor,
                of_guide=line.of_guide,
                samples=line.series.samples,
            )
            for line in found.lines
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def publish(found: Figures, page: Path = PAGE, plot: Path = PLOT) -> None:
    """Put the plot and the ratios into the docs; absolute numbers say more of the machine."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{page} has no place for the figures between {BEGIN} and {END}")
    plot.write_text(
        draw(
            "Requests per second, times the guides' code",
            [
                Group(line.scenario.title, _bars(found, line.scenario))
                for line in found.lines
                if line.peer is found.lines[0].peer
            ],
        )
    )
    page.write_text(f"{before}{BEGIN}\n\n{_markdown(found, plot.name)}\n{END}{after}")


def _bars(found: Figures, scenario: Scenario) -> list[Bar]:
    return [
        Bar(line.peer.title, line.of_guide.median, strong=line.peer is CARBOY)
        for line in found.lines
        if line.scenario is scenario
    ]


def _markdown(found: Figures, plot: str) -> str:
    rows = [
        f"![Requests per second of each peer, times the guides' code]({plot})",
        "",
        "| Scenario | Peer | Times the guides' code | Times the floor |",
        "| --- | --- | --: | --: |",
    ]
    rows += [
        f"| {line.scenario.title} | {line.peer.title} | {_with_range(line.of_guide)} "
        f"| {_with_range(line.of_floor)} |"
        for line in found.lines
    ]
    largest = max(line.series.cpu_share for line in found.lines)
    rows += [
        "",
        f"{POLICY.title}: the same filters by hand do {_with_range(found.policy.times)} times the "
        f"requests (target: at most {POLICY_TARGET}).",
        "",
        f"{_conditions(found.setup)}. wrk's own share of the machine's CPU time: {largest:.0%} "
        "at most.",
        "",
    ]
    return "\n".join(rows)


def _with_range(shown: Ratio) -> str:
    if shown.lowest == shown.highest:
        return f"{shown.median:.2f}"
    return f"{shown.median:.2f} ({shown.lowest:.2f}-{shown.highest:.2f})"


def _conditions(setup: Setup) -> str:
    rows, workers = setup.rows, setup.workers
    return (
        f"{setup.rounds} x {setup.seconds} s; {setup.database}; {rows.posts:,} posts, "
        f"{rows.users:,} users, {rows.links:,} links; granian with {workers.processes} x "
        f"{workers.threads} threads; {setup.connections} connections; {os.cpu_count()} CPUs; "
        f"Python {platform.python_version()}"
    )
