"""Answers that are kept: they are used as long as they are right, and never by somebody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carboy import Policy
from carboy.cache import entangled
from carboy.cache import redis as redis_store
from carboy.execute import Database
from carboy.schema import SchemaError
from carboy.settings import SettingError

from .library import Author, Book, Library, engine_of


@pytest.fixture
def library(database_url: str, tmp_path: Path) -> Iterator[Library]:
    """A library on each database."""
    made = Library(database_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Library]:
    """A library in an SQLite file."""
    made = Library(f"sqlite:///{tmp_path / 'library.sqlite'}", tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where answers are kept; Redis may be slow here, since the machine is busy with tests."""
    if request.param == "memory":
        return "memory://"
    monkeypatch.setattr(redis_store, "_TIMEOUT", 10)
    url: str = request.getfixturevalue("redis_url")
    return url


def asked(client: FlaskClient, path: str, **options: Any) -> tuple[str, Any]:
    """What the cache did, and the answer."""
    response = client.get(path, **options)
    assert response.status_code == 200, response.data
    return response.headers["X-Cache"], response.get_json()


def test_the_second_read_is_a_hit(small: Library, store: str, way: int) -> None:
    """An answer is kept, item and list, and is the same for HEAD and for every process."""
    config = {"CARBOY_CACHE_URL": store, "CARBOY_DIRECT_READS": way}
    client, other = small.client(**config), small.client(**config)
    for path in ("/api/books/1", "/api/books?select=title,author(name)", "/api/books?page=1"):
        first, answer = asked(client, path)
        assert (first, *asked(client, path)) == ("miss", "hit", answer)
        head = client.head(path)
        assert (head.headers["X-Cache"], head.data) == ("hit", b"")
        shared = "hit" if store.startswith("redis") else "miss"
        assert asked(other, path) == (shared, answer)


def by_api(client: FlaskClient) -> None:
    """A PATCH."""
    assert client.patch("/api/authors/1", json={"name": "new"}).status_code == 200


def in_session(run: Callable[[Session], Any]) -> Callable[[FlaskClient], None]:
    """A write with a session of the application's own, in a context of its own."""

    def write(client: FlaskClient) -> None:
        with client.application.app_context(), Session(engine_of(client)) as session:
            run(session)
            session.commit()

    return write


def on_connection(client: FlaskClient) -> None:
    """A COMMIT in the middle of a connection's use, which then goes on."""
    with client.application.app_context(), engine_of(client).connect() as connection:
        connection.execute(sa.update(Author).where(Author.id == 1).values(name="new"))
        connection.commit()
        connection.execute(sa.select(Author.id))


def at_once(client: FlaskClient) -> None:
    """Without a transaction."""
    engine = engine_of(client).execution_options(isolation_level="AUTOCOMMIT")
    with client.application.app_context(), engine.connect() as connection:
        connection.execute(sa.update(Author).where(Author.id == 1).values(name="new"))


def rename(session: Session) -> None:
    """By the ORM."""
    author = session.get(Author, 1)
    assert author is not None
    author.name = "new"


WRITES: dict[str, Callable[[FlaskClient], None]] = {
    "the API": by_api,
    "the ORM": in_session(rename),
    "Core": in_session(lambda s: s.execute(sa.update(Author).values(name="new"))),
    "the ORM in bulk": in_session(lambda s: s.bulk_update_mappings(
        sa.inspect(Author), [{"id": 1, "name": "new"}])),
    "text": in_session(lambda s: s.execute(sa.text("UPDATE authors SET name = 'new'"))),
    "a connection": on_connection,
    "autocommit": at_once,
}  # fmt: skip


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_the_first_read_after_a_write_is_right(
    small: Library, store: str, write: Callable[[FlaskClient], None]
) -> None:
    """Whoever writes to an embedded table, in any process, and however."""
    config = {"CARBOY_CACHE_URL": store}
    reader, writer = small.client(**config), small.client(**config)
    paths = ("/api/books/1?select=author(name)", "/shown/1", "/loaded/1")
    for path in paths:
        before = asked(reader, path)[1]
        assert asked(reader, path) == ("hit", before)
        assert "Ann" in str(before)
    write(writer)
    for path in paths:
        outcome, after = asked(reader, path)
        assert (outcome, "new" in str(after)) == ("miss", True)
        assert asked(reader, path) == ("hit", after)


NEW_ROWS: dict[str, dict[str, Any]] = {
    "a row": {"json": {"name": "Ada"}},
    "rows": {"json": [{"name": "Ada"}, {"name": "Alan"}]},
    "an import": {"data": "name\nAda\nAlan\n", "content_type": "text/csv"},
}


