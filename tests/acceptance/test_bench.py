"""The benchmark measures what it says, and refuses to compare answers that differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chart import Bar, Group, draw
from benchmarks.data import QUICK
from benchmarks.load import Sample
from benchmarks.measure import Series
from benchmarks.peers import BY_HAND, CARBOY, FLOOR, GUIDE, LIMITED, PEERS, ROOT, Workers
from benchmarks.report import RESULTS, Figures, Setup, figures, publish
from benchmarks.scenarios import POLICY, SCENARIOS

DIFFERENT = """
from benchmarks.peers.floor import app as floor

def app(environ, start_response):
    return [body.replace(b"user250@", b"nobody0@") for body in floor(environ, start_response)]
"""
PAGE = """# Performance
<!-- figures: written by `make bench ARGS=--publish` -->
Not measured yet.
<!-- end of the figures -->
The end.
"""


def _bench(*arguments: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    paths = [str(path), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_quick_run_prints_the_table_and_writes_the_file() -> None:
    """One round: answers compared, every peer in every scenario in the table and the file."""
    RESULTS.unlink(missing_ok=True)
    ended = _bench()
    assert "The answers of floor, carboy, guide are the same JSON." in ended.stderr
    for title in [*(scenario.title for scenario in SCENARIOS), *(peer.title for peer in PEERS)]:
        assert title in ended.stdout
    written = json.loads(RESULTS.read_text())
    assert {(result["scenario"], result["peer"]) for result in written["results"]} == {
        (scenario.name, peer.name) for scenario in SCENARIOS for peer in PEERS
    }
    assert all(result["requests_per_second"] > 0 for result in written["results"])
    assert POLICY.title in ended.stdout
    assert "By hand / policies (at most 1.15)" in ended.stdout
    assert written["policy"]["times"]["median"] > 0
    assert ended.returncode == bool(written["missed"])


def test_a_peer_with_other_answers_ends_the_run(tmp_path: Path) -> None:
    """One address in one user's JSON is enough: nothing is timed, and the message has both."""
    (tmp_path / "different.py").write_text(DIFFERENT)
    RESULTS.unlink(missing_ok=True)
    ended = _bench("--peer", "mine=different:app", path=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert "One user by key: the answers of floor and mine differ" in ended.stderr
    assert "user250@example.org" in ended.stderr
    assert "nobody0@example.org" in ended.stderr
    assert not ended.stdout
    assert not RESULTS.exists()


def test_a_peer_that_does_not_start_ends_the_run() -> None:
    """The message names the peer and has what it said."""
    ended = _bench("--peer", "mine=no_such_module:app")
    assert ended.returncode == 2
    assert "mine (no_such_module:app) didn't start" in ended.stderr
    assert "no_such_module" in ended.stderr.partition("didn't start")[2]


def _figures(*carboy: int, by_hand: int = 100) -> Figures:
    """Figures of one-second samples: the floor answers 600 a round, the guides' code 100.

    Under policies Carboy answers 100.
    """
    rounds = len(carboy)
    requests = {FLOOR: [600] * rounds, CARBOY: carboy, GUIDE: [100] * rounds}
    asked = [(scenario, peer, requests[peer]) for scenario in SCENARIOS for peer in PEERS]
    asked += [(POLICY, BY_HAND, [by_hand] * rounds), (POLICY, LIMITED, [100] * rounds)]
    measured = [
        Series(scenario.name, peer.name, tuple(Sample(n, 1.0, 1.0, 2.0, 0.1) for n in counts))
        for scenario, peer, counts in asked
    ]
    setup = Setup(QUICK, Workers(1, 2), 16, len(carboy), 1, "PostgreSQL 15.0")
    return figures(setup, SCENARIOS, PEERS, measured)


@pytest.mark.parametrize(
    ("rounds", "missed"), [((300, 260, 100), False), ((300, 249, 200), True), ((250,), False)]
)
def test_the_median_round_decides(rounds: tuple[int, ...], missed: bool) -> None:
    """Carboy misses the target where its median of the rounds is below 2.5."""
    found = _figures(*rounds).missed()
    assert [line.peer for line in found] == ([CARBOY] * len(SCENARIOS) if missed else [])


@pytest.mark.parametrize(("by_hand", "missed"), [(115, False), (116, True), (90, False)])
def test_policies_may_cost_little(by_hand: int, missed: bool) -> None:
    """The filters by hand do at most 1.15 times the requests."""
    assert _figures(300, by_hand=by_hand).policy.missed is missed


def test_publishing_replaces_the_figures_and_nothing_else(tmp_path: Path) -> None:
    """Ratios come between the markers, again and again, and no request per second does."""
    page, plot = tmp_path / "performance.md", tmp_path / "performance.svg"
    page.write_text(PAGE)
    publish(_figures(400), page, plot)
    publish(_figures(273, 271, 275), page, plot)
    text = page.read_text()
    assert text.startswith("# Performance\n<!-- figures")
    assert text.endswith("<!-- end of the figures -->\nThe end.\n")
    assert "Not measured yet" not in text
    assert "| One user by key | Carboy | 2.73 (2.71-2.75) | 0.46 (0.45-0.46) |" in text
    assert "4.00" not in text
    assert "(performance.svg)" in text
    assert "2.7×" in plot.read_text()


def test_the_docs_have_a_place_for_the_figures(tmp_path: Path) -> None:
    """A page without the markers is left as it is, and the message says what is missing."""
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n")
    with pytest.raises(ValueError, match="no place for the figures"):
        publish(_figures(300), page, tmp_path / "performance.svg")
    assert page.read_text() == "# Performance\n"
    page.write_text((ROOT / "docs" / "reference" / "performance.md").read_text())
    publish(_figures(300), page, tmp_path / "performance.svg")


def test_the_longest_bar_is_the_largest_value() -> None:
    """Bars are in proportion to their values, and names are escaped."""
    plot = draw("A & B", [Group("G", [Bar("<a>", 1.0), Bar("b", 4.0, strong=True)])])
    assert "A &amp; B" in plot
    assert "&lt;a&gt;" in plot
    widths = [
        float(line.partition('width="')[2].partition('"')[0])
        for line in plot.splitlines()
        if '<rect class="bar' in line
    ]
    assert widths[1] == pytest.approx(4 * widths[0], abs=0.5)
