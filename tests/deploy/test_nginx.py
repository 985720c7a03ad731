"""deploy/nginx/carboy.conf in a real nginx, in front of two real instances of an application."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from carboy import errors
from carboy.settings import Settings
from tests.acceptance.test_serve import START_SECONDS, Server, serving
from tools.beside import nginx
from tools.servers import free_port

CONF = Path(__file__).parents[2] / "deploy" / "nginx" / "carboy.conf"
APP = """
import time
from pathlib import Path

import sqlalchemy as sa
from flask import Flask, Response, request
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


@app.get("/seen")
def seen():
    return {"address": request.remote_addr, "url": request.url}


@app.get("/stream")
def stream():
    def parts():
        yield b"first\\n"
        while not Path("go").exists():
            time.sleep(0.02)
        yield b"last\\n"

    return Response(parts(), headers={"X-Accel-Buffering": "no"})
"""
MANY = 1_000_000


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Site:
    """nginx, and the ports of the instances behind it."""

    folder: Path
    tls: int
    plain: int
    ports: tuple[int, int]

    def connect(self, address: str = "127.0.0.1") -> http.client.HTTPSConnection:
        """A connection from an address of this machine."""
        context = ssl._create_unverified_context()  # noqa: S323  the certificate is made for a test
        return http.client.HTTPSConnection(
            "127.0.0.1",
            self.tls,
            timeout=START_SECONDS,
            context=context,
            source_address=(address, 0),
        )

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        address: str = "127.0.0.1",
        **headers: str,
    ) -> Answer:
        """The answer to one request; headers are named with underscores."""
        connection = self.connect(address)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


def replaced(text: str, old: str, new: str) -> str:
    """The text with what stands in it, once, replaced."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The file as it is, but for its ports and its certificate; nothing is behind it yet."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "notes.py").write_text(APP)
    made = Site(folder, free_port(), free_port(), (free_port(), free_port()))
    text = CONF.read_text()
    for old, new in (
        ("127.0.0.1:8001", f"127.0.0.1:{made.ports[0]}"),
        ("127.0.0.1:8002", f"127.0.0.1:{made.ports[1]}"),
        ("listen 80;", f"listen 127.0.0.1:{made.plain};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{made.tls} ssl"),
        ("/etc/letsencrypt/live/api.example.com/fullchain.pem", "certificate.pem"),
        ("/etc/letsencrypt/live/api.example.com/privkey.pem", "key.pem"),
    ):
        text = replaced(text, old, new)
    with nginx(text, made.tls):
        yield made


class Up:
    """The instances that run, by their ports."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self.site, self._stack = site, stack
        self.running = {port: self._start(port) for port in site.ports}

    def _start(self, port: int) -> Server:
        started = serving("notes:app", "--threads", "1", folder=self.site.folder, port=port)
        return self._stack.enter_context(started)

    def restart(self, port: int) -> None:
        """As systemd does: the new one is there before this returns."""
        assert self.running[port].stop() == 0
        self.running[port] = self._start(port)


@pytest.fixture(scope="module")
def instances(site: Site) -> Iterator[Up]:
    """Both instances, each of one thread."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("CARBOY_TRUSTED_PROXIES", "1")
        patch.setenv("CARBOY_RATE_LIMIT", f"{MANY}/hour")
        yield Up(site, stack)


@pytest.fixture
def up(instances: Up) -> Site:
    """The site with its instances."""
    return instances.site


def test_while_no_instance_runs_the_answer_is_a_problem(site: Site) -> None:
    """A 503 of the form of Carboy's own, which says when to come back."""
    answer = site.ask("/api/notes")
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Content-Type"] == "application/problem+json"
    expected = errors.Unavailable
    assert answer.json["type"] == f"urn:carboy:error:{expected.code}"
    assert (answer.json["title"], answer.json["status"]) == (expected.title, 503)
    assert answer.json["error"] == answer.json["detail"]


def test_an_application_sees_the_clients_address_and_scheme(up: Site) -> None:
    """Not nginx's, and not what a client claims."""
    for address in ("127.0.0.1", "127.0.0.2"):
        seen = up.ask(
            "/seen",
            address=address,
            Host="api.example.com",
            X_Forwarded_For="203.0.113.9",
            X_Forwarded_Proto="http",
        ).json
        assert seen == {"address": address, "url": "https://api.example.com/seen"}


def test_each_client_has_a_limit_of_its_own(up: Site) -> None:
    """Of three requests from one address at least two met the same instance; claims don't help."""

    def left(address: str, claim: str) -> int:
        answer = up.ask("/api/notes", address=address, X_Forwarded_For=claim)
        return int(answer.headers["RateLimit"].partition(";r=")[2].partition(";")[0])

    assert left("127.0.0.3", "203.0.113.1") == MANY - 1
    assert left("127.0.0.4", "203.0.113.1") == MANY - 1
    assert min(left("127.0.0.5", f"203.0.113.{n}") for n in range(3)) < MANY - 1