@pytest.mark.parametrize("sent", NEW_ROWS.values(), ids=NEW_ROWS)
def test_new_rows_are_writes(library: Library, sent: dict[str, Any]) -> None:
    """Also those that are inserted without SQLAlchemy, which only then is told of them."""
    reader = library.client(CARBOY_CACHE_URL="memory://")
    writer = library.client(CARBOY_CACHE_URL="memory://")
    path = "/api/authors?name=eq.Ada"
    for number in range(2):
        before = asked(reader, path)[1]["data"]
        assert asked(reader, path)[0] == "hit"
        assert len(before) == number
        assert writer.post("/api/authors", **sent).status_code == 201
        outcome, after = asked(reader, path)
        assert (outcome, len(after["data"])) == ("miss", number + 1)


@pytest.mark.parametrize("url", ["memory://"])
def test_cascades_are_writes(library: Library, url: str) -> None:
    """Deleting an author deletes books in the database itself, on each of them."""
    reader = library.client(CARBOY_CACHE_URL=url)
    assert len(asked(reader, "/api/books")[1]["data"]) == 2
    delete = sa.delete(Author).where(Author.id == 1)
    library.write(library.client(CARBOY_CACHE_URL=url), lambda session: session.execute(delete))
    assert asked(reader, "/api/books") == ("miss", {"data": [], "next": None})


TRIGGERS = {
    "sqlite": "CREATE TRIGGER counts AFTER UPDATE ON shelves BEGIN"
    " UPDATE books SET title = 'moved'; END",
    "mariadb": "CREATE TRIGGER counts AFTER UPDATE ON shelves FOR EACH ROW"
    " UPDATE books SET title = 'moved'",
    "postgresql": "CREATE FUNCTION counts() RETURNS trigger LANGUAGE plpgsql AS $$"
    " BEGIN UPDATE books SET title = 'moved'; RETURN NULL; END $$;"
    " CREATE TRIGGER counts AFTER UPDATE ON shelves EXECUTE FUNCTION counts()",
}


def test_triggers_and_views_of_the_database_are_known(library: Library) -> None:
    """What a trigger writes is seen, though no statement names its table; so is what views show."""
    kind = library.engine.dialect.name
    with library.engine.begin() as connection:
        connection.exec_driver_sql(TRIGGERS[kind])
        connection.exec_driver_sql("CREATE VIEW titles AS SELECT id, title FROM books")
    client = library.client()
    with library.engine.connect() as connection:
        found = entangled(connection.connection, connection.dialect.name)
    assert "titles" in found.views
    assert found.read(["titles"]) != found.read(["books"])
    assert asked(client, "/api/books/1")[1]["title"] == "one"
    assert asked(client, "/api/books/1")[0] == "hit"
    client.patch("/api/shelves/1", json={"room": "cellar"})
    assert asked(client, "/api/books/1")[1]["title"] == "moved"


def test_what_did_not_change_stays(small: Library, store: str) -> None:
    """A write to another table, and one that is rolled back, leave an answer where it is."""
    client = small.client(CARBOY_CACHE_URL=store)
    asked(client, "/api/books/1")
    assert client.patch("/api/shelves/1", json={"room": "cellar"}).status_code == 200
    assert asked(client, "/api/books/1")[0] == "hit"
    with client.application.app_context(), Session(engine_of(client)) as session:
        session.execute(sa.update(Book).values(title="never"))
        session.rollback()
    assert client.patch("/api/books/1", json={"title": None}).status_code == 400
    dry = {"Prefer": "tx=rollback"}
    assert client.patch("/api/books/1", json={"title": "dry"}, headers=dry).status_code == 200
    assert asked(client, "/api/books/1") == ("hit", {"id": 1, "title": "one", "author_id": 1})


def test_nobody_gets_the_answer_of_another(small: Library, store: str, way: int) -> None:
    """Each actor's rows are kept apart, in the API and in views, even where the URL is the same."""
    client = small.client(CARBOY_CACHE_URL=store, CARBOY_DIRECT_READS=way)
    for _ in range(2):
        for name in ("ann", "bob"):
            who = {"X-User": name}
            _, answer = asked(client, "/api/loans?select=book", headers=who)
            assert answer["data"] == [{"book": f"of {name}"}]
            assert asked(client, "/mine", headers=who)[1] == {"who": name}
        assert asked(client, "/api/loans")[1]["data"] == []
        assert asked(client, "/mine")[1] == {"who": "NOBODY"}
    assert asked(client, "/api/loans?select=book", headers={"X-User": "ann"})[0] == "hit"
    assert small.runs == 3


def test_a_policy_that_looks_at_the_clock_is_asked_each_time(small: Library) -> None:
    """An answer that depends on more than rows isn't kept."""
    clock = Policy(read=lambda _: sa.func.now() > sa.func.date("2000-01-01"))
    client = small.client(loans=clock)
    for _ in range(2):
        assert asked(client, "/api/loans")[0] == "bypass"


