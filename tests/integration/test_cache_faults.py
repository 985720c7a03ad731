"""What happens to kept answers when Redis, a writer or a connection fails: reads stay right."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from carboy.cache import CacheUnavailable
from carboy.cache import listener as listening
from carboy.cache import redis as redis_store
from carboy.cache import versions as versions_file
from carboy.cache.versions import Versions, places_of
from carboy.extension import built_api
from carboy.ops.cache_triggers import install_triggers, remove_triggers
from carboy.pipeline import Api
from tests.conftest import empty_postgresql_database
from tests.faults.servers import Redis
from tools import servers

from .library import Book, Library, engine_of

PATIENCE = 30


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Library]:
    """A library in an SQLite file."""
    made = Library(f"sqlite:///{tmp_path / 'library.sqlite'}", tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def own_redis() -> Iterator[Redis]:
    """A Redis to do harm to."""
    with servers.redis() as url:
        server = Redis(url)
        yield server
        server.process.close()


def api_of(client: FlaskClient) -> Api:
    """What a client's application is built to."""
    with client.application.app_context():
        return built_api(client.application)


def asked(client: FlaskClient, path: str = "/api/books/1") -> tuple[str, Any]:
    """What the cache did, and a book's title."""
    response = client.get(path)
    assert response.status_code == 200, response.data
    return response.headers["X-Cache"], response.get_json()["title"]


def until(client: FlaskClient, outcome: str, title: str) -> None:
    """Ask until the cache does this; each answer on the way is right, too."""
    end = time.monotonic() + PATIENCE
    while True:
        found = asked(client)
        assert found[1] == title
        if found[0] == outcome:
            return
        assert time.monotonic() < end, f"it is a {found[0]}"
        time.sleep(0.02)


def retitle(client: FlaskClient, title: str) -> None:
    """A write that is acknowledged."""
    assert client.patch("/api/books/1", json={"title": title}).status_code == 200


def pause(server: Redis) -> None:
    """It takes connections and says nothing."""
    server.process.pause()


def lose(server: Redis) -> None:
    """It is gone."""
    server.process.kill()


HARMS: dict[str, tuple[Callable[[Redis], None], Callable[[Redis], None]]] = {
    "stalled": (pause, lambda server: server.process.resume()),
    "gone": (lose, lambda server: server.start()),
}


@pytest.mark.parametrize(("harm", "mend"), HARMS.values(), ids=HARMS)
def test_reads_are_right_while_redis_is_away_and_when_it_is_back(
    small: Library, own_redis: Redis, harm: Callable[[Redis], None], mend: Callable[[Redis], None]
) -> None:
    """A write that Redis hasn't heard of is seen by all processes of the machine, also later."""
    config = {"CARBOY_CACHE_URL": own_redis.url}
    writer, reader = small.client(**config), small.client(**config)
    until(reader, "hit", "one")
    until(writer, "hit", "one")
    harm(own_redis)
    try:
        started = time.monotonic()
        retitle(writer, "away")
        for client in (reader, writer) * 5:
            assert asked(client) == ("bypass", "away")
        # Ten times the five seconds of redis-py's own patience, had each waited for it.
        assert time.monotonic() - started < 25
    finally:
        mend(own_redis)
    assert asked(reader)[1] == "away"
    for client in (reader, writer):
        until(client, "hit", "away")


def test_redis_may_be_flushed(small: Library, own_redis: Redis) -> None:
    """What is forgotten doesn't come back as something old."""
    client = small.client(CARBOY_CACHE_URL=own_redis.url)
    until(client, "hit", "one")
    own_redis.client.flushall()
    assert asked(client)[1] == "one"
    retitle(client, "new")
    own_redis.client.flushall()
    until(client, "hit", "new")


def test_redis_may_be_full(small: Library, own_redis: Redis) -> None:
    """It takes nothing any more, and nothing old is shown either."""
    config = {"CARBOY_CACHE_URL": own_redis.url}
    writer, reader = small.client(**config), small.client(**config)
    until(reader, "hit", "one")
    own_redis.client.config_set("maxmemory", 1)
    try:
        retitle(writer, "full")
        for client in (reader, writer) * 3:
            assert asked(client) == ("bypass", "full")
    finally:
        own_redis.client.config_set("maxmemory", 0)
    until(reader, "hit", "full")


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", b"\x00" * 40, "another's"])
def test_redis_may_hold_rubbish(small: Library, own_redis: Redis, rubbish: Any) -> None:
    """Only what Carboy has signed for this very request is believed."""
    client = small.client(CARBOY_CACHE_URL=own_redis.url)
    own_redis.client.flushall()
    until(client, "hit", "one")
    (mine,) = own_redis.client.keys("carboy:*:a:*")
    asked(client, "/api/books/2")
    if isinstance(rubbish, str):
        (other,) = set(own_redis.client.keys("carboy:*:a:*")) - {mine}
        rubbish = own_redis.client.get(other)
    own_redis.client.set(mine, rubbish)
    assert asked(client) == ("miss", "one")
    for key in own_redis.client.keys("carboy:*"):
        own_redis.client.delete(key)
        own_redis.client.rpush(key, "a list")
    until(client, "bypass", "one")
    retitle(client, "new")
    assert asked(client)[1] == "new"