def test_plain_http_is_sent_to_https(up: Site) -> None:
    """And https tells browsers to stay there."""
    connection = http.client.HTTPConnection("127.0.0.1", up.plain, timeout=START_SECONDS)
    connection.request("GET", "/api/notes?limit=1", headers={"Host": "api.example.com"})
    response = connection.getresponse()
    assert response.status == 308
    assert response.headers["Location"] == "https://api.example.com/api/notes?limit=1"
    connection.close()
    assert "max-age=" in up.ask("/api/notes").headers["Strict-Transport-Security"]


def test_bodies_are_let_in_up_to_carboys_own_limit(up: Site) -> None:
    """What is as large as the setting is stored; one byte more is a 413 of Carboy's form."""
    limit = Settings().max_body_bytes
    body = b'{"text": "large"}'
    assert up.ask("/api/notes", "POST", body.ljust(limit)).status == 201
    expected = errors.PayloadTooLarge
    connection = up.connect()
    connection.putrequest("POST", "/api/notes")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(limit + 1))
    connection.endheaders()
    response = connection.getresponse()
    problem = json.loads(response.read())
    connection.close()
    assert response.status == 413
    assert problem["type"] == f"urn:carboy:error:{expected.code}"
    assert (problem["title"], problem["status"]) == (expected.title, 413)


def test_the_longest_query_string_is_carboys_to_judge(up: Site) -> None:
    """nginx passes on what Carboy takes, and a byte more, which Carboy refuses by itself."""
    longest = Settings().max_url_length
    for length in (longest, longest + 1):
        answer = up.ask("/api/notes?text=eq.".ljust(length + len("/api/notes?"), "x"))
        assert answer.status == (200 if length == longest else 400), answer.body


def test_slow_bodies_hold_up_no_thread(up: Site) -> None:
    """More clients than threads have sent a part of their bodies; others are answered."""
    head = (
        b"POST /api/notes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 500\r\n\r\n{"
    )
    context = ssl._create_unverified_context()  # noqa: S323
    with ExitStack() as stack:
        for _ in range(6):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", up.tls)))
            stack.enter_context(context.wrap_socket(plain)).sendall(head)
        for _ in range(4):
            assert up.ask("/api/notes").status == 200


def test_gzip_keeps_the_version_that_edits_need(up: Site) -> None:
    """An answer is compressed for whoever takes it, and its ETag still serves If-Match."""
    text = json.dumps({"text": "much " * 1000}).encode()
    path = up.ask("/api/notes", "POST", text).headers["Location"]
    plain = up.ask(path)
    answer = up.ask(path, Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.body) < 1000
    assert gzip.decompress(answer.body) == plain.body
    assert "Accept-Encoding" in ",".join(answer.headers.get_all("Vary") or [])
    tag = answer.headers["ETag"]
    assert tag == f"W/{plain.headers['ETag']}"
    assert up.ask(path, Accept_Encoding="gzip", If_None_Match=tag).status == 304
    assert up.ask(path, "PATCH", b'{"text": "new"}', If_Match=tag).status == 200
    assert up.ask(path, "PATCH", b'{"text": "newer"}', If_Match=tag).status == 412


def test_what_is_streamed_arrives_in_parts(up: Site) -> None:
    """With X-Accel-Buffering: no, nginx holds nothing back."""
    connection = up.connect()
    connection.request("GET", "/stream")
    response = connection.getresponse()
    assert response.readline() == b"first\n"
    (up.folder / "go").touch()
    assert response.read() == b"last\n"
    connection.close()


def test_health_is_for_this_machine(up: Site) -> None:
    """Checks on the machine see it, others don't."""
    assert up.ask("/health/live").status == 200
    assert up.ask("/health/live", address="127.0.0.2").status == 403


def test_an_instance_after_the_other_restarts_unnoticed(instances: Up) -> None:
    """No read is refused; writes that are sent again by their key are neither lost nor doubled."""
    site, stop = instances.site, threading.Event()
    refused, written = list[Answer](), list[str]()

    def write(text: str) -> Answer:
        """As a client that tries again where an instance ended with the write in its hands."""
        body, key = json.dumps({"text": text}).encode(), text.replace(" ", "-")
        for _ in range(50):
            answer = site.ask("/api/notes", "POST", body, Idempotency_Key=key)
            if answer.status not in (409, 503):
                break
            time.sleep(0.1)
        return answer

    def work(name: int) -> None:
        while not stop.wait(0.1):
            text = f"restart {name} {len(written)}"
            answers = (site.ask("/api/notes?limit=1"), write(text))
            refused.extend(each for each in answers if each.status not in (200, 201))
            written.append(text)

    clients = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for client in clients:
        client.start()
    try:
        for port in site.ports:
            instances.restart(port)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert refused == []
    rows = site.ask("/api/notes?text=like.restart*&select=text&limit=1000").json["data"]
    assert sorted(row["text"] for row in rows) == sorted(written)
    assert len(written) > 2