def test_headers_follow(small: Library, store: str, way: int) -> None:
    """ETag and 304 are those of an answer that isn't kept; caches on the way must still ask."""
    client = small.client(CARBOY_CACHE_URL=store, CARBOY_DIRECT_READS=way)
    plain = small.client(cache=0, CARBOY_DIRECT_READS=way)
    for path in ("/api/books/1", "/api/books?limit=1"):
        client.get(path)
        headers = dict(client.get(path).headers)
        assert headers.pop("X-Cache") == "hit"
        assert headers.pop("X-Request-ID")
        expected = dict(plain.get(path).headers)
        del expected["X-Request-ID"]
        assert headers == expected
        again = client.get(path, headers={"If-None-Match": headers["ETag"]})
        assert (again.status_code, again.headers["X-Cache"]) == (304, "hit")
    own = client.get("/shown/1")
    assert own.headers["Cache-Control"] == "private, no-cache"
    again = client.get("/shown/1", headers={"If-None-Match": own.headers["ETag"]})
    assert (again.status_code, again.headers["X-Cache"]) == (304, "hit")
    client.patch("/api/books/1", json={"title": "new"})
    changed = client.get("/shown/1", headers={"If-None-Match": own.headers["ETag"]})
    assert changed.status_code == 200


@pytest.mark.parametrize("path", ["/cookie", "/session", "/loaded/99"])
def test_some_answers_of_views_are_not_kept(small: Library, store: str, path: str) -> None:
    """What sets a cookie is one client's; an error isn't kept."""
    client = small.client(CARBOY_CACHE_URL=store)
    client.get(path)
    runs = small.runs
    client.get(path)
    assert small.runs == runs + 1


def test_a_row_that_is_not_there_is_kept_too(small: Library, store: str) -> None:
    """Until it comes."""
    client = small.client(CARBOY_CACHE_URL=store)
    for _ in range(2):
        assert client.get("/api/shelves/2").status_code == 404
    assert client.post("/api/shelves", json={"room": "attic"}).status_code == 201
    assert asked(client, "/api/shelves/2")[1]["room"] == "attic"


def test_many_wait_for_one_computation(small: Library, store: str) -> None:
    """Of 40 requests for an answer that isn't there one asks the database, and all are answered."""
    client = small.client(CARBOY_CACHE_URL=store, CARBOY_DIRECT_READS=1)
    client.get("/api/shelves")  # everything is compiled
    ran: list[str] = []
    started = threading.Event()

    real = Database.fetch

    def counted(database: Any, statement: Any, values: Any, who: Any = None) -> Any:
        if "books" in statement.sql:
            ran.append(statement.sql)
            started.wait(5)
        return real(database, statement, values, who)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(40) as pool:
        patch.setattr(Database, "fetch", counted)
        app = client.application
        answers = [pool.submit(lambda: asked(app.test_client(), "/api/books/1")) for _ in range(40)]
        deadline = time.monotonic() + 30
        while not ran and time.monotonic() < deadline:
            time.sleep(0.01)
        started.set()
        outcomes = [answer.result()[0] for answer in answers]
    assert len(ran) == 1
    assert sorted(outcomes) == ["hit"] * 39 + ["miss"]


def test_an_answer_that_is_over_is_shown_while_another_is_made(small: Library, store: str) -> None:
    """With stale=, only one request waits; without, an answer ends with its time."""
    client = small.client(cache=1, stale=600, CARBOY_CACHE_URL=store, CARBOY_DIRECT_READS=1)
    ending = small.client(cache=1, CARBOY_CACHE_URL="memory://")
    asked(ending, "/api/books/1")
    assert asked(client, "/api/books/1")[0] == "miss"
    time.sleep(1.1)
    assert asked(ending, "/api/books/1")[0] == "miss"

    real = Database.fetch
    asking, go_on = threading.Event(), threading.Event()

    def held(*arguments: Any) -> Any:
        asking.set()
        assert go_on.wait(30)
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(Database, "fetch", held)
        first = pool.submit(lambda: asked(client.application.test_client(), "/api/books/1"))
        assert asking.wait(30)
        try:
            assert asked(client, "/api/books/1")[0] == "stale"
        finally:
            go_on.set()
        assert first.result()[0] == "miss"
    assert asked(client, "/api/books/1")[0] == "hit"


def test_a_write_ends_what_is_stale(small: Library, store: str) -> None:
    """What is shown after its time is over is still no older than the last write."""
    client = small.client(cache=1, stale=600, CARBOY_CACHE_URL=store)
    asked(client, "/api/books/1")
    client.patch("/api/books/1", json={"title": "new"})
    time.sleep(1.1)
    assert asked(client, "/api/books/1")[1]["title"] == "new"


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"CARBOY_CACHE_URL": "memcached://x"}, "CARBOY_CACHE_URL must be"),
        ({"CARBOY_CACHE_URL": "redis://x:port"}, "CARBOY_CACHE_URL is no URL"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    small: Library, config: dict[str, Any], fault: str
) -> None:
    """At the start, by name."""
    with pytest.raises(SettingError, match=fault):
        small.app(**config)
    with pytest.raises(SchemaError, match="cache="):
        small.app(cache=-1)
