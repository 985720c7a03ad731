"""What is compared: WSGI applications, each in a granian of its own."""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import socket

import jwt
from msgspec import Struct

from ..scenarios import POLICY, Scenario

ROOT = Path(__file__).parents[2]
TIMEOUT = 30
"""Seconds that a peer may take to start or to stop."""


class Peer(Struct, frozen=True, eq=False):
    """A WSGI application that answers the scenarios.

    ``paths`` has the paths of the scenarios that it answers elsewhere than they say. It finds its
    database in DATABASE_URL, and in THREADS how many connections it may need.
    """

    name: str
    title: str
    app: str
    paths: Mapping[str, str] = {}

    def path(self, scenario: Scenario) -> str:
        """Where this peer answers a scenario."""
        return self.paths.get(scenario.name, scenario.path)


FLOOR = Peer("floor", "Floor: bare WSGI and psycopg", "benchmarks.peers.floor:app")
_LIST = (
    "/api/posts?select=id,title,created_at,author(id,username),category(id,name),tags(id,name)"
    "&order=created_at.desc,id.desc&limit=20"
)
CARBOY = Peer(
    "carboy",
    "Carboy",
    "benchmarks.peers.carboy_app:app",
    {"list": _LIST, "one": "/api/users/{key}"},
)
GUIDE = Peer("guide", "The guides' code, eager loading", "benchmarks.peers.guide:app")
PEERS = (FLOOR, CARBOY, GUIDE)

_FILTERS = (
    f"&or=(published.is.true,author_id.eq.{POLICY.actor})"
    f"&author.or=(is_active.is.true,id.eq.{POLICY.actor})"
)
BY_HAND = Peer(
    "by-hand",
    "Carboy, the same filters in the URL",
    "benchmarks.peers.policy:by_hand",
    {"policy": _LIST + _FILTERS},
)
LIMITED = Peer(
    "policy", "Carboy, row policies", "benchmarks.peers.policy:limited", {"policy": _LIST}
)

SECRET = secrets.token_hex(32)
"""What tokens are signed with, in this run."""


def headers(scenario: Scenario) -> dict[str, str]:
    """What a scenario's requests say of who asks."""
    if scenario.actor is None:
        return {}
    claims = {"sub": str(scenario.actor), "exp": int(time.time()) + 24 * 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


class PeerFailed(Exception):
    """A peer didn't start; the message has what it said."""


class Workers(Struct, frozen=True):
    """How each peer is served: the same for all."""

    processes: int
    threads: int


@contextmanager
def serving(peer: Peer, database_url: str, workers: Workers) -> Iterator[str]:
    """Serve a peer on a free port of 127.0.0.1; yields its URL. Raises PeerFailed."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--http", "1",
        "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning",
        "--workers", str(workers.processes), "--blocking-threads", str(workers.threads), peer.app,
    ]  # fmt: skip
    environment = {
        "DATABASE_URL": database_url,
        "THREADS": str(workers.threads),
        "JWT_SECRET": SECRET,
    }
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        try:
            if not _answers(port, server):
                log.seek(0)
                raise PeerFailed(f"{peer.title} ({peer.app}) didn't start:\n{log.read().strip()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(TIMEOUT)
    # A granian that has to end while it still starts leaves its workers behind.
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _answers(port: int, server: subprocess.Popen[bytes]) -> bool:
    """Whether there comes an answer of any kind before the time is up."""
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/users/1")
            connection.getresponse()
        except OSError:
            time.sleep(0.05)
        else:
            return True
        finally:
            connection.close()
    return False
