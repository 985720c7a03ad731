"""Bodies and limits on real servers: granian, and Flask's own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tools.servers import free_port

from .test_serve import START_SECONDS, environment, serving

APP = """
import os
import sqlalchemy as sa
from flask import Flask
from carboy import OPEN, Carboy

engine = sa.create_engine("sqlite:///notes.sqlite")
metadata = sa.MetaData()
notes = sa.Table(
    "notes", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text)
)
metadata.create_all(engine)
app = Flask(__name__)
app.config.from_prefixed_env()
Carboy(app, engine, policy=OPEN).resource(notes)
"""
HEAD = b"POST /api/notes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"text":"a"}'
LIMIT = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an application with one table."""
    (tmp_path / "notes.py").write_text(APP)
    return tmp_path


@contextmanager
def granian(folder: Path) -> Iterator[int]:
    """The application on two threads of granian."""
    with serving("notes:app", "--threads", "2", folder=folder) as server:
        yield int(server.url.rpartition(":")[2])


@contextmanager
def werkzeug(folder: Path) -> Iterator[int]:
    """The application on Flask's server for development."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "notes", "run", "--port", str(port)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline and process.poll() is None:
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def status(port: int, sent: bytes, *, shut: bool = False) -> int:
    """What raw bytes are answered; ``shut`` ends the sending after them."""
    with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as client:
        client.sendall(sent)
        if shut:
            client.shutdown(socket.SHUT_WR)
        line = client.makefile("rb").readline()
    return int(line.split()[1])


def with_length(body: bytes, length: int | None = None) -> bytes:
    """A request with a Content-Length, which may lie."""
    stated = len(body) if length is None else length
    return HEAD + b"Content-Length: %d\r\n\r\n" % stated + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A request without a Content-Length."""
    parts = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + parts + end


def padded(size: int) -> bytes:
    """JSON of a size, whole long before it ends."""
    return BODY + b" " * (size - len(BODY))


@pytest.mark.parametrize("server", [granian, werkzeug])
def test_bodies_are_bounded_however_they_are_sent(
    folder: Path, server: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit a body is taken, above it it's a 413, and cut off it's a 400."""
    monkeypatch.setenv("FLASK_CARBOY_MAX_BODY_BYTES", str(LIMIT))
    with server(folder) as port:
        assert status(port, with_length(padded(LIMIT))) == 201
        assert status(port, with_length(padded(LIMIT + 1))) == 413
        assert status(port, with_length(b"", 10**12)) == 413
        assert status(port, chunked(BODY)) == 201
        assert status(port, chunked(padded(LIMIT)[:400], padded(LIMIT)[400:])) == 201
        # What is within the limit would be valid by itself.
        assert status(port, chunked(padded(LIMIT), b" ")) == 413
        assert status(port, chunked(*[padded(LIMIT)] * 50)) == 413
        assert status(port, with_length(BODY, 500), shut=True) == 400
        assert status(port, with_length(BODY, len(BODY) - 1)) == 400
        assert status(port, chunked(BODY[:-1], end=b""), shut=True) == 400
        assert status(port, with_length(BODY)) == 201


def test_a_slow_body_holds_up_nobody_else_and_ends_with_its_client(folder: Path) -> None:
    """It takes one thread of two; with its client gone both are free, and nothing was written."""
    with granian(folder) as port:
        assert status(port, with_length(BODY)) == 201
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.sendall(with_length(BODY, 500))
                assert status(port, with_length(BODY)) == 201
        with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as client:
            client.sendall(b"GET /api/notes HTTP/1.0\r\n\r\n")
            answer = client.makefile("rb").read()
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["data"]) == 4


def test_processes_share_a_limit_in_redis(
    folder: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers, with two processes each, let as many requests pass as one."""
    monkeypatch.setenv("FLASK_CARBOY_RATE_LIMIT", "7/hour")
    monkeypatch.setenv("FLASK_CARBOY_RATE_LIMIT_STORAGE", f"{redis_url[:-1]}1")
    statuses = []
    with ExitStack() as stack:
        started = [
            stack.enter_context(serving("notes:app", "--workers", "2", folder=folder))
            for _ in range(2)
        ]
        for turn in range(12):
            try:
                started[turn % 2].get("/api/notes")
                statuses.append(200)
            except HTTPError as error:
                with error:
                    statuses.append(error.code)
    assert statuses == [200] * 7 + [429] * 5
