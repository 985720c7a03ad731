"""Flask-Migrate beside Carboy: what it is kept from, and what is known of its migrations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask_migrate
import msgspec
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy_lite import SQLAlchemy as Lite
from sqlalchemy.orm import DeclarativeBase

from carboy import ANONYMOUS, OPEN, Carboy, UTCDateTime
from carboy.admin import Visit
from carboy.admin.health import Health
from carboy.extension import built_api
from carboy.ops.api_keys import create_key
from carboy.ops.migrate import (
    MigrationsError,
    MigrationState,
    changed_tables,
    find_migrations,
    migration_state,
)
from carboy.ops.own_tables import create_own_tables
from carboy.ops.search_index import create_search_index
from carboy.serve.checks import check_app
from carboy.settings import Settings

# Flask-Migrate's env.py looks for old versions of Flask-SQLAlchemy first.
pytestmark = pytest.mark.filterwarnings("ignore:'get_engine' is deprecated:DeprecationWarning")
SECRET = "9b1f0c7ad24e8853f6a0417be2cd96f3"
REVISION = "revision, down_revision = {!r}, {!r}\ndef upgrade(): pass\ndef downgrade(): pass\n"


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own; and env.py sets logging up, as commands want it."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    disabled = {name for name, at in _loggers() if at.disabled}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, at in _loggers():
        at.disabled = name in disabled


def _loggers() -> list[tuple[str, logging.Logger]]:
    found = logging.root.manager.loggerDict.items()
    return [(name, at) for name, at in found if isinstance(at, logging.Logger)]


class Diary:
    """An application with a table, Carboy and Flask-Migrate, in this order or the other."""

    def __init__(self, url: str, *, migrate_first: bool = True, **options: Any) -> None:
        class Base(DeclarativeBase):
            """The models of one test."""

        self.app = Flask("diary")
        self.app.config |= {"SQLALCHEMY_DATABASE_URI": url, "SECRET_KEY": SECRET}
        self.app.config["CARBOY_RATE_LIMIT"] = "600/minute"
        self.db = SQLAlchemy(self.app, model_class=Base)
        if migrate_first:
            flask_migrate.Migrate(self.app, self.db, **options)
        self.api = Carboy(self.app, self.db, policy=OPEN)
        if not migrate_first:
            flask_migrate.Migrate(self.app, self.db, **options)
        self.entries = sa.Table(
            "entries",
            Base.metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("text", sa.String(200), nullable=False),
            sa.Column("at", UTCDateTime),
        )
        self.api.resource(self.entries, name="entries", search=["text"])

    def migrate(self) -> None:
        """Make the first migration, and run it."""
        flask_migrate.init()
        flask_migrate.migrate(rev_id="one")
        flask_migrate.upgrade()

    def state(self) -> MigrationState:
        """Where the database is."""
        migrations = find_migrations(self.app.extensions)
        assert migrations is not None
        return migration_state(migrations)

    def changed(self) -> list[str]:
        """The tables that another migration would change."""
        migrations = find_migrations(self.app.extensions)
        assert migrations is not None
        return changed_tables(migrations)

    def findings(self) -> list[tuple[str, str]]:
        """What is found of migrations: names and fixes."""
        names = ("migrations", "unknown-migration", "models")
        return [(f.name, f.fix) for f in check_app(self.app) if f.name in names]


@pytest.fixture
def diary(database_url: str) -> Iterator[Callable[..., Diary]]:
    """Makes the application, and is in its context."""
    contexts = []

    def make(**options: Any) -> Diary:
        made = Diary(database_url, **options)
        contexts.append((made, made.app.app_context()))
        contexts[-1][1].push()
        return made

    yield make
    for made, context in contexts:
        made.db.session.remove()
        made.db.engine.dispose()
        context.pop()


def revise(name: str, after: str | None) -> Path:
    """Add an empty migration."""
    path = Path(f"migrations/versions/{name}.py")
    path.write_text(REVISION.format(name, after))
    return path


@pytest.mark.parametrize("migrate_first", [True, False])
def test_flask_migrate_leaves_what_carboy_has_made(
    diary: Callable[..., Diary], migrate_first: bool
) -> None:
    """Neither its tables nor its search indexes are proposed for dropping, in any order."""
    made = diary(migrate_first=migrate_first)
    made.migrate()
    create_key(made.db.engine, "reports")
    with made.db.engine.begin() as connection:
        create_own_tables(connection)
    if made.db.engine.dialect.name != "mariadb":  # which has none
        create_search_index(made.db.engine, made.api.schema.resources["entries"])
    assert "carboy_history" in sa.inspect(made.db.engine).get_table_names()
    assert made.changed() == []
    flask_migrate.migrate(rev_id="two")
    assert not list(Path("migrations/versions").glob("two*"))
    with made.db.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE own (id integer)"))
    assert made.changed() == ["own"]


def test_the_applications_own_filters_are_asked(diary: Callable[..., Diary]) -> None:
    """What it gave to Migrate holds for everything that isn't Carboy's."""
    asked: list[str | None] = []

    def include_name(name: str | None, type_: str, parents: object) -> bool:
        asked.append(name)
        return type_ != "table" or name == "entries"

    def render_item(type_: str, item: object, context: object) -> str | bool:
        return "sa.String(200)" if isinstance(item, sa.String) else False

    made = diary(include_name=include_name, render_item=render_item)
    with made.db.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE theirs (id integer)"))
        create_own_tables(connection)
    made.migrate()
    assert made.changed() == []
    assert "theirs" in asked
    assert "carboy_history" not in asked
    (written,) = Path("migrations/versions").glob("one*.py")
    assert "sa.String(200)" in written.read_text()


def test_a_migration_with_a_moment_can_be_run(diary: Callable[..., Diary]) -> None:
    """Carboy's column type comes with its import."""
    made = diary()
    made.migrate()
    (written,) = Path("migrations/versions").glob("one*.py")
    assert "import carboy\n" in written.read_text()
    assert "carboy.UTCDateTime()" in written.read_text()
    assert sa.inspect(made.db.engine).has_table("entries")


