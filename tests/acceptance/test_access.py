"""``carboy can`` and ``carboy access`` as people run them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.test_serve import carboy

APP = """\
import sqlalchemy as sa
from carboy import Carboy, Policy, role
from flask import Flask
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Post(Base):
    __tablename__ = "posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int]
    api_token: Mapped[str | None]
    note: Mapped[str | None]


def is_author(who):
    return Post.author_id == who.id


app = Flask(__name__)
policy = Policy(
    read=True,
    update=is_author,
    delete=lambda who: who.has("editor") or is_author(who),
    fields={"note": role("editor")},
)
Carboy(app, sa.create_engine("sqlite:///blog.sqlite")).resource(Post, policy=policy)
bare = Flask("bare")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an application, and its database with a post of author 1."""
    (tmp_path / "app.py").write_text(APP)
    with sqlite3.connect(tmp_path / "blog.sqlite") as connection:
        connection.executescript(
            "CREATE TABLE posts (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL,"
            " api_token TEXT, note TEXT);"
            "INSERT INTO posts VALUES (7, 1, NULL, NULL);"
        )
    connection.close()
    return tmp_path


def test_can_says_yes_or_no_and_why(folder: Path) -> None:
    """The exit code is the answer; the rule has its place, the condition its values."""
    yes = carboy("can", "app:app", "1", "update", "posts/7", folder=folder)
    assert (yes.returncode, yes.stdout) == (
        0,
        "yes: 1 may update posts/7\n"
        "  update rule:  is_author (app.py:19)\n"
        "  condition:    posts.author_id = 1\n"
        "  row:          it fulfils the condition\n",
    )
    no = carboy("can", "app:app", "2", "delete", "posts/7", folder=folder)
    assert no.returncode == 1
    assert 'lambda who: who.has("editor") or is_author(who) (app.py:27)' in no.stdout
    assert "row:          it doesn't fulfil the condition" in no.stdout
    editor = carboy("can", "app:app", "2:editor,x", "delete", "posts/7", "--json", folder=folder)
    assert editor.returncode == 0
    answer = json.loads(editor.stdout)
    assert (answer["allowed"], answer["actor"], answer["row"]) == (
        True,
        "2:editor,x",
        "it is there",
    )


def test_access_lists_everything(folder: Path) -> None:
    """A table for people, aligned, and the same as JSON."""
    shown = carboy("access", "app:app", folder=folder).stdout.splitlines()
    assert shown[0] == "posts"
    assert shown[1].split() == (
        ["anonymous", "signed", "in", "role", "admin", "role", "editor", "role", "writer", "rule"]
    )
    lines = {" ".join(line[:17].split()): line for line in shown}
    assert lines["read"].split()[1:] == ["yes"] * 5 + ["everybody"]
    assert "some rows [2]" in lines["update"]
    assert lines["read note"].split()[-7:] == ["no", "no", "no", "yes", "no", "role", "editor"]
    assert "hidden: it looks like a secret" in lines["read api_token"]
    assert "  [2] posts.author_id = :id" in shown
    found = json.loads(carboy("access", "app:app", "--json", folder=folder).stdout)
    update = found["resources"][0]["lines"][2]
    assert update["verdicts"][1] == {"allowed": "some rows", "condition": "posts.author_id = :id"}


def test_a_databases_rules_are_those_of_the_address(folder: Path) -> None:
    """Open on loopback; on another address closed, or public."""
    ask = ("can", "blog.sqlite", "anonymous", "read", "posts/7")
    there = ("--host", "0.0.0.0")  # noqa: S104  this is the case
    assert carboy(*ask, folder=folder).returncode == 0
    assert carboy(*ask, *there, folder=folder).returncode == 1
    assert carboy(*ask, *there, "--public", folder=folder).returncode == 0
    write = ("can", "blog.sqlite", "1", "update", "posts/7")
    assert "the resource is read-only" in carboy(*write, folder=folder).stdout
    assert carboy(*write, *there, "--writable", folder=folder).returncode == 1
    assert carboy(*write, "--writable", folder=folder).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("app:app", "1", "read", "nope"), "there is no resource 'nope'; there is posts"),
        (("app:app", "1", "read", "posts/x"), "'posts' has no row 'x'"),
        (("app:app", ":editor", "read", "posts"), "is no actor such as anonymous"),
        (("app:app", "1", "look", "posts"), "'look' is not one of"),
        (("app:bare", "1", "read", "posts"), "app:bare has no Carboy"),
        (("missing.db", "1", "read", "posts"), "there is no file missing.db"),
    ],
)
def test_what_cant_be_asked_is_one_line_and_exit_code_2(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    """A faulty question is neither a yes nor a no."""
    ended = carboy("can", *arguments, folder=folder)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
