"""The pages are a contract: what they show is run, what they list is compared with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from carboy import errors
from carboy.ops import metrics
from carboy.respond import respond_error
from carboy.settings import TABLE
from tools.checks_table import ALL
from tools.checks_table import table as checks_table
from tools.settings_table import table

from .compare import same_json
from .pages import PAGES, ROOT, RUN, anchors, asks_sample, blocks, links, name_of
from .runner import run_page

ERRORS = ROOT / "docs" / "reference" / "errors.md"
CHECKS = ROOT / "docs" / "reference" / "check.md"
SETTINGS = ROOT / "docs" / "reference" / "settings.md"
METRICS = ROOT / "docs" / "reference" / "metrics.md"
RUNNING = [p for p in PAGES if any(b.language in ("console", "python") for b in blocks(p))]
HOW_TO = ROOT / "docs" / "how-to"
ON_POSTGRESQL = [HOW_TO / "migrations.md", HOW_TO / "postgresql.md"]
MARIADB = HOW_TO / "mariadb.md"
# A search index, and JSON that contains other JSON; tests/integration asks for both.
NOT_ON_MARIADB = re.compile(r"create_search_index|=cs\.")
ON_ONE = [*ON_POSTGRESQL, MARIADB]
ON_SAMPLE = [p for p in RUNNING if asks_sample(p) and p not in ON_ONE]
ON_THEIR_OWN = [p for p in RUNNING if not asks_sample(p) and p not in ON_ONE]


@pytest.mark.parametrize("page", ON_SAMPLE, ids=name_of)
def test_page_about_the_sample_holds(page: Path, tmp_path: Path, database_url: str) -> None:
    """What a page shows of docs/sample.py is what it answers, on every database."""
    on_mariadb = database_url.startswith("mariadb")
    run_page(page, tmp_path, database_url, without=NOT_ON_MARIADB if on_mariadb else None)


@pytest.mark.parametrize("page", ON_POSTGRESQL, ids=name_of)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_page_about_postgresql_holds(page: Path, tmp_path: Path, database_url: str) -> None:
    """What is said of PostgreSQL is true there."""
    run_page(page, tmp_path, database_url)


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_page_about_mariadb_holds(tmp_path: Path, database_url: str) -> None:
    """What is said of MariaDB is true there, for an application without this suite's rules."""
    run_page(MARIADB, tmp_path, database_url)


@pytest.mark.parametrize("page", ON_THEIR_OWN, ids=name_of)
def test_page_on_its_own_holds(page: Path, tmp_path: Path) -> None:
    """A page with its own server, or without any, can be followed from first line to last."""
    run_page(page, tmp_path, f"sqlite:///{tmp_path / 'page.sqlite'}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_of_kinds_that_are_checked(page: Path) -> None:
    """A block is console, python or json, which are checked, or text, which is no command."""
    unknown = {block.language for block in blocks(page)} - RUN - {"text"}
    assert not unknown, f"unchecked blocks: {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a page, or to a heading in it, resolves."""
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_and_extras_exist(page: Path) -> None:
    """Commands that only install, and so can't be run here, name targets and extras that exist."""
    text = page.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^(?:\$ )?make ([a-z]+)", text, re.MULTILINE)) <= targets
    project = (ROOT / "pyproject.toml").read_text()
    for extras in re.findall(r"-e '?\.\[([a-z,]+)\]", text):
        for extra in extras.split(","):
            assert re.search(rf"^{extra} = \[", project, re.MULTILINE), f"no extra {extra}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_can_be_found(page: Path) -> None:
    """Each page can be reached by links from the README."""
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        current = waiting.pop()
        if current in reached or not current.exists():
            continue
        reached.add(current)
        targets = (link.partition("#")[0] for link in links(current) if ":" not in link)
        waiting += [(current.parent / t).resolve() for t in targets if t.endswith(".md")]
    assert page in reached


def test_settings_page_has_the_table() -> None:
    """The page of settings has the table that the code makes of them, unchanged."""
    assert table(TABLE) in SETTINGS.read_text()


def test_metrics_page_has_the_table() -> None:
    """Every metric that Carboy counts is on its page, with its type, labels and help."""
    shown = METRICS.read_text()
    for metric in (m for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)):
        (family,) = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        assert f"| `{name}` | {family.type} | {labels} | {family.documentation} |" in shown
    assert f"| `carboy_jobs` | gauge | `state` | {metrics.JOBS_HELP} |" in shown
    assert shown.count("| `carboy_") == 7


def test_check_page_has_the_table() -> None:
    """The page of checks has the table that the code makes of them, unchanged."""
    assert checks_table(ALL) in CHECKS.read_text()


def classes(base: type[errors.ApiError] = errors.ApiError) -> list[type[errors.ApiError]]:
    """The error tree without its root, parents first."""
    return [c for below in base.__subclasses__() for c in (below, *classes(below))]


def sections() -> dict[str, str]:
    """The errors page's text by the heading of each section."""
    parts = re.split(r"^### (.+)$", ERRORS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_errors_page_has_every_error_and_no_other() -> None:
    """Each class of the tree has a section with its code, and each section has a class."""
    assert list(sections()) == [f"{c.code}" for c in classes()]


@pytest.mark.parametrize("kind", classes(), ids=lambda c: c.code)
def test_error_example_is_what_is_answered(kind: type[errors.ApiError]) -> None:
    """The example of an error has the type, title and status that are sent, and says what to do."""
    section = sections()[kind.code]
    examples = re.findall(r"^```json\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(examples) == 1
    example = json.loads(examples[0])
    problems = [errors.Problem(**problem) for problem in example.get("errors", ())]
    error = kind(example["detail"], problems, instance=example.get("instance"))
    assert same_json(example, json.loads(respond_error(error).body))
    assert f"{kind.status}" in section.partition("```")[0]
    assert "**Fix:**" in section


@pytest.mark.parametrize("page", [p for p in PAGES if p != ERRORS], ids=name_of)
def test_json_blocks_are_json(page: Path) -> None:
    """A block that claims to be JSON is."""
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.text)
