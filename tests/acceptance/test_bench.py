"""The benchmark measures what it says, and refuses to compare answers that differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import parse_options
from benchmarks.chart import Bar, Group, draw
from benchmarks.contest import BY_PEER, CARBOY, DRF, FLOOR, GUIDE, PEERS, ROOT, contestants
from benchmarks.data import QUICK
from benchmarks.envelopes import datasette_rows, json_api
from benchmarks.load import Sample
from benchmarks.measure import Series
from benchmarks.page import publish
from benchmarks.report import RESULTS, Figures, Setup, scenario_table
from benchmarks.scenarios import BY_NAME, SCENARIOS
from benchmarks.serve import Workers
from benchmarks.targets import BEST, TARGETS, Point, Target, Verdict, judge

DIFFERENT = """
from benchmarks.peers.floor import app as floor

def app(environ, start_response):
    return [body.replace(b"user250@", b"nobody0@") for body in floor(environ, start_response)]
"""
BREAKING = """
import itertools
from benchmarks.peers.floor import app as floor

asked = itertools.count()

def app(environ, start_response):
    if next(asked) < 50:
        return floor(environ, start_response)
    start_response("500 INTERNAL SERVER ERROR", [])
    return []
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
        timeout=300,
        check=False,
    )


def test_a_quick_run_prints_the_tables_and_writes_the_file() -> None:
    """One round: answers compared, peers and targets in the tables and the file, and the status."""
    RESULTS.unlink(missing_ok=True)
    asked, names = ("one", "insert", "insert-many"), ("floor", "carboy", "guide")
    ended = _bench("--only", ",".join(asked), "--peers", ",".join(names))
    assert "The answers of floor, carboy, guide are the same JSON." in ended.stderr
    for title in (
        *(BY_NAME[name].title for name in asked),
        *(BY_PEER[name].title for name in names),
    ):
        assert title in ended.stdout
    written = json.loads(RESULTS.read_text())
    assert {(result["scenario"], result["peer"]) for result in written["results"]} == {
        (scenario, peer) for scenario in asked for peer in names
    }
    assert all(result["rate"] > 0 for result in written["results"])
    memory = [
        r["samples"][0]["peak_mb"] for r in written["results"] if r["scenario"] == "insert-many"
    ]
    assert all(10 < mb < 1000 for mb in memory)
    targets = [(target["scenario"], target["target"]) for target in written["targets"]]
    assert ("one", "at least 0.8") in targets
    assert ("insert-many", "at least 8") in targets
    assert ended.returncode == (not all(target["met"] for target in written["targets"]))


