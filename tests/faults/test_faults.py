"""The short form of ``make faults``, and whether it notices what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from .app import Account, Base, Note, Transfer
from .jobs import Jobs, wrong_effects
from .ledger import wrong_rows
from .load import Answer, Kind, Write
from .report import BEGIN, END, publish, published, rows
from .runner import Fault, Outcome, run, wrong_answers, wrong_jobs
from .site import Site, on_postgresql
from .soak import Quantity, grows
from .table import FAULTS

QUICK_SECONDS = 3


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Where all faults of the short form happen, one after the other."""
    with on_postgresql() as built:
        yield built


@pytest.mark.parametrize(
    "fault", [pytest.param(each, id=each.name) for each in FAULTS if each.quick]
)
def test_a_fault_costs_no_acknowledged_write(fault: Fault, site: Site) -> None:
    """Under load: right answers, success soon after, every write there once, nothing leaked."""
    outcome = run(fault, site, f"quick-{FAULTS.index(fault)}", min(QUICK_SECONDS, fault.seconds))
    assert outcome.missed == []
    assert outcome.found == outcome.acknowledged > 0


# --- whether it would notice ---


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    """A database with two accounts, a note, and a transfer of 5."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        balances = [{"owner": "a", "balance": -5}, {"owner": "b", "balance": 5}]
        connection.execute(sa.insert(Account), balances)
        connection.execute(sa.insert(Note).values(ref="n", text="old"))
        moved = sa.insert(Transfer).values(ref="t", source_id=1, target_id=2, amount=5)
        connection.execute(moved)
    yield engine
    engine.dispose()


NOTE = Write("notes", "n", 1, "old", acknowledged=True)
TRANSFER = Write("transfers", "t", 1, None, acknowledged=True)
CHANGE = NOTE._replace(text="new")


@pytest.mark.parametrize(
    ("statement", "writes", "wrong"),
    [
        ("SELECT 1", [NOTE, TRANSFER], []),
        ("DELETE FROM notes", [NOTE], ["n"]),
        ("DELETE FROM notes", [NOTE._replace(acknowledged=False)], []),
        ("DELETE FROM transfers", [TRANSFER], ["t", "account 1", "account 2"]),
        ("INSERT INTO notes (ref, text) VALUES ('n', 'old')", [NOTE], ["n"]),
        ("UPDATE accounts SET balance = 10 WHERE id = 2", [TRANSFER], ["account 2"]),
        ("SELECT 1", [NOTE, CHANGE], ["n"]),
        ("SELECT 1", [NOTE, CHANGE._replace(acknowledged=False)], []),
        ("UPDATE notes SET text = 'new'", [NOTE, CHANGE], []),
        ("SELECT 1", [NOTE, NOTE._replace(rows=0, text=None)], ["n"]),
    ],
)
def test_rows_that_differ_from_the_log_are_found(
    engine: sa.Engine, statement: str, writes: list[Write], wrong: list[str]
) -> None:
    """What is lost, done twice or not as acknowledged is named; what has no answer may be both."""
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    assert list(wrong_rows(engine, writes)) == wrong


def answer(kind: Kind, status: int, begun: float = 11, ended: float = 12, **headers: str) -> Answer:
    """An answer, by default from the time of a fault between 10 and 20."""
    said = headers.pop("said", "")
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(kind, begun, ended, status, headers, said.encode(), "GET /")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (answer("read", 200), None),
        (answer("write", 503, retry_after="1"), None),
        (answer("write", 503), "without Retry-After"),
        (answer("write", 504, retry_after="1"), "write: 504"),
        (answer("read", 503, retry_after="1"), "read: 503"),
        (answer("write", 500), "write: 500"),
        (answer("write", 409, said='{"type": "urn:carboy:error:in-flight"}'), None),
        (answer("write", 409, said='{"type": "urn:carboy:error:conflict"}'), "write: 409"),
        (answer("write", 0), "write: 0"),
        (answer("write", 503, 1, 2, retry_after="1"), "write: 503 after it had ended"),
        (answer("write", 503, 26, 27, retry_after="1"), "write: 503 after it had ended"),
        (answer("read", 200, 10, 40), "after 30.0 s"),
    ],
)
def test_wrong_answers_are_found(given: Answer, wrong: str | None) -> None:
    """A status, its time, and Retry-After must be right for reads and writes each."""
    fault = Fault("writes refused", on_postgresql, lambda _: None, 0, writes=frozenset({503}))  # type: ignore[arg-type,return-value]
    found = wrong_answers(fault, [given], 10, 20)
    assert len(found) == (wrong is not None)
    assert (wrong or "") in "".join(found)


@pytest.mark.parametrize(
    ("orders", "delivered", "charged", "wrong"),
    [
        ("ab", "ab", "ba", ""),
        ("ab", "a", "ab", "b"),
        ("ab", "abb", "ab", "b"),
        ("ab", "ab", "aab", "a"),
        ("a", "ab", "ab", "b"),
    ],
)
def test_effects_that_differ_from_the_orders_are_found(
    orders: str, delivered: str, charged: str, wrong: str
) -> None:
    """An order that is delivered or paid never, twice, or without being stored is named."""
    found = wrong_effects(Counter(orders), Counter(delivered), Counter(charged))
    assert "".join(found) == wrong


@pytest.mark.parametrize(
    ("jobs", "wrong"),
    [
        (Jobs(3, 3, 0.5, 2.0, []), 0),
        (Jobs(3, 3, 5.5, 6.0, []), 1),
        (Jobs(3, 0, None, None, ["3 jobs are queued"]), 2),
        (Jobs(0, 0, 0.5, 2.0, []), 1),
    ],
)
def test_jobs_that_come_late_or_never_are_found(jobs: Jobs, wrong: int) -> None:
    """The first within its time, all in the end; and there were some."""
    assert len(wrong_jobs(FAULTS[0], jobs)) == wrong


@pytest.mark.parametrize(("last", "grown"), [(100, False), (104, False), (107, True)])
def test_growth_is_found(last: float, grown: bool) -> None:
    """A slope of more than a twentieth of the mean is growth."""
    values = tuple(100 + (last - 100) * part / 10 for part in range(11))
    assert grows(Quantity("memory", tuple(map(float, range(11))), values)) is grown


def test_the_table_has_the_runs_of_each_fault(tmp_path: Path) -> None:
    """A new row takes the old one's place; the others and the text around stay."""
    page = tmp_path / "page.md"
    head = "| Fault | Answered |\n| --- | --- |"
    page.write_text(
        f"before\n{BEGIN.format('faults', 'faults')}\n{head}\n| one | 1 |\n| two | 2 |\n"
        f"{END.format('faults')}\nafter\n"
    )
    good = Outcome(10, Counter({503: 2, 0: 1}), 0.25, 7, 7)
    bad = Outcome(12, Counter(), None, 9, 8, ["lost"])
    publish(rows({"two": [good, bad]}), ["two", "one"], page)
    assert list(published(page)) == ["two", "one"]
    text = page.read_text()
    assert (
        "| two | 10 / 12 | 1 × broken 2 × 503 / 0 | 0.2 / never | 7 of 7 / 8 of 9 | - | - | 0 / 1 |"
        in text
    )
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")


def test_the_page_has_every_fault() -> None:
    """The table of the docs has a row for each fault, and no other."""
    assert list(published()) == [fault.name for fault in FAULTS]
