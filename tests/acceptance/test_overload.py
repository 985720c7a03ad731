"""``carboy serve`` while its database hangs, restarts or has too much to do: real processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest
import sqlalchemy as sa

from tests.acceptance.test_serve import Server, serving
from tests.proxy import proxied
from tools.servers import postgresql

PLACES = 8
IN_TIME = 20


@pytest.fixture(scope="module")
def own_server() -> Iterator[str]:
    """A PostgreSQL that may be frozen and killed, with a table and a slow view."""
    with postgresql() as url:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE item (id integer PRIMARY KEY, name text)")
            connection.exec_driver_sql("INSERT INTO item VALUES (1, 'cup')")
            connection.exec_driver_sql("CREATE VIEW slow AS SELECT 1 AS id FROM pg_sleep(0.1)")
        engine.dispose()
        yield url


@pytest.fixture(autouse=True)
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the servers of these tests are given by the environment."""
    monkeypatch.setenv("CARBOY_DEADLINE", "3")


class Clients:
    """Clients that each ask again as soon as they are answered; ``counts`` says by what."""

    def __init__(self, server: Server, number: int, path: str) -> None:
        self.counts: Counter[str] = Counter()
        self._address = server.url.removeprefix("http://")
        self._path = path
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each get its last answer."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        while not self._stopped.is_set():
            try:
                connection.connect()
            except OSError:
                return self._count("not accepted")
            try:
                connection.request("GET", self._path)
                answer = connection.getresponse()
                answer.read()
                self._count(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                self._count(f"unanswered: {error!r}")
            finally:
                connection.close()
        return None

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1


@contextlib.contextmanager
def asking(server: Server, number: int, path: str) -> Iterator[Clients]:
    """Clients, as long as the block."""
    clients = Clients(server, number, path)
    try:
        yield clients
    finally:
        clients.stop()


def per_second(server: Server, number: int, path: str, seconds: float) -> tuple[float, int]:
    """How many a second are served, and how many are turned away, for so many clients."""
    with asking(server, number, path) as clients:
        time.sleep(seconds)
    return clients.counts["200"] / seconds, clients.counts["503"]


def seconds_until(done: Callable[[], bool]) -> float:
    """How long it takes until something holds."""
    started = time.monotonic()
    while not done():
        assert time.monotonic() - started < 60
        time.sleep(0.02)
    return time.monotonic() - started


def test_what_needs_no_database_is_answered_while_it_hangs(own_server: str) -> None:
    """404, 400, 401 and OPTIONS don't wait behind requests that do; those end; nothing restarts."""
    asked = [
        ("GET", "/api/nothing", None, 404),
        ("OPTIONS", "/api/item", None, 204),
        ("GET", "/api/item?nothing=eq.1", None, 400),
        ("GET", "/api/item", "malformed", 401),
    ]
    with proxied(own_server) as (proxy, url), serving(url) as server:
        assert server.status("GET", "/api/item/1") == 200
        proxy.set("pause")
        with asking(server, 5 * PLACES, "/api/item/1") as clients:
            time.sleep(0.5)
            took = []
            for method, path, key, status in asked * 5:
                started = time.monotonic()
                assert server.status(method, path, key=key) == status
                took.append(time.monotonic() - started)
            assert median(took) < 0.1
        assert set(clients.counts) <= {"503", "504"}
        proxy.set("open")
        assert seconds_until(lambda: server.status("GET", "/api/item/1") == 200) < 5
        assert server.stop() == 0


def test_overload_costs_little(own_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 5 times what saturates the server at least 80% of that is served, and afterwards all."""
    # Few, so that there is somebody to turn away.
    monkeypatch.setenv("CARBOY_QUEUE", "10")
    with serving(own_server, "--threads", str(PLACES)) as server:
        per_second(server, PLACES, "/api/slow", 1)
        capacity, refused = per_second(server, PLACES, "/api/slow", 3)
        assert refused == 0
        served, refused = per_second(server, 5 * PLACES, "/api/slow", 3)
        assert served >= 0.8 * capacity
        assert refused > 0
        assert seconds_until(lambda: server.status("GET", "/api/item/1") == 200) < 10
        assert server.stop() == 0


def processes(url: str) -> list[int]:
    """The server's own processes: the postmaster first, then the rest."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        folder = connection.exec_driver_sql("SHOW data_directory").scalar_one()
    engine.dispose()
    postmaster = int((Path(folder) / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


def test_a_frozen_server_is_survived(own_server: str) -> None:
    """Every process of PostgreSQL is stopped, and goes on later: so do requests."""
    with serving(own_server) as server:
        assert server.status("GET", "/api/item/1") == 200
        frozen = processes(own_server)
        for number in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGSTOP)
        try:
            started = time.monotonic()
            # On the connection that is open, then on one that would have to be made.
            assert {server.status("GET", "/api/item/1") for _ in range(2)} <= {503, 504}
            assert time.monotonic() - started < IN_TIME
        finally:
            for number in frozen:
                # One that was ending when it was stopped is gone as soon as its parent goes on.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGCONT)
        assert seconds_until(lambda: server.status("GET", "/api/item/1") == 200) < 5
        assert server.stop() == 0


def test_a_server_that_restarts_needs_no_restart_here(own_server: str) -> None:
    """A crash closes all connections and refuses new ones for a while, and no longer."""
    with serving(own_server) as server:
        with asking(server, PLACES, "/api/item/1") as clients:
            seconds_until(lambda: clients.counts["200"] > 50)
            engine = sa.create_engine(own_server)
            with engine.connect() as connection:
                number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
                # It restarts when one of its processes is killed.
                os.kill(number, signal.SIGKILL)
                connection.invalidate()
            seconds_until(lambda: _is_up(engine))
            before = clients.counts["200"]
            assert seconds_until(lambda: clients.counts["200"] > before) < 5
            engine.dispose()
        assert set(clients.counts) <= {"200", "503"}
        assert server.stop() == 0


def _is_up(engine: sa.Engine) -> bool:
    try:
        engine.connect().close()
    except sa.exc.OperationalError:
        return False
    return True


def test_what_was_accepted_is_answered_before_the_end(own_server: str) -> None:
    """SIGTERM under load: every client that got a connection gets its answer."""
    with serving(own_server, "--workers", "2") as server:
        with asking(server, 3 * PLACES, "/api/slow") as clients:
            seconds_until(lambda: clients.counts["200"] > 3 * PLACES)
            assert server.stop() == 0
        assert "200" in clients.counts
        assert set(clients.counts) <= {"200", "503", "not accepted"}


def test_connections_stay_below_what_the_server_takes(own_server: str) -> None:
    """More workers and threads than connections that can be had: each worker uses fewer."""
    engine = sa.create_engine(own_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 6")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO few")
    url = sa.make_url(own_server).set(username="few", password="few")
    try:
        target = url.render_as_string(hide_password=False)
        with serving(target, "--workers", "2", "--threads", "8") as server:
            assert "each of 2 workers uses 3, and not 8" in "".join(server.said)
            with asking(server, 12, "/api/slow") as clients:
                time.sleep(2)
            assert set(clients.counts) == {"200"}
            assert server.stop() == 0
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql("DROP OWNED BY few")
            connection.exec_driver_sql("DROP ROLE few")
        engine.dispose()