def test_a_peer_with_other_answers_ends_the_run(tmp_path: Path) -> None:
    """One address in one user's JSON is enough: nothing is timed, and the message has both."""
    (tmp_path / "different.py").write_text(DIFFERENT)
    RESULTS.unlink(missing_ok=True)
    only = ("--only", "one", "--peers", "floor")
    ended = _bench(*only, "--peer", "mine=different:app", path=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert "One user by key: the answers of floor and mine differ" in ended.stderr
    assert "user250@example.org" in ended.stderr
    assert "nobody0@example.org" in ended.stderr
    assert not ended.stdout
    assert not RESULTS.exists()


def test_a_rival_that_breaks_down_is_left_out(tmp_path: Path) -> None:
    """It is told, with what went wrong, and the others have their figures."""
    (tmp_path / "breaking.py").write_text(BREAKING)
    arguments = ("--only", "one", "--peers", "floor", "--peer", "weak=breaking:app")
    ended = _bench(*arguments, path=tmp_path)
    assert "Broke down: one of weak: " in ended.stderr
    assert "by an error" in ended.stderr
    results = json.loads(RESULTS.read_text())
    assert [each["peer"] for each in results["results"]] == ["floor"]
    assert results["absent"][0][:2] == ["one", "weak"]


def test_a_peer_that_does_not_start_ends_the_run() -> None:
    """The message names the peer and has what it said."""
    ended = _bench("--only", "one", "--peers", "flask", "--peer", "mine=no_such_module:app")
    assert ended.returncode == 2
    assert "mine (no_such_module:app) didn't start" in ended.stderr
    assert "no_such_module" in ended.stderr.partition("didn't start")[2]


@pytest.mark.parametrize("arguments", [("--only", "one"), ("--quick",), ("--rounds", "4")])
def test_only_a_whole_run_is_published(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures of some scenarios, or of too few rounds, don't get into the docs."""
    with pytest.raises(SystemExit):
        parse_options(["--publish", *arguments])
    assert "--publish takes the full measurement" in capsys.readouterr().err


def test_every_target_is_about_what_is_measured() -> None:
    """No target waits for a figure that no run has, and every scenario is asked of somebody."""
    for target in TARGETS:
        for scenario, peer in target.points:
            there = contestants(BY_NAME[scenario], PEERS)
            assert peer in {one.name for one in there} or (peer == BEST and len(there) > 2)
    assert all(contestants(scenario, PEERS) for scenario in SCENARIOS)


def _series(scenario: str, peer: str, *rates: float, mb: float | None = None) -> Series:
    samples = tuple(Sample(rate, 1.0, 0.1, 1.0, 2.0, peak_mb=mb) for rate in rates)
    return Series(scenario, peer, samples)


def _measured(*series: Series) -> dict[Point, Series]:
    return {(one.scenario, one.peer): one for one in series}


def _verdict(target: Target, measured: dict[Point, Series]) -> Verdict:
    (verdict,) = (verdict for verdict in judge(measured, {}) if verdict.target is target)
    return verdict


def _target(scenario: str, title: str) -> Target:
    return next(t for t in TARGETS if t.scenario == scenario and t.title.startswith(title))


@pytest.mark.parametrize(
    ("rounds", "met"), [((81, 80, 20), True), ((100, 79, 60), False), ((80,), True)]
)
def test_the_median_round_decides(rounds: tuple[int, ...], met: bool) -> None:
    """Carboy's share of the floor is formed in each round, and the middle one counts."""
    floor = _series("one", FLOOR.name, *(100 for _ in rounds))
    found = _measured(floor, _series("one", CARBOY.name, *rounds))
    assert _verdict(_target("one", "share of the floor"), found).met is met


@pytest.mark.parametrize(("carboy", "met"), [(760, True), (759, False)])
def test_the_fastest_peer_is_the_one_to_beat(carboy: int, met: bool) -> None:
    """Neither the floor nor a slower peer; 3.8 times the best one's requests are asked for."""
    rates = {FLOOR.name: 1000, CARBOY.name: carboy, GUIDE.name: 150, DRF.name: 200}
    found = _measured(*(_series("one", peer, rate) for peer, rate in rates.items()))
    assert _verdict(_target("one", "times the best peer"), found).met is met


@pytest.mark.parametrize(("mb", "met"), [(150.0, True), (151.0, False), (None, False)])
def test_memory_is_a_target_by_itself(mb: float | None, met: bool) -> None:
    """A worker that exports may have 150 MB; where nobody can tell, the target is missed."""
    found = _measured(_series("export-csv", CARBOY.name, 100, mb=mb))
    assert _verdict(_target("export-csv", "memory"), found).met is met


@pytest.mark.parametrize(("deep", "met"), [(100, True), (84, True), (83, False)])
def test_a_deep_page_takes_as_long_as_the_first(deep: int, met: bool) -> None:
    """At most 1.2 times as long: a time is the reciprocal of what is done in a second."""
    first = _series("first-page", CARBOY.name, 100)
    found = _measured(first, _series("deep-cursor", CARBOY.name, deep))
    assert _verdict(_target("deep-cursor", "times the first"), found).met is met


@pytest.mark.parametrize(
    ("carboy", "floor", "met"), [((100, 80), (200, 160), True), ((100, 75), (200, 160), False)]
)
def test_carboy_grows_no_faster_than_the_floor(
    carboy: tuple[int, int], floor: tuple[int, int], met: bool
) -> None:
    """Both slow down as the table grows; only Carboy's own slowing down beside it is a miss."""
    rates = {CARBOY.name: carboy, FLOOR.name: floor}
    found = _measured(
        *(
            _series(scenario, peer, rate)
            for peer, both in rates.items()
            for scenario, rate in zip(("key-small", "key-large"), both, strict=True)
        )
    )
    assert _verdict(_target("key-large", "growth"), found).met is met


def test_what_is_not_there_misses_its_targets() -> None:
    """No figure is made up: the verdict and the table say it plainly."""
    found = _measured(_series("export-csv", FLOOR.name, 100), _series("export-csv", "drf", 10))
    absent = {("export-csv", CARBOY.name): "status 406"}
    verdicts = judge(found, absent)
    assert [verdict.why for verdict in verdicts] == ["not there: status 406"] * 3
    assert not any(verdict.met for verdict in verdicts)
    assert "not there" in list(scenario_table(_figures(found, absent)).columns[1].cells)


def _figures(measured: dict[Point, Series], absent: dict[Point, str] | None = None) -> Figures:
    rounds = len(next(iter(measured.values())).samples)
    setup = Setup(QUICK, Workers(1, 2), 16, rounds, 1, "PostgreSQL 15.0")
    verdicts = judge(measured, absent or {})
    return Figures(setup, BY_PEER, measured, absent or {}, verdicts)


def _three(*carboy: float) -> Figures:
    rates = {FLOOR: [600.0] * len(carboy), CARBOY: carboy, GUIDE: [100.0] * len(carboy)}
    return _figures(_measured(*(_series("one", peer.name, *r) for peer, r in rates.items())))


def test_publishing_replaces_the_figures_and_nothing_else(tmp_path: Path) -> None:
    """Ratios come between the markers, again and again, and no request per second does."""
    page, plot = tmp_path / "performance.md", tmp_path / "performance.svg"
    page.write_text(PAGE)
    publish(_three(400), page, plot)
    publish(_three(273, 271, 275), page, plot)
    text = page.read_text()
    assert text.startswith("# Performance\n<!-- figures")
    assert text.endswith("<!-- end of the figures -->\nThe end.\n")
    assert "Not measured yet" not in text
    assert "| One user by key | Carboy | 0.46 (0.45-0.46) | 2.73 (2.71-2.75) |" in text
    assert "| share of the floor | at least 0.8 | 0.46 (0.45-0.46) | **missed** |" in text
    assert "4.00" not in text
    assert "(performance.svg)" in text
    assert "0.46×" in plot.read_text()


def test_the_docs_have_a_place_for_the_figures(tmp_path: Path) -> None:
    """A page without the markers is left as it is, and the message says what is missing."""
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n")
    with pytest.raises(ValueError, match="no place for the figures"):
        publish(_three(300), page, tmp_path / "performance.svg")
    assert page.read_text() == "# Performance\n"
    page.write_text((ROOT / "docs" / "reference" / "performance.md").read_text())
    publish(_three(300), page, tmp_path / "performance.svg")


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


def test_json_api_is_compared_without_its_envelope() -> None:
    """Related objects come from `included` into their row, and moments take the common form."""
    answer = {
        "data": {
            "id": "7",
            "type": "Post",
            "attributes": {"created_at": "2020-06-01 02:00:00+02:00"},
            "relationships": {
                "author": {"data": {"id": "1", "type": "User"}},
                "tags": {"data": [{"id": "2", "type": "Tag"}]},
                "category": {"data": None},
            },
        },
        "included": [
            {"id": "1", "type": "User", "attributes": {"username": "ada"}},
            {"id": "2", "type": "Tag", "attributes": {"name": "sql"}},
        ],
    }
    assert json_api(answer, many=False) == {
        "id": 7,
        "created_at": "2020-06-01T00:00:00.000000Z",
        "author": {"id": 1, "username": "ada"},
        "tags": [{"id": 2, "name": "sql"}],
    }


def test_datasette_is_compared_without_sqlite_s_types() -> None:
    """SQLite has no booleans and no moments; what it has instead is read as such."""
    rows = [{"id": 1, "is_active": 1, "created_at": "2020-01-01 00:17:00.000000"}]
    assert datasette_rows(rows, many=True) == {
        "data": [{"id": 1, "is_active": True, "created_at": "2020-01-01T00:17:00.000000Z"}]
    }
