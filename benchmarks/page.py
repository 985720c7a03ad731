"""The figures in the docs: ratios, for absolute numbers say more of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .chart import Bar, Group, draw
from .contest import ROOT
from .report import Figures, conditions, with_range
from .scenarios import BY_NAME
from .targets import Ratio

PAGE = ROOT / "docs" / "reference" / "performance.md"
PLOT = ROOT / "docs" / "reference" / "performance.svg"
BEGIN = "<!-- figures: written by `make bench ARGS=--publish` -->"
END = "<!-- end of the figures -->"
PLOTTED = ("one", "list", "page", "insert", "insert-many", "export-ndjson")
PLOT_TITLE = "Share of what the floor does in the same time"


def publish(found: Figures, page: Path = PAGE, plot: Path = PLOT) -> None:
    """Put the plot and the tables between the page's markers. Raises ValueError without them."""
    replace_between(BEGIN, END, _markdown(found, plot.name), page)
    plot.write_text(draw(PLOT_TITLE, list(_groups(found))))


def replace_between(begin: str, end: str, new: str, page: Path = PAGE) -> None:
    """Put a text between two markers of a page. Raises ValueError without them."""
    before, _, rest = page.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no place for the figures between {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{new.strip()}\n\n{end}{after}")


def _groups(found: Figures) -> Iterator[Group]:
    for scenario, lines in found.scenarios():
        if scenario.name not in PLOTTED:
            continue
        bars = [
            Bar(peer.title, share.median, strong=peer.ours)
            for peer, series in lines
            if series and (share := found.of_floor(series))
        ]
        if bars:
            yield Group(scenario.title, sorted(bars, key=lambda bar: -bar.value))


def _markdown(found: Figures, plot: str) -> str:
    rows = [
        f"![{PLOT_TITLE}, of each peer]({plot})",
        "",
        "### Targets",
        "",
        "| Scenario | Figure | Target | Found | |",
        "| --- | --- | --- | --- | --- |",
    ]
    rows += [
        f"| {BY_NAME[v.target.scenario].title} | {v.target.title} | {v.target.bound} "
        f"| {with_range(v.found) if v.found else v.why} | {'met' if v.met else '**missed**'} |"
        for v in found.verdicts
    ]
    rows += [
        "",
        "### Every peer",
        "",
        "| Scenario | Peer | Share of the floor | Times the best peer |",
        "| --- | --- | --: | --: |",
    ]
    for scenario, lines in found.scenarios():
        for peer, series in lines:
            cells = (
                f"{_cell(found.of_floor(series))} | {_cell(found.of_best(series))}"
                if series
                else "not there |"
            )
            rows.append(f"| {scenario.title} | {peer.title} | {cells} |")
    rows += ["", *_processes(found)]
    rows += [
        "",
        f"{conditions(found.setup)}. The client's own share of the machine's CPU time: "
        f"{found.client_share():.0%} at most.",
    ]
    return "\n".join(rows)


def _processes(found: Figures) -> Iterator[str]:
    yield "### Start and memory"
    yield ""
    yield "| Peer | Seconds to the first answer | MB of a worker at rest | under load |"
    yield "| --- | --: | --: | --: |"
    for scenario, lines in found.scenarios():
        for peer, series in lines:
            if scenario.kind == "process" and series:
                rest, peak = series.middle("rest_mb"), series.middle("peak_mb")
                yield (
                    f"| {peer.title} | {series.middle('seconds'):.2f} | {rest or 0:.0f} "
                    f"| {peak or 0:.0f} |"
                )


def _cell(shown: Ratio | None) -> str:
    return with_range(shown) if shown else ""
