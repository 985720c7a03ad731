"""``carboy export`` as people run it."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.test_serve import COMMAND, carboy, environment

ROWS = 3000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a database of many rows, and a view that fails at the last."""
    with sqlite3.connect(tmp_path / "shop.sqlite") as connection:
        connection.executescript(
            "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, password TEXT);"
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"
            " INSERT INTO item SELECT i, 'item ' || i, 'secret' FROM n;"
            "CREATE VIEW failing AS SELECT id, name,"
            f" json(iif(id = {ROWS}, 'no JSON', '1')) AS bad FROM item;"
        )
    connection.close()
    return tmp_path


@pytest.mark.parametrize("ending", ["json", "ndjson", "csv"])
def test_a_files_ending_says_the_form(folder: Path, ending: str) -> None:
    """It has all rows, without hidden fields, and is its owner's alone."""
    done = carboy("export", "shop.sqlite", "item", f"items.{ending}", folder=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"Exported {ROWS} rows to items.{ending}.\n"
    file = folder / f"items.{ending}"
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert "secret" not in text
    if ending == "json":
        assert len(json.loads(text)) == ROWS
    else:
        assert text.count("\n") == ROWS + (ending == "csv")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["failing", "bad.csv"], "carboy: the database refused a statement"),
        (["nothing", "bad.csv"], "there is no resource 'nothing'; there are failing, item"),
        (["item", "bad.txt"], "bad.txt ends in none of .json, .ndjson, .jsonl, .csv; say --format"),
        (["item", "bad.csv", "--query", "nope=eq.1"], "'item' has no field 'nope'"),
        (["item", "bad.csv", "--query", "page=1"], "an export is of all rows, and takes no page"),
        (["item", "no/folder/bad.csv"], "can't be written"),
    ],
)
def test_what_fails_leaves_no_file(folder: Path, arguments: list[str], said: str) -> None:
    """It is one line and exit code 2, even where rows had been written."""
    done = carboy("export", "shop.sqlite", *arguments, folder=folder)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(f.name for f in folder.iterdir()) == ["shop.sqlite"]


def test_a_terminal_shows_a_bar(folder: Path) -> None:
    """With the rows that there will be, counted under the same filter."""
    ours, theirs = pty.openpty()
    command = [*COMMAND, "export", "shop.sqlite", "item", "items.csv", "--query", "id=gt.1000"]
    with subprocess.Popen(command, cwd=folder, env=environment(), stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                read = os.read(ours, 4096)
            except OSError:  # the terminal's other end is gone
                break
            if not read:
                break
            shown += read
        assert process.wait(60) == 0
    os.close(ours)
    assert b"Exporting" in shown
    assert b"100%" in shown
    assert b"Exported 2000 rows" in shown