def test_a_server_that_is_no_redis_is_not_waited_for(small: Library) -> None:
    """What answers nonsense is left alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9)

        threading.Thread(target=answer, daemon=True).start()
        client = small.client(CARBOY_CACHE_URL=f"redis://127.0.0.1:{listener.getsockname()[1]}")
        assert asked(client) == ("bypass", "one")
        retitle(client, "new")
        assert asked(client) == ("bypass", "new")


def test_an_old_snapshot_is_not_believed(small: Library, own_redis: Redis) -> None:
    """A Redis that is started from yesterday's file has yesterday's versions and answers."""
    client = small.client(CARBOY_CACHE_URL=own_redis.url)
    own_redis.client.flushall()
    until(client, "hit", "one")
    snapshot = {key: own_redis.client.dump(key) for key in own_redis.client.keys("carboy:*")}
    retitle(client, "new")
    own_redis.process.kill()
    own_redis.start()
    for key, value in snapshot.items():
        assert isinstance(value, bytes)
        own_redis.client.restore(key, 0, value, replace=True)
    until(client, "hit", "new")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks of writers that died end soon."""
    monkeypatch.setattr(versions_file, "WINDOW", 1)
    monkeypatch.setattr(redis_store, "_MARKED_SECONDS", 2)


@pytest.mark.parametrize("store", ["memory", "redis"])
@pytest.mark.usefixtures("brief")
def test_a_writer_may_die_around_its_commit(small: Library, own_redis: Redis, store: str) -> None:
    """Nobody takes a kept answer before it is known that none can be old, nor keeps one."""
    url = "memory://" if store == "memory" else own_redis.url
    client, dying = (small.client(CARBOY_CACHE_URL=url) for _ in range(2))
    until(client, "hit", "one")
    cache = api_of(dying).caches[None]
    cache._store.mark(places_of(["books"]))
    assert asked(client) == ("bypass", "one")
    with small.engine.begin() as connection:  # nobody hears of this one
        connection.execute(sa.update(Book).values(title="new"))
    until(client, "hit", "new")


def test_a_commit_that_may_have_been_leaves_its_mark(postgresql_url: str, tmp_path: Path) -> None:
    """When the connection is lost in a COMMIT, the table isn't trusted until the mark is over."""
    with empty_postgresql_database(postgresql_url) as url:
        library = Library(url, tmp_path)
        client = library.client()
        until(client, "hit", "one")
        engine = engine_of(client)

        def cut(connection: sa.Connection) -> None:
            number = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
            with library.engine.connect() as other:
                other.execute(sa.select(sa.func.pg_terminate_backend(number)))

        sa.event.listen(engine, "commit", cut)
        assert client.patch("/api/books/1", json={"title": "lost"}).status_code == 503
        sa.event.remove(engine, "commit", cut)
        assert asked(client) == ("bypass", "one")
        library.close()


def test_triggers_tell_of_writes_past_carboy(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once they are installed, what another program writes ends what is kept, and TRUNCATE too."""
    monkeypatch.setattr(listening, "_PAUSE", 0.05)
    monkeypatch.setattr(listening, "_ROUND", 0.2)
    with empty_postgresql_database(postgresql_url) as url:
        library = Library(url, tmp_path)
        first = library.client()
        with first.application.app_context():
            schema = built_api(first.application).schema
        for _ in range(2):
            tables = install_triggers(library.engine, schema)
            assert tables == ["authors", "books", "loans", "shelves"]
        client = library.client()
        until(client, "hit", "one")
        plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as other:
            other.execute("UPDATE books SET title = 'psql' WHERE id = 1")
            end = time.monotonic() + PATIENCE
            while asked(client)[1] != "psql":
                assert time.monotonic() < end
            until(client, "hit", "psql")
            # The listener's connection is lost: nothing is taken until there is another.
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'"
            )
            other.execute("UPDATE books SET title = 'unheard' WHERE id = 1")
            end = time.monotonic() + PATIENCE
            while asked(client)[1] != "unheard":
                assert time.monotonic() < end
            until(client, "hit", "unheard")
        assert len(remove_triggers(library.engine)) == 4
        library.close()


# The file of versions


def test_the_file_is_its_users_alone(tmp_path: Path) -> None:
    """It is made so, and one that isn't, or that a link leads to, is refused."""
    Versions(tmp_path, "blog")
    (made,) = tmp_path.iterdir()
    assert made.stat().st_mode & 0o777 == 0o600
    made.chmod(0o644)
    with pytest.raises(CacheUnavailable, match="this user's alone"):
        Versions(tmp_path, "blog")
    made.rename(tmp_path / "elsewhere")
    made.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheUnavailable):
        Versions(tmp_path, "blog")


def test_a_file_that_was_removed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No version in it is one of before, and all processes find it."""
    monkeypatch.setattr(versions_file, "_LOOK", 0)
    here, there = Versions(tmp_path, "blog"), Versions(tmp_path, "blog")
    places = (versions_file.EVERYTHING, *places_of(["posts"]))
    before, _ = here.read(places)
    (made,) = tmp_path.iterdir()
    made.unlink()
    there.finish(places_of(["posts"]), there.mark(places_of(["posts"])))
    after, settled = here.read(places)
    assert settled
    assert set(before).isdisjoint(after)
    assert there.read(places) == (after, True)


def test_marks_of_several_writers_are_counted(tmp_path: Path) -> None:
    """A table is settled again when the last of them has finished."""
    here, there = Versions(tmp_path, "blog"), Versions(tmp_path, "blog")
    places = places_of(["posts"])
    first, second = here.mark(places), there.mark(places)
    here.finish(places, first)
    assert not here.read(places)[1]
    there.finish(places, second)
    assert here.read(places)[1]
