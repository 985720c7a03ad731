"""A backup that is made while others write is of one moment."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from carboy.ops.backup import create_backup, restore_backup

from .sources import number, run
from .test_restore import drop, wait_for

ACCOUNTS, EACH = 50, 1000
SUM = "SELECT (SELECT SUM(amount) FROM ours) + (SELECT SUM(amount) FROM theirs)"
MOVES = "SELECT COUNT(*) FROM moves"


@contextmanager
def transfers(url: str) -> Iterator[list[int]]:
    """Two threads that move money from one table to the other, and note each move in a third."""
    made: list[int] = []
    done = threading.Event()
    faults: list[BaseException] = []

    def move(seed: int) -> None:
        chance = random.Random(seed)
        engine = sa.create_engine(url)
        begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "BEGIN"
        try:
            with engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                while not done.is_set():
                    amount, one, other = (chance.randint(1, ACCOUNTS) for _ in range(3))
                    for statement in (
                        begin,
                        f"UPDATE ours SET amount = amount - {amount} WHERE id = {one}",
                        f"UPDATE theirs SET amount = amount + {amount} WHERE id = {other}",
                        f"INSERT INTO moves (amount) VALUES ({amount})",
                        "COMMIT",
                    ):
                        connection.exec_driver_sql(statement)
                    made.append(amount)
        except BaseException as fault:  # noqa: BLE001  shown by the test
            faults.append(fault)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=move, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not faults, faults


@pytest.fixture
def bank(empty_url: str) -> str:
    """The URL of a database with two tables whose sum stays the same."""
    key = {
        "postgresql": "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "mariadb": "id int AUTO_INCREMENT PRIMARY KEY",
        "sqlite": "id INTEGER PRIMARY KEY AUTOINCREMENT",
    }[sa.make_url(empty_url).get_backend_name()]
    rows = ", ".join(f"({n}, {EACH})" for n in range(1, ACCOUNTS + 1))
    run(
        empty_url,
        *(f"CREATE TABLE {table} (id int PRIMARY KEY, amount int)" for table in ("ours", "theirs")),
        f"CREATE TABLE moves ({key}, amount int)",
        *(f"INSERT INTO {table} VALUES {rows}" for table in ("ours", "theirs")),
    )
    return empty_url


def test_a_backup_during_writes_is_of_one_moment(bank: str, place: str) -> None:
    """Its numbers are those of its dump, its sums are right, and writers go on meanwhile."""
    url = sa.make_url(bank)
    other = url.set(database=f"{url.database}_2")
    with transfers(bank) as made:
        wait_for(lambda: len(made) > 20)
        before = len(made)
        name = create_backup(url, place)
        after = len(made)
        assert after > before
    try:
        manifest = restore_backup(other, place, name)
        restored = other.render_as_string(hide_password=False)
        assert number(restored, SUM) == 2 * ACCOUNTS * EACH
        moves = number(restored, MOVES)
        # Each thread may have committed a move that it hasn't noted yet.
        assert before <= moves <= after + 2
        tables = manifest.contents.tables
        assert next(tables[table].rows for table in tables if "moves" in table) == moves
        # What was given away isn't given away again.
        run(restored, "INSERT INTO moves (amount) VALUES (0)")
    finally:
        drop(other)
