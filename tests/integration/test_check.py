"""``carboy check``: a good application has no findings, and each fault is found by its name."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa

from carboy import OPEN, Actor, Carboy, Policy, role
from carboy.execute.tables import create_table
from carboy.jobs import TABLE as JOBS
from carboy.jobs import now
from carboy.ops.api_keys import create_key
from carboy.ops.backup import database_name
from carboy.ops.backup.manifest import Contents, Manifest, Verified, seal
from carboy.ops.check import CHECKS, DATABASE_CHECKS, REACHABLE, Finding
from carboy.ops.search_index import create_search_index, drop_search_index
from carboy.serve.checks import check_app

SECRET = "9b1f0c7ad24e8853f6a0417be2cd96f3"
OTHER = "e4d7216fa95c3b08d1fa7760ce82b95f"
METADATA = sa.MetaData()
AUTHORS = sa.Table(
    "authors",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(50)),
    sa.Column("password_hash", sa.String(80)),
)
BOOKS = sa.Table(
    "books",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("title", sa.String(100)),
    sa.Column("author_id", sa.ForeignKey("authors.id"), index=True),
)
TAGS = sa.Table("tags", METADATA, sa.Column("id", sa.Integer, primary_key=True))
BOOK_TAGS = sa.Table(
    "book_tags",
    METADATA,
    sa.Column("book_id", sa.ForeignKey("books.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True, index=True),
)
GOOD: Mapping[str, Any] = {
    "SECRET_KEY": SECRET,
    "CARBOY_RATE_LIMIT": "600/minute",
    "CARBOY_BACKUP_URL": "backups",
}
DROP_INDEX = sa.text("DROP INDEX ix_books_author_id")


class Shop:
    """An application in which nothing is wrong, until a test changes something."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.config = dict(GOOD)
        self.books: dict[str, Any] = {}
        self.authors: dict[str, Any] = {"hidden": ["password_hash"]}
        self.login: Callable[[], Actor | None] | None = None
        self.workers = 1
        self.threads = 8
        self.configured = True
        self.read_only = False

    def findings(self) -> list[Finding]:
        """What the check says."""
        app = flask.Flask("shop")
        app.config |= self.config
        api = Carboy(app, self.engine, actor=self.login)
        api.resource(AUTHORS, read_only=self.read_only, **self.authors)
        books = {"search": ["title"], **self.books}
        api.resource(BOOKS, read_only=self.read_only, **books)
        api.resource(TAGS, read_only=self.read_only)
        return check_app(
            app, workers=self.workers, threads=self.threads, configured=self.configured
        )

    def search_index(self, change: Callable[..., object]) -> None:
        """Create or drop the index of books' titles."""
        api = Carboy(app := flask.Flask("index"), self.engine)
        api.resource(BOOKS, search=["title"])
        with app.app_context():
            change(self.engine, api.schema.resources["books"])

    def backed_up(self, ago: dt.timedelta) -> None:
        """Have a verified backup in the folder ``backups``, as far as a listing shows one."""
        name = database_name(self.engine.url)
        at = dt.datetime.now(dt.UTC) - ago
        manifest = seal(
            Manifest(
                name=f"{name}-{at:%Y%m%dT%H%M%SZ}-0a1b2c",
                kind=self.engine.dialect.name,
                database=name,
                at=at,
                carboy="1",
                server="1",
                program="1",
                options={},
                contents=Contents(tables={}, schema={}),
                files={},
            )
        )
        verified = Verified(hashlib.sha256(manifest).hexdigest(), at)
        folder = Path("backups") / f"{name}-{at:%Y%m%dT%H%M%SZ}-0a1b2c"
        shutil.rmtree("backups", ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_bytes(manifest)
        (folder / "verified.json").write_bytes(seal(verified))

    def run(self, *statements: sa.Executable) -> None:
        """Change the database."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture
def shop(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shop]:
    """One with a database of its own, in a folder and an environment without settings."""
    for name in [name for name in os.environ if name.startswith(("CARBOY_", "FLASK_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    engine = sa.create_engine(database_url)
    METADATA.create_all(engine)
    made = Shop(engine)
    if has_search_indexes(engine):
        made.search_index(create_search_index)
    made.backed_up(dt.timedelta())
    yield made
    made.engine.dispose()
    engine.dispose()


def has_search_indexes(engine: sa.Engine) -> bool:
    """MariaDB has none."""
    return engine.dialect.name != "mariadb"


def test_a_good_application_has_no_findings(shop: Shop) -> None:
    """Also not with workers, where the database takes writes of several processes."""
    if shop.engine.dialect.name == "postgresql":
        shop.workers = 3
        shop.config["CARBOY_RATE_LIMIT_STORAGE"] = "redis://127.0.0.1:1"
    assert shop.findings() == []


def config(**values: Any) -> Callable[[Shop], None]:
    """A change of Flask's config."""
    return lambda shop: shop.config.update(values)


def books(**options: Any) -> Callable[[Shop], None]:
    """A change of a resource's options."""
    return lambda shop: shop.books.update(options)


def rule(answer: Callable[[Actor], Any], **more: Any) -> Callable[[Shop], None]:
    """A rule for updates."""
    return books(policy=Policy(update=answer, **more))


def served(**options: Any) -> Callable[[Shop], None]:
    """Other options of the command, or another login."""

    def change(shop: Shop) -> None:
        for name, value in options.items():
            setattr(shop, name, value)

    return change


def no_login() -> None:
    """Nobody is logged in."""


def fails(who: Actor) -> bool:
    """A rule that can't judge text."""
    return int(who.id) > 1


def breaks_for_x(who: Actor) -> bool:
    """A rule that only somebody with the role gets far into."""
    flags: dict[str, bool] = {}
    return who.has("x") and flags["missing"]


def small_pool(shop: Shop) -> None:
    """Fewer connections than threads."""
    shop.engine = sa.create_engine(shop.engine.url, pool_size=1, max_overflow=1)


def with_job(state: str, minutes: int | None) -> Callable[[Shop], None]:
    """A job in the table, due so many minutes ago, and one that has just become due."""

    def change(shop: Shop) -> None:
        create_table(shop.engine, JOBS)
        row = {"name": "x", "arguments": "{}", "attempts": 1, "max_attempts": 1}
        row |= {"cancelling": False, "created_at": 0}
        due = None if minutes is None else now() - minutes * 60_000
        rows = [
            row | {"id": "a", "state": state, "due_at": due},
            row | {"id": "b", "state": "queued", "due_at": now()},
        ]
        shop.run(sa.insert(JOBS).values(rows))

    return change


FAULTS: list[tuple[str, str, Callable[[Shop], None]]] = [
    ("debug", "DEBUG is on", config(DEBUG=True)),
    ("debug", "TESTING is on", config(TESTING=True)),
    ("profile", "for testing", config(CARBOY_PROFILE="testing")),
    ("secret-key", "is missing", config(SECRET_KEY=None)),
    ("secret-key", "shorter than 16", config(SECRET_KEY=SECRET[:15])),
    ("secret-key", "found in examples", config(SECRET_KEY="your_secret_key_here")),
    ("secret-key", "found in examples", config(SECRET_KEY=b'_5#y2L"F4Q8z\n\xec]/')),
    ("secret-key", "different characters", config(SECRET_KEY="abcabc" * 6)),
    (
        "jwt-secret",
        "found in examples",
        config(CARBOY_JWT_SECRET="a-string-secret-at-least-256-bits-long"),
    ),
    ("jwt-secret", "is SECRET_KEY", config(CARBOY_JWT_SECRET=SECRET)),
    ("jwt-secret", "different characters", config(CARBOY_JWT_SECRET="x" * 40)),
    ("cors-any", "every origin", config(CARBOY_CORS_ORIGINS="*")),
    ("http-origin", "CORS_ORIGINS has http://a.b", config(CARBOY_CORS_ORIGINS="http://a.b")),
    ("http-origin", "TRUSTED_ORIGINS has", config(CARBOY_TRUSTED_ORIGINS="http://a.b")),
    ("cookie-secure", "SESSION_COOKIE_SECURE is off", served(login=no_login)),
    ("rate-limit", "any number of requests", config(CARBOY_RATE_LIMIT=" ")),
    ("open-metrics", "CARBOY_METRICS is open", config(CARBOY_METRICS="open")),
    ("server-timing", "how long each stage", config(CARBOY_SERVER_TIMING="1")),
    ("rate-limit-memory", "up to 4 times", served(workers=4)),
    ("backup", "CARBOY_BACKUP_URL is empty", config(CARBOY_BACKUP_URL="")),
    ("backup", "there is no verified backup of", config(CARBOY_BACKUP_URL="others")),
    ("backup", "the newest verified", lambda shop: shop.backed_up(dt.timedelta(days=2))),
    ("backup", "can't be looked for", config(CARBOY_BACKUP_URL="nowhere://me:secret@there")),
    ("jobs-broker", "can't be reached", config(CARBOY_JOBS_BROKER="redis://127.0.0.1:1/0")),
    ("jobs-waiting", "1 job has been due for more than 5 minutes", with_job("queued", 6)),
    ("jobs-dead", "1 job is dead", with_job("dead", None)),
    ("pool", "has 2 connections for 8 threads", small_pool),
    ("pool", "15 connections for 16 threads", served(threads=16)),
    ("policy-raises", "its rule for update raises TypeError for nobody", rule(fails)),
    (
        "policy-raises",
        "KeyError for one with roles",
        rule(breaks_for_x, read=role("x")),
    ),
    (
        "policy-raises",
        "a rule in its fields raises PolicyError",
        books(policy=Policy(fields={"title": lambda who: None})),  # type: ignore[dict-item,return-value]
    ),
    ("open-writes", "anybody may delete every row of 'books'", books(policy=Policy(delete=True))),
    ("open-writes", "anybody may update every row of 'books'", rule(lambda who: True)),
    ("open-creates", "anybody may create rows", books(policy=Policy(create=True))),
    (
        "secret-fields",
        "every signed-in actor may read 'password_hash'",
        lambda shop: shop.authors.update(hidden=[], show=["password_hash"]),
    ),
    (
        "secret-fields",
        "anybody may read 'password_hash' of 'authors'",
        lambda shop: shop.authors.update(hidden=[], show=["password_hash"], public="read"),
    ),
    ("open-reads", "all fields of every row of 'books'", books(public="read")),
    (
        "tables",
        "resource 'tags': the database has no table 'tags'",
        lambda shop: METADATA.drop_all(shop.engine, [BOOK_TAGS, TAGS]),
    ),
    ("api-keys", "never expire", lambda shop: void(create_key(shop.engine, "reports"))),
    (
        "database",
        "can't be reached",
        served(engine=sa.create_engine("sqlite:////nowhere/to/be/found.sqlite")),
    ),
]

INDEX_FAULTS: list[tuple[str, str, Callable[[Shop], None]]] = [
    (
        "search-index",
        "no index serves the search in title",
        lambda shop: shop.search_index(drop_search_index),
    ),
    (
        "relation-index",
        "authors.books: no index of 'books' begins with 'author_id'",
        lambda shop: shop.run(DROP_INDEX),
    ),
]
# On MariaDB there are no search indexes, and a foreign key is an index.
with_indexes = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


def void(_: object) -> None:
    """Nothing, whatever there was."""


@pytest.mark.parametrize(("name", "detail", "change"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_is_found(
    name: str, detail: str, change: Callable[[Shop], None], shop: Shop
) -> None:
    """The finding says what is wrong and how to mend it, and has its level from the table."""
    require_finding(name, detail, change, shop)


@with_indexes
@pytest.mark.parametrize(
    ("name", "detail", "change"), INDEX_FAULTS, ids=[f[0] for f in INDEX_FAULTS]
)
def test_a_missing_index_is_found(
    name: str, detail: str, change: Callable[[Shop], None], shop: Shop
) -> None:
    """As any fault."""
    require_finding(name, detail, change, shop)


def require_finding(name: str, detail: str, change: Callable[[Shop], None], shop: Shop) -> None:
    """Make the fault, and let the check find it."""
    change(shop)
    found = [finding for finding in shop.findings() if finding.name == name]
    assert found, shop.findings()
    assert any(detail in finding.detail for finding in found), found
    levels = {check.name: check.level for check in (*CHECKS, *DATABASE_CHECKS, REACHABLE)}
    assert all(finding.fix and finding.level == levels[name] for finding in found)


ONE_DATABASE = {"sqlite-workers", "max-connections", "driver", "dotenv"}
# tests/integration/test_migrations.py
MIGRATIONS = {"migrations", "unknown-migration", "models"}
# tests/deploy
DEPLOYED = {"replica", "prepared-statements"}


def test_every_check_is_tested() -> None:
    """Each row of the table has a fault above, or a test of its own below."""
    checks = {check.name for check in (*CHECKS, *DATABASE_CHECKS, REACHABLE)}
    tested = {name for name, _, _ in FAULTS + INDEX_FAULTS}
    assert checks == tested | ONE_DATABASE | MIGRATIONS | DEPLOYED


def names(shop: Shop) -> list[str]:
    """The names of what is found."""
    return [finding.name for finding in shop.findings()]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_is_for_one_worker_that_writes(shop: Shop) -> None:
    """Where nothing can be written, more are fine."""
    shop.config["CARBOY_RATE_LIMIT_STORAGE"] = "redis://127.0.0.1:1"
    shop.workers = 2
    assert names(shop) == ["sqlite-workers"]
    shop.read_only = True
    assert names(shop) == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_is_asked_how_many_connections_it_takes(shop: Shop) -> None:
    """The server's limit, or that of the database where it is lower."""
    shop.config["CARBOY_RATE_LIMIT_STORAGE"] = "redis://127.0.0.1:1"
    shop.workers = 64
    (finding,) = shop.findings()
    assert finding.name == "max-connections"
    assert "64 workers with pools of 15 connections may open 960" in finding.detail
    shop.workers = 1
    assert names(shop) == []
    quoted = shop.engine.dialect.identifier_preparer.quote(str(shop.engine.url.database))
    shop.run(sa.text(f"ALTER DATABASE {quoted} CONNECTION LIMIT 14"))
    assert "the database has room for 14" in shop.findings()[0].detail


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_psycopg_without_its_c_part_is_slow(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra brings the fast one."""
    monkeypatch.setattr("psycopg.pq.__impl__", "python")
    (finding,) = shop.findings()
    assert (finding.name, finding.level) == ("driver", "warning")
    assert "pip install 'carboy[postgresql]'" in finding.fix


def test_a_dotenv_that_nothing_reads_is_found(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where python-dotenv is installed, or the file isn't wanted, all is well."""
    Path(".env").write_text("CARBOY_MAX_ROWS=5")
    assert names(shop) == []
    monkeypatch.setitem(sys.modules, "dotenv", None)
    assert names(shop) == ["dotenv"]
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    assert names(shop) == []


@with_indexes
@pytest.mark.parametrize(
    ("index", "serves"),
    [
        ("(author_id)", True),
        ("(author_id, title)", True),
        ("(title, author_id)", False),
        ("(author_id) WHERE author_id > 5", False),
        ("(lower(title), author_id)", False),
    ],
)
def test_an_index_must_begin_with_the_column(index: str, serves: bool, shop: Shop) -> None:
    """And hold all rows."""
    shop.run(DROP_INDEX, sa.text(f"CREATE INDEX other ON books {index}"))
    assert names(shop) == ([] if serves else ["relation-index"])


@with_indexes
def test_a_unique_constraint_is_an_index(shop: Shop) -> None:
    """As is a primary key."""
    METADATA.drop_all(shop.engine)
    shop.run(
        sa.text("CREATE TABLE authors (id integer PRIMARY KEY, name text, password_hash text)"),
        sa.text(
            "CREATE TABLE books (id integer PRIMARY KEY, title text, author_id integer UNIQUE)"
        ),
        sa.text("CREATE TABLE tags (id integer PRIMARY KEY)"),
        sa.text("CREATE TABLE book_tags (book_id int, tag_id int, PRIMARY KEY (book_id, tag_id))"),
    )
    shop.search_index(create_search_index)
    (finding,) = shop.findings()
    assert finding.detail.startswith("tags.books: no index of 'book_tags' begins with 'tag_id'")
    assert finding.fix.endswith("CREATE INDEX ix_book_tags_tag_id ON book_tags (tag_id)")
    shop.run(sa.text(finding.fix.partition("or: ")[2]))
    assert names(shop) == []


@with_indexes
def test_a_search_index_must_fit_the_fields(shop: Shop) -> None:
    """One that was made for other fields serves no search."""
    shop.search_index(drop_search_index)
    api = Carboy(app := flask.Flask("index"), shop.engine)
    api.resource(AUTHORS, search=["name"])
    with app.app_context():
        create_search_index(shop.engine, api.schema.resources["authors"])
    shop.search_index(create_search_index)
    shop.authors["search"] = ["name"]
    assert names(shop) == []
    shop.authors |= {"search": ["name", "password_hash"], "hidden": [], "show": ["password_hash"]}
    shop.authors["policy"] = Policy(read=role("clerk"))
    assert names(shop) == ["search-index"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_search_index_must_have_the_configuration(shop: Shop) -> None:
    """PostgreSQL uses no index in another language."""
    shop.config["CARBOY_SEARCH_CONFIG"] = "english"
    assert names(shop) == ["search-index"]


def test_keys_that_end_are_fine(shop: Shop) -> None:
    """As are those that have ended."""
    create_key(shop.engine, "reports", expires_in=dt.timedelta(days=1))
    assert names(shop) == []


def test_a_database_without_an_application_has_no_secret_key(shop: Shop) -> None:
    """Nobody could set it; nor does the fix for an open resource name a policy."""
    shop.configured = False
    del shop.config["SECRET_KEY"]
    shop.books["policy"] = OPEN
    found = shop.findings()
    assert [f.name for f in found] == ["open-writes", "open-writes", "open-creates", "open-reads"]
    assert all("keep it from the network" in finding.fix for finding in found)


def test_a_condition_is_not_open(shop: Shop) -> None:
    """What everybody may do with some rows only is the application's own decision."""
    shop.books["policy"] = Policy(
        read=lambda who: BOOKS.c.id > 5, update=lambda who: BOOKS.c.author_id == who.id
    )
    assert names(shop) == []


def test_no_message_has_a_secret(shop: Shop) -> None:
    """Neither of the configuration nor of the database's URL."""
    shop.config |= {"SECRET_KEY": "hunter2-hunter2", "CARBOY_JWT_SECRET": "abab" * 10}
    shop.engine = sa.create_engine("postgresql+psycopg://me:hunter2@127.0.0.1:1/none")
    found = shop.findings()
    assert {"secret-key", "jwt-secret", "database"} <= {finding.name for finding in found}
    assert not any("hunter2" in f.detail + f.fix or "abab" in f.detail for f in found)
