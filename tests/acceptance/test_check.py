"""``carboy check`` as people run it, on a bad application, a good one, and a database."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.acceptance.test_serve import carboy

MODELS = """
import os
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from carboy import OPEN, Carboy, role, Policy
from carboy.ops.search_index import create_search_index

class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))
    password_hash: Mapped[str] = mapped_column(sa.String(80))
    posts: Mapped[list["Post"]] = relationship(back_populates="author")

class Post(Base):
    __tablename__ = "posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(50))
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"), index=INDEX)
    author: Mapped[User] = relationship(back_populates="posts")

app = Flask(__name__)
engine = sa.create_engine(os.environ["DATABASE_URL"])
Base.metadata.create_all(engine)
"""
BAD = f"""
INDEX = False
{MODELS}
app.config.update(SECRET_KEY="dev", DEBUG=True, CARBOY_CORS_ORIGINS="*")
api = Carboy(app, engine, policy=OPEN)
api.resource(User, show=["password_hash"])
api.resource(Post, search=["title"])
"""
GOOD = f"""
INDEX = True
{MODELS}
app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]
api = Carboy(app, engine)
api.resource(User, hidden=["password_hash"])
api.resource(Post, search=["title"], policy=Policy(read=True, fields={{"author_id": role("x")}}))
with app.app_context():
    create_search_index(engine, api.schema.resources["posts"])
"""


# MariaDB has no search indexes, and indexes foreign keys by itself: tests/integration/test_check.py
# asks it what it can be asked.
with_indexes = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def folder(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both applications, and what differs from machine to machine in ``.env``."""
    for name in [n for n in os.environ if n.startswith(("CARBOY_", "FLASK_", "SECRET_KEY"))]:
        monkeypatch.delenv(name)
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / ".env").write_text(
        f"DATABASE_URL='{database_url}'\nSECRET_KEY=0f9d2c7b4e6a81350f9d2c7b4e6a8135\n"
    )
    return tmp_path


@with_indexes
def test_a_bad_application_is_told_what_is_wrong(folder: Path) -> None:
    """With a fix for each, errors first, and exit code 1."""
    ended = carboy("check", "bad:app", "--threads", "32", folder=folder)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith("error: debug\n  DEBUG is on")
    assert ended.stdout.endswith("\n5 errors, 7 warnings\n")
    assert ended.stdout.count("\n  Fix: ") == 12
    listed = carboy("check", "bad:app", "--threads", "32", "--json", folder=folder)
    assert listed.returncode == 1
    findings = json.loads(listed.stdout)["findings"]
    assert [(finding["level"], finding["name"]) for finding in findings] == [
        ("error", "debug"),
        ("error", "secret-key"),
        ("error", "open-writes"),
        ("error", "open-writes"),
        ("error", "secret-fields"),
        ("warning", "cors-any"),
        ("warning", "rate-limit"),
        ("warning", "pool"),
        ("warning", "open-creates"),
        ("warning", "open-reads"),
        ("warning", "search-index"),
        ("warning", "relation-index"),
    ]
    assert set(findings[0]) == {"name", "level", "detail", "fix"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_good_application_is_told_so(folder: Path) -> None:
    """Warnings alone leave the exit code at 0; settings in ``.env`` and a backup end them."""
    ended = carboy("check", "good:app", folder=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("warning: rate-limit\n")
    assert ended.stdout.endswith("\n0 errors, 2 warnings\n")
    with (folder / ".env").open("a") as file:
        file.write("CARBOY_RATE_LIMIT=600/minute\nCARBOY_BACKUP_URL=backups\n")
    assert carboy("backup", "good:app", folder=folder).returncode == 0
    ended = carboy("check", "good:app", folder=folder)
    assert (ended.returncode, ended.stdout) == (0, "0 errors, 0 warnings\n")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_is_checked_as_it_would_be_served(folder: Path, database_url: str) -> None:
    """DATABASE_URL comes from ``.env``, too; the pool is as large as the threads are many."""
    assert carboy("check", "good:app", folder=folder).returncode == 0
    ended = carboy("check", "--writable", "--threads", "20", "--json", folder=folder)
    names = [finding["name"] for finding in json.loads(ended.stdout)["findings"]]
    assert names.count("open-writes") == 2
    assert "secret-key" not in names
    assert "pool" not in names
    assert ended.returncode == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("missing:app", "'missing' can't be imported"),
        ("bare:app", "bare:app has no Carboy"),
        ("mistyped:app", "CARBOY_MAX_ROW, in app.config, is no setting; did you mean"),
    ],
)
def test_what_cant_be_checked_ends_with_exit_code_2(
    target: str, message: str, tmp_path: Path
) -> None:
    """As all commands do, in one line."""
    (tmp_path / "bare.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    (tmp_path / "mistyped.py").write_text(
        "import sqlalchemy as sa\nfrom carboy import Carboy\nfrom flask import Flask\n"
        "app = Flask(__name__)\napp.config['CARBOY_MAX_ROW'] = 5\n"
        "Carboy(app, sa.create_engine('sqlite://'))\n"
    )
    ended = carboy("check", target, folder=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_dotenv_that_cant_be_read_ends_with_exit_code_2(tmp_path: Path) -> None:
    """Such as one in UTF-16."""
    (tmp_path / ".env").write_bytes("A=1".encode("utf-16"))
    ended = carboy("check", "any:app", folder=tmp_path)
    assert ended.returncode == 2
    assert ".env can't be read" in ended.stderr
