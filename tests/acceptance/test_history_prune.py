"""``carboy history prune`` as people run it, and the path that ``carboy routes`` lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from carboy.ops.history import create_history_table, prune_history
from carboy.sql import HISTORY
from tests import commands

ROOT = Path(__file__).parents[2]
APP = """
import os, flask, sqlalchemy as sa
from carboy import OPEN, Carboy

app = flask.Flask("app")
app.config["CARBOY_HISTORY_DAYS"] = os.environ.get("KEEP")
engine = sa.create_engine(os.environ["APP_DATABASE"])
tags = sa.Table("tags", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
Carboy(app, engine, policy=OPEN).resource(tags, history=True)
"""


@pytest.fixture
def database(database_url: str) -> Iterator[sa.Engine]:
    """A database with a table, and entries that are 1, 10 and 100 days old."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE tags (id INTEGER PRIMARY KEY)"))
        fill(connection, (1, 10, 100))
    yield engine
    engine.dispose()


def fill(connection: sa.Connection, ages: tuple[int, ...]) -> None:
    """An entry of each age, in days."""
    create_history_table(connection)
    now = datetime.now(UTC)
    entry = {"resource": "tags", "key": "1", "action": "update", "changes": "{}"}
    rows = [{**entry, "at": now - timedelta(days=days)} for days in ages]
    connection.execute(sa.insert(HISTORY), rows)


def left(engine: sa.Engine) -> int:
    """How many entries there are."""
    with engine.connect() as connection:
        return int(connection.scalar(sa.text("SELECT count(*) FROM carboy_history")))


def carboy(*arguments: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Run a command to its end: its exit code and what it said."""
    done = commands.run(
        ["carboy", *arguments],
        folder=folder,
        environment={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
    )
    return done.returncode, done.stdout + done.stderr


def url_of(engine: sa.Engine) -> str:
    """Its URL, password included."""
    return engine.url.render_as_string(hide_password=False)


def test_a_database_is_pruned(database: sa.Engine, tmp_path: Path) -> None:
    """--days says how many are kept, or the setting; without either nothing is deleted."""
    target = url_of(database)
    code, said = carboy("history", "prune", target, folder=tmp_path)
    assert (code, left(database)) == (0, 3)
    assert said.startswith("Deleted nothing: CARBOY_HISTORY_DAYS is 0")
    said = carboy("history", "prune", target, "--days", "30", folder=tmp_path)[1]
    assert (said, left(database)) == ("Deleted 1 entry older than 30 days.\n", 2)
    said = carboy("history", "prune", target, folder=tmp_path, CARBOY_HISTORY_DAYS="1")[1]
    assert (said, left(database)) == ("Deleted 2 entries older than 1 day.\n", 0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_application_is_pruned_by_its_setting(database: sa.Engine, tmp_path: Path) -> None:
    """The database and CARBOY_HISTORY_DAYS are the application's own."""
    (tmp_path / "shop.py").write_text(APP)
    said = carboy(
        "history",
        "prune",
        "shop:app",
        folder=tmp_path,
        APP_DATABASE=url_of(database),
        KEEP="5",
    )
    assert (said, left(database)) == ((0, "Deleted 2 entries older than 5 days.\n"), 1)


def test_many_entries_are_pruned_in_parts(database: sa.Engine) -> None:
    """More than one transaction deletes are deleted all the same, whatever the number of days."""
    with database.begin() as connection:
        fill(connection, (50,) * 10_001)
    assert prune_history(database, 0) == 0
    assert prune_history(database, 10**9) == 0
    assert prune_history(database, 40) == 10_002
    assert left(database) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--days", "0", "x.sqlite"), "0 is not in the range"),
        (("nothing.sqlite",), "there is no file"),
        (("json:dumps",), "json:dumps has no Carboy"),
        (("--days", "1", "postgresql://me:secret@127.0.0.1:1/x"), "127.0.0.1:1/x"),
    ],
)
def test_a_wrong_target_is_one_clear_message(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2, no traceback and no password."""
    code, said = carboy("history", "prune", *arguments, folder=tmp_path)
    assert code == 2
    assert message in said
    assert "Traceback" not in said
    assert "secret" not in said


def test_a_database_without_histories_has_nothing_to_prune(tmp_path: Path) -> None:
    """The table isn't made for it."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE tags (id INTEGER PRIMARY KEY)"))
    said = carboy("history", "prune", "x.sqlite", "--days", "1", folder=tmp_path)
    assert said == (0, "Deleted 0 entries older than 1 day.\n")
    assert sa.inspect(engine).get_table_names() == ["tags"]
    engine.dispose()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_routes_list_a_history(database: sa.Engine, tmp_path: Path) -> None:
    """Beside the item's path."""
    (tmp_path / "shop.py").write_text(APP)
    said = carboy("routes", "shop:app", folder=tmp_path, APP_DATABASE=url_of(database))[1]
    assert [line.split()[-1] for line in said.splitlines()] == [
        "/api",
        "/api/tags",
        "/api/tags/<id>",
        "/api/tags/<id>/history",
    ]
