"""Exports by real servers over sockets: whole, or seen to be broken."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import flask
import pytest
import sqlalchemy as sa
from werkzeug.serving import make_server

from carboy import OPEN, Carboy
from carboy.request import EXPORTS
from tests.acceptance.test_serve import serving
from tests.conftest import empty_postgresql_database

WAIT = 60
ROWS = 60_000
WELL = ("granian", "flask")


@pytest.fixture(scope="module")
def database(postgresql_url: str) -> Iterator[sa.Engine]:
    """Many rows, and a view that fails at one far behind the first."""
    with empty_postgresql_database(postgresql_url) as url:
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in (
                "CREATE TABLE item (id integer PRIMARY KEY, text text)",
                f"INSERT INTO item SELECT n, repeat('x', 400) FROM generate_series(1, {ROWS}) n",
                f"CREATE VIEW failing AS SELECT id, text, 1 / ({ROWS} - id) AS n FROM item",
            ):
                connection.exec_driver_sql(statement)
        yield engine
        engine.dispose()


@pytest.fixture(scope="module", params=WELL)
def address(request: pytest.FixtureRequest, database: sa.Engine) -> Iterator[str]:
    """Where it is served, by granian and by Flask's own server."""
    url = database.url.render_as_string(hide_password=False)
    if request.param == "granian":
        with serving(url, "--threads", "4") as server:
            yield server.url.removeprefix("http://")
    else:
        with flask_serving(url) as found:
            yield found


@contextmanager
def flask_serving(url: str) -> Iterator[str]:
    """The same by the server of ``flask run``."""
    engine = sa.create_engine(url)
    app = flask.Flask("exports")
    api = Carboy(app, engine, policy=OPEN)
    metadata = sa.MetaData()
    metadata.reflect(engine, views=True)
    for table in metadata.tables.values():
        api.resource(table)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(WAIT)
    server.server_close()
    engine.dispose()


@contextmanager
def answer(
    address: str, path: str, media: str
) -> Iterator[tuple[http.client.HTTPConnection, http.client.HTTPResponse]]:
    """The answer to an export, of which nothing is read yet."""
    connection = http.client.HTTPConnection(address, timeout=WAIT)
    connection.request("GET", path, headers={"Accept": media})
    response = connection.getresponse()
    try:
        yield connection, response
    finally:
        response.close()
        connection.close()


def wait_until(condition: Callable[[], bool]) -> None:
    """Fail if it doesn't become true in time."""
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def backends(database: sa.Engine, what: str = "count(*)") -> int:
    """How many exports the database is at; or what is done to each."""
    with database.connect() as connection:
        found = connection.exec_driver_sql(
            f"SELECT {what} FROM pg_stat_activity WHERE datname = current_database()"
            " AND query LIKE 'COPY%%' AND state = 'active' AND pid <> pg_backend_pid()"
        ).scalar()
    return int(found or 0)


@pytest.mark.parametrize("media", EXPORTS)
def test_an_export_is_whole(address: str, media: str) -> None:
    """It comes in chunks, and its end is an end; the connection goes on."""
    with answer(address, "/api/item?select=id", media) as (connection, response):
        assert response.status == 200
        assert response.getheader("Transfer-Encoding") == "chunked"
        body = response.read()
        assert body.count(b"\n") == ROWS + (0, 1, 2)[EXPORTS.index(media)]
        connection.request("GET", "/api/item/1")
        assert connection.getresponse().status == 200


@pytest.mark.parametrize("media", EXPORTS)
@pytest.mark.parametrize("how", ["statement", "killed"])
def test_a_stream_that_breaks_midway_is_seen_as_broken(
    address: str, database: sa.Engine, media: str, how: str
) -> None:
    """No last chunk comes, whether a statement fails after many rows or the database is lost."""
    path = "/api/failing?order=id" if how == "statement" else "/api/item"
    with answer(address, path, media) as (_, response):
        assert response.status == 200
        assert len(response.read(100_000)) == 100_000
        if how == "killed":
            wait_until(lambda: backends(database, "count(pg_terminate_backend(pid))") > 0)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()
    with answer(address, "/api/item?limit=3", media) as (_, response):
        assert response.read()


def test_others_of_the_same_client_are_not_broken_off(address: str) -> None:
    """Of many connections from one address just that of the stream is shut."""
    others = [http.client.HTTPConnection(address, timeout=WAIT) for _ in range(3)]
    for connection in others:
        connection.request("GET", "/api/item/1")
        connection.getresponse().read()
    with (
        answer(address, "/api/item?order=id", EXPORTS[0]) as (_, whole),
        answer(address, "/api/failing?order=id", EXPORTS[0]) as (_, broken),
    ):
        whole.read(1000)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            broken.read()
        rest = whole.read()
        assert rest.endswith(b"\n")
        assert rest.count(b"\n") > ROWS - 100
    for connection in others:
        connection.request("GET", "/api/item/1")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_client_that_hangs_up_ends_the_statement(address: str, database: sa.Engine) -> None:
    """Soon, and not only at the deadline."""
    for _ in range(3):
        with answer(address, "/api/item", EXPORTS[0]) as (_, response):
            assert response.read(1000)
            assert backends(database) == 1
        wait_until(lambda: backends(database) == 0)