def test_the_state_says_what_the_database_has(diary: Callable[..., Diary]) -> None:
    """Where it is, where the folder is, and what lies between, the oldest first."""
    made = diary()
    assert find_migrations(made.app.extensions) is None
    assert made.findings() == []
    made.migrate()
    assert made.state() == MigrationState(("one",), ("one",))
    assert made.findings() == []
    revise("two", "one")
    last = revise("three", "two")
    assert made.state() == MigrationState(("one",), ("three",), pending=("two", "three"))
    assert made.findings() == [("migrations", "flask --app ... db upgrade")]
    flask_migrate.upgrade()
    last.unlink()
    assert made.state() == MigrationState(("three",), ("two",), unknown=("three",))
    assert [name for name, _ in made.findings()] == ["unknown-migration"]
    revise("bad", "nowhere")
    with pytest.raises(MigrationsError, match="migrations can't be read: "):
        made.state()


def test_models_that_only_env_py_knows_are_not_compared(database_url: str) -> None:
    """Flask-SQLAlchemy-Lite has no metadata; which migrations wait is known all the same."""
    app = Flask("lite")
    app.config["SQLALCHEMY_ENGINES"] = {"default": database_url}
    db = Lite(app)
    flask_migrate.Migrate(app, db)
    Carboy(app, db)
    with app.app_context():
        flask_migrate.init()
        migrations = find_migrations(app.extensions)
        assert migrations is not None
        assert migration_state(migrations) == MigrationState((), ())
        assert changed_tables(migrations) == []
        revise("one", None)
        migrations = find_migrations(app.extensions)
        assert migrations is not None
        assert migration_state(migrations).pending == ("one",)
        db.engine.dispose()


def test_branches_wait_together(diary: Callable[..., Diary]) -> None:
    """Two heads are both the newest."""
    made = diary()
    made.migrate()
    revise("left", "one")
    revise("right", "one")
    state = made.state()
    assert (set(state.heads), set(state.pending)) == ({"left", "right"}, {"left", "right"})
    flask_migrate.upgrade(revision="left")
    assert made.state().pending == ("right",)


def test_models_that_are_ahead_of_the_database_are_found(diary: Callable[..., Diary]) -> None:
    """A change without a migration is a warning, and one that waits is what to mend first."""
    made = diary()
    made.migrate()
    made.entries.append_column(sa.Column("mood", sa.String(20)))
    assert made.changed() == ["entries"]
    ((name, fix),) = made.findings()
    assert name == "models"
    assert "flask db migrate" in fix
    revise("two", "one")
    assert [name for name, _ in made.findings()] == ["migrations"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_role_that_may_create_nothing_uses_the_tables(diary: Callable[..., Diary]) -> None:
    """Made once by their owner, in a migration, they are there for everybody with the rights."""
    made = diary()
    made.migrate()
    engine = made.db.engine
    with engine.begin() as connection:
        create_own_tables(connection)
        create_own_tables(connection)
        owner = connection.scalar(sa.text("SELECT current_user"))
        connection.execute(sa.text("CREATE ROLE clerk_of_diary LOGIN PASSWORD 'clerk'"))
        everything = "ALL TABLES IN SCHEMA public TO clerk_of_diary"
        connection.execute(sa.text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {everything}"))
        every = "ALL SEQUENCES IN SCHEMA public TO clerk_of_diary"
        connection.execute(sa.text(f"GRANT USAGE ON {every}"))
    assert owner
    clerk = sa.create_engine(engine.url.set(username="clerk_of_diary", password="clerk"))
    api = Carboy(app := Flask("clerk"), clerk, policy=OPEN)
    api.resource(made.entries, name="entries", history=True)
    try:
        row = {"text": "first"}
        client = app.test_client()
        answer = client.post("/api/entries", json=row, headers={"Idempotency-Key": "a"})
        assert answer.status_code == 201, answer.json
        history = client.get("/api/entries/1/history").get_json()
        assert len(history["data"]) == 1
    finally:
        clerk.dispose()
        with engine.begin() as connection:
            connection.execute(sa.text("DROP OWNED BY clerk_of_diary"))
            connection.execute(sa.text("DROP ROLE clerk_of_diary"))


def test_health_says_whether_migrations_wait(diary: Callable[..., Diary]) -> None:
    """How many, and none of their names; a folder that can't be read is no fault of a database."""
    made = diary()
    assert told(made) is None
    made.migrate()
    assert told(made) == {"state": "current", "pending": 0}
    revise("two", "one")
    last = revise("three", "two")
    assert told(made) == {"state": "pending", "pending": 2}
    flask_migrate.upgrade()
    last.unlink()
    assert told(made) == {"state": "unknown", "pending": 0}
    revise("bad", "nowhere")
    assert told(made) is None


def told(made: Diary) -> Any:
    """What a process that starts now says of migrations; the folder is read once."""
    health = Health(Settings(health_timeout_ms=30_000))
    answer = health.database(Visit(ANONYMOUS, {}, lambda: built_api(made.app)))
    assert answer.status == 200
    return msgspec.json.decode(answer.body)["migrations"]
