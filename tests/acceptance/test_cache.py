"""Several servers read and write at once: no read is older than a write that was answered."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from tests.conftest import empty_postgresql_database

from .cache_app import counters, metadata
from .test_serve import Server, serving

ROOT = Path(__file__).parents[2]
KEYS = (1, 2, 3)
SECONDS = 3.0
READERS = 6


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which the application notes what it computes."""
    return tmp_path_factory.mktemp("cache") / "notes"


@pytest.fixture(scope="module", params=["memory", "redis"])
def servers(
    request: pytest.FixtureRequest, postgresql_url: str, notes: Path
) -> Iterator[list[Server]]:
    """Two servers of two processes each over one database."""
    url = "memory://" if request.param == "memory" else request.getfixturevalue("redis_url")
    with empty_postgresql_database(postgresql_url) as database, ExitStack() as stack:
        engine = sa.create_engine(database)
        with engine.begin() as connection:
            metadata.create_all(connection)
            connection.execute(sa.insert(counters), [{"id": key, "number": 0} for key in KEYS])
        engine.dispose()
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("APP_DATABASE", database)
        patch.setenv("APP_NOTES", str(notes))
        patch.setenv("CARBOY_CACHE_URL", url)
        patch.setenv("CARBOY_CACHE_FOLDER", str(notes.parent))
        arguments = ("tests.acceptance.cache_app:app", "--workers", "2", "--threads", "8")
        yield [stack.enter_context(serving(*arguments, folder=ROOT)) for _ in range(2)]


class Client:
    """Asks one of several servers at random, over connections of its own."""

    def __init__(self, servers: list[Server]) -> None:
        self._places = [urlsplit(server.url).netloc for server in servers]
        self.outcomes: Counter[str] = Counter()

    def ask(self, method: str, path: str, body: object = None) -> dict[str, int]:
        """The JSON of an answer."""
        connection = http.client.HTTPConnection(random.choice(self._places), timeout=60)
        try:
            text = None if body is None else json.dumps(body)
            # One name for both servers, as behind a balancer: it is a part of a view's URL.
            headers = {"Content-Type": "application/json", "Host": "cache.test"}
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            read = answer.read()
            assert answer.status < 300, read
            self.outcomes[answer.headers.get("X-Cache", "none")] += 1
            found: dict[str, int] = json.loads(read) if read else {}
            return found
        finally:
            connection.close()


def test_many_processes_compute_once(
    servers: list[Server], notes: Path, request: pytest.FixtureRequest
) -> None:
    """Of requests at the same time one computes: in a process, or with Redis in all of them."""
    notes.unlink(missing_ok=True)
    ready = threading.Barrier(16)

    def ask(_: int) -> None:
        ready.wait(30)
        assert "number" in Client(servers).ask("GET", "/slow")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    computed = len(notes.read_text().splitlines())
    assert computed == 1 if "redis" in request.node.name else computed <= 4


def test_no_read_is_older_than_an_answered_write(servers: list[Server]) -> None:
    """Whichever process has written, and by whichever way, and whichever is asked."""
    acknowledged = dict.fromkeys(KEYS, 0)
    end = time.monotonic() + SECONDS
    faults: list[str] = []
    outcomes: Counter[str] = Counter()

    def write(key: int) -> None:
        client, number = Client(servers), 0
        while time.monotonic() < end:
            number += 1
            if random.random() < 0.5:
                client.ask("PATCH", f"/api/counters/{key}", {"number": number})
            else:
                client.ask("POST", f"/add/{key}")
            acknowledged[key] = number
            time.sleep(random.random() * 0.1)  # so that there is something to keep

    def read(_: int) -> None:
        client = Client(servers)
        while time.monotonic() < end:
            key = random.choice(KEYS)
            path = random.choice((f"/api/counters/{key}", f"/own/{key}"))
            least = acknowledged[key]
            found = client.ask("GET", path)["number"]
            if found < least:
                faults.append(f"{path} was {found} after {least}")
        outcomes.update(client.outcomes)

    with ThreadPoolExecutor(len(KEYS) + READERS) as pool:
        jobs = [pool.submit(write, key) for key in KEYS]
        jobs += [pool.submit(read, number) for number in range(READERS)]
        for job in jobs:
            job.result()
    assert faults == []
    # Else nothing was tried.
    assert outcomes["hit"] > 0
    assert min(acknowledged.values()) > 3
