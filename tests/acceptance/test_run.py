"""`python -m examples`, which `make run` calls, as a process of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine, func, select, table

from tools.servers import free_port

ROOT = Path(__file__).parents[2]
ROWS = {"blog": ("posts", 5000), "cars": ("cars", 200), "quickstart": ("users", 8)}
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``python -m examples`` with an environment; what still runs at the end is ended."""
    started = []

    def run(**environment: object) -> subprocess.Popen[str]:
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            [sys.executable, "-m", "examples"],
            cwd=ROOT,
            env=variables | {name: str(value) for name, value in environment.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A terminal sends Ctrl-C to a whole group of processes, and so do the tests.
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def printed_urls(process: subprocess.Popen[str]) -> list[str]:
    """The URLs that the process prints when it serves."""
    assert process.stdout
    assert "Worth opening" in process.stdout.readline()
    urls = []
    while (line := process.stdout.readline()).startswith("  http"):
        urls.append(line.strip())
    assert "Ctrl-C" in line
    return urls


def get(url: str) -> str:
    """The body of a page, which may be a moment in coming up."""
    parts = urlsplit(url)
    for _ in range(100):
        connection = HTTPConnection(parts.netloc, timeout=10)
        with closing(connection), suppress(ConnectionRefusedError):
            connection.request("GET", f"{parts.path}?{parts.query}")
            response = connection.getresponse()
            assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
            return response.read().decode()
        time.sleep(0.1)
    raise AssertionError(f"{url} doesn't answer")


def post(url: str, row: dict[str, object], headers: dict[str, str]) -> int:
    """The status that a row is answered with."""
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=10)) as connection:
        headers = {"Content-Type": "application/json", **headers}
        connection.request("POST", parts.path, json.dumps(row), headers)
        return connection.getresponse().status


def stop(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Send SIGTERM, or what Ctrl-C sends; what the process said, once it has left with 0."""
    if number is signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    said = "".join(process.communicate(timeout=60))
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return said


def rows(url: str, name: str) -> int:
    """How many rows a table has."""
    engine = create_engine(url)
    with engine.connect() as connection:
        count = connection.scalar(select(func.count()).select_from(table(name))) or 0
    engine.dispose()
    return count


# MariaDB's part, the migrations and the models, is in tests/examples/test_migrations.py.
@pytest.mark.parametrize(
    ("example", "database_url"),
    [("blog", "sqlite"), ("blog", "postgresql"), ("cars", "postgresql"), ("quickstart", "sqlite")],
    indirect=["database_url"],
)
def test_an_example_is_filled_and_served(start: Start, database_url: str, example: str) -> None:
    """Each printed URL answers JSON; the second start finds the database filled, and is quick."""
    name, count = ROWS[example]
    for number in (signal.SIGTERM, signal.SIGINT):
        began = time.monotonic()
        process = start(EXAMPLE=example, PORT=free_port(), DATABASE_URL=database_url)
        urls = printed_urls(process)
        assert len(urls) >= 3
        for url in urls:
            assert len(get(url)) > 40
        took = time.monotonic() - began
        said = stop(process, number)
        assert ("Making sample data" in said) == (number is signal.SIGTERM)
        assert rows(database_url, name) == count
    assert took < 20


def test_an_interrupted_fill_leaves_nothing(start: Start, tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves no rows behind, and the next start fills the database."""
    file = tmp_path / "blog.sqlite"
    process = start(DATABASE_URL=f"sqlite:///{file}", PORT=free_port())
    assert process.stderr
    while "Making sample data" not in (line := process.stderr.readline()):
        assert line
    stop(process, signal.SIGINT)
    assert rows(f"sqlite:///{file}", "posts") == 0
    process = start(DATABASE_URL=f"sqlite:///{file}", PORT=free_port())
    printed_urls(process)
    assert rows(f"sqlite:///{file}", "posts") == 5000
    stop(process, signal.SIGTERM)


def test_the_fill_is_the_same_each_time(start: Start, tmp_path: Path) -> None:
    """Two databases get the same rows, keys and dates included; but for the API key."""
    contents = []
    for name in ("one", "two"):
        file = tmp_path / name
        process = start(DATABASE_URL=f"sqlite:///{file}", PORT=free_port())
        printed_urls(process)
        stop(process, signal.SIGTERM)
        with sqlite3.connect(file) as connection:
            dump = sorted(connection.iterdump())
            contents.append([line for line in dump if "carboy_api_keys" not in line])
        connection.close()
    assert contents[0] == contents[1]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("example", "path", "row"),
    [
        ("blog", "/api/tags", {"name": "loaves"}),
        ("cars", "/cars", {"name": "Orchard", "model": "Pippin", "doors": 5}),
    ],
)
def test_writing_takes_a_key(
    start: Start, database_url: str, example: str, path: str, row: dict[str, object]
) -> None:
    """The first start prints a key that may write; a later one prints how to make another."""
    port = free_port()
    variables = {"EXAMPLE": example, "PORT": port, "DATABASE_URL": database_url}
    process = start(**variables)
    url = f"{printed_urls(process)[0].partition(str(port))[0]}{port}{path}"
    assert process.stdout
    process.stdout.readline()
    header, _, credential = process.stdout.readline().strip().partition(": ")
    assert post(url, row, {}) == 401
    assert post(url, row, {header: credential}) == 201
    stop(process, signal.SIGTERM)
    again = start(**variables)
    printed_urls(again)
    assert again.stdout
    assert again.stdout.readline() == "To write, make a key:\n"
    command = shlex.split(again.stdout.readline().partition("carboy keys ")[2])
    assert "carboy_" not in stop(again, signal.SIGTERM)
    made = subprocess.run(
        [sys.executable, "-c", "from carboy.cli import main; main()", "keys", *command],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"carboy_[0-9a-f]{12}_\S{43}\n", made.stdout)


def test_an_application_of_ones_own_keeps_its_rows(start: Start, tmp_path: Path) -> None:
    """A database that has rows is served as it is."""
    file = tmp_path / "own.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, email TEXT)")
        connection.execute("INSERT INTO users VALUES (1, 'me', 'me@example.com')")
    connection.close()
    port = free_port()
    process = start(DATABASE_URL=f"sqlite:///{file}", PORT=port, EXAMPLE="quickstart")
    printed_urls(process)
    assert '"me@example.com"' in get(f"http://127.0.0.1:{port}/users/1")
    stop(process, signal.SIGTERM)
    assert rows(f"sqlite:///{file}", "users") == 1


def test_a_taken_port_is_one_clear_line(start: Start, tmp_path: Path) -> None:
    """The message names the port, and the database isn't touched."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = start(PORT=port, DATABASE_URL=f"sqlite:///{tmp_path / 'blog.sqlite'}")
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith(f"PORT={port}: ")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PORT": "http"}, "PORT=http: a port is a number from 1 to 65535"),
        ({"PORT": "0"}, "PORT=0: a port is a number from 1 to 65535"),
        ({"PORT": "70000"}, "PORT=70000: a port is a number from 1 to 65535"),
        ({"EXAMPLE": "shop"}, "EXAMPLE=shop: the examples are blog, cars, quickstart"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL: "),
        ({"DATABASE_URL": "sqlite:////nowhere/at/all.sqlite"}, "unable to open database file"),
        ({"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/x"}, "127.0.0.1:1/x"),
    ],
)
def test_a_wrong_variable_is_one_clear_message(
    start: Start, environment: dict[str, str], message: str
) -> None:
    """It names what is wrong, with no traceback and no password."""
    process = start(**({"PORT": free_port()} | environment))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert message in said
    assert "Traceback" not in said
    assert "secret" not in said
