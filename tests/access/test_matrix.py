"""The access matrix: every actor, operation and leak path, on every database.

A route, operator, aggregate, parameter, preference or request header without an expectation
fails the build.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from tests.conftest import KINDS, empty_database

from .expected import FIELDS_EXPECTED, OPERATIONS_EXPECTED, ROWS_EXPECTED
from .leaks import FIELDS, ROWS, Ask, Subject, computed, leaks
from .matrix import ACTORS, BAD, OPERATIONS, TOLD, Vault, hidden_words, routes
from .vault import WORLDS, Which, fill

LEAKS: Mapping[str, tuple[Subject, Which, Mapping[str, Sequence[Ask]]]] = {
    "rows": (ROWS, "other", leaks(ROWS)),
    "fields": (FIELDS, "changed", leaks(FIELDS)),
}
# Refused on MariaDB, whoever asks.
LACKING = ("filter:cs", "filter:cd", "filter:ov")
EXPECTED = {"rows": ROWS_EXPECTED, "fields": FIELDS_EXPECTED}
# PostgreSQL is asked by all, the others by those from whom the most is hidden; SQLite has the two
# worlds besides.
ASKING = {"sqlite": ("other",), "postgresql": ACTORS, "mariadb": ("other", "limited")}
LEAK_PATHS = [(what, path) for what in LEAKS for path in LEAKS[what][2]]
on_every_database = pytest.mark.parametrize("vault", KINDS, indirect=True)


@pytest.fixture(scope="module")
def vault(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vault]:
    """The vault's worlds on each database."""
    folder = tmp_path_factory.mktemp("vault")
    with ExitStack() as stack:
        new = {w: empty_database(request, request.param, folder / w) for w in WORLDS}
        urls = {which: stack.enter_context(url) for which, url in new.items()}
        vault = Vault({which: sa.create_engine(url) for which, url in urls.items()})
        yield vault
        vault.close()


@on_every_database
def test_every_route_has_expectations(vault: Vault) -> None:
    """Whatever rule and method the application answers stands in the table of operations."""
    assert routes(vault.app) == {(rule, ask.method) for rule, ask in OPERATIONS.values()}
    assert OPERATIONS_EXPECTED.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("what", LEAKS)
def test_every_leak_path_has_expectations(what: str) -> None:
    """Whatever the grammar takes has requests here, and these stand in the tables."""
    found = LEAKS[what][2].keys()
    assert computed() - found == set()
    assert EXPECTED[what].keys() == found


@on_every_database
@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_answered_as_expected(vault: Vault, name: str, actor: str) -> None:
    """By its status, by what changes in the database, and without a hidden word."""
    _, ask = OPERATIONS[name]
    vault.enter("seen")
    before = vault.content()
    answers = vault.ask(actor, ask)
    changed = vault.content() != before
    if changed:
        fill(vault.engine, "seen")
    cell = f"{answers[0].status}{'+' if changed else ''}"
    assert cell == OPERATIONS_EXPECTED[name][actor], answers
    for of in (ROWS, FIELDS):
        assert actor in of.seers or not hidden_words(of, ask, answers)


@on_every_database
@pytest.mark.parametrize(("what", "path"), LEAK_PATHS)
def test_a_leak_path_tells_what_is_expected(vault: Vault, what: str, path: str) -> None:
    """Two worlds that differ in what is hidden answer the same, and without a hidden word."""
    kind = vault.engine.dialect.name
    refused = path in LACKING and kind == "mariadb"
    expected = EXPECTED[what][path]
    cells = {actor: leak_cell(vault, what, path, actor) for actor in ASKING[kind]}
    assert cells == {actor: "400=" if refused else expected[actor] for actor in cells}


def leak_cell(vault: Vault, what: str, path: str, actor: str) -> str:
    """What an actor is answered: all statuses, and whether both worlds' answers are the same."""
    of, other, asks = LEAKS[what]
    statuses: set[int] = set()
    same = True
    for ask in asks[path]:
        answers = vault.ask(actor, ask)
        statuses |= {answer.status for answer in answers}
        if same:  # one difference is enough for a "!"
            same = answers == vault.ask(actor, ask, other)
            assert same or EXPECTED[what][path][actor].endswith("!"), (actor, ask)
        assert actor in of.seers or not hidden_words(of, ask, answers), (actor, ask)
    return ",".join(map(str, sorted(statuses))) + ("=" if same else "!")


@pytest.mark.parametrize("what", LEAKS)
def test_nobody_is_expected_to_see_what_is_hidden(what: str) -> None:
    """No cell lets a difference pass to who may not read it, but for the paths in TOLD."""
    seers = LEAKS[what][0].seers
    for path, cells in EXPECTED[what].items():
        for actor, cell in cells.items():
            assert cell.endswith("=") or actor in seers or path in TOLD, (path, actor)


@on_every_database
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_credential_is_a_401_everywhere(vault: Vault, bad: str) -> None:
    """On every operation, and by the first request of every leak path; and it changes nothing."""
    vault.enter("seen")
    before = vault.content()
    asks = [ask for _, ask in OPERATIONS.values()]
    asks += [each[0] for each in LEAKS["rows"][2].values()]
    for ask in asks:
        answers = vault.ask(bad, ask)
        assert [answer.status for answer in answers] == [401], ask
        assert not any(hidden_words(of, ask, answers) for of in (ROWS, FIELDS))
    assert vault.content() == before
