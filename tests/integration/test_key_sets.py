"""Key sets of an issuer, by file and by HTTP: keys come and go, and servers stall."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask
from flask.testing import FlaskClient

from carboy import Carboy, SettingError
from carboy.errors import Unauthorized, Unavailable
from carboy.identify import key_set
from carboy.identify.key_set import KeySet
from tests.unit.identify.issuer import PRIVATE, jwk, pem, token


class Issuer:
    """What a server of a key set answers; ``asked`` is how often it was."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self._keys
        self.keys: list[Any] = []
        self.url = ""

    def _keys(self, request: BaseHTTPRequestHandler) -> None:
        body = json.dumps({"keys": self.keys}).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A server on a port of its own."""
    made = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            made.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/keys"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def stalled() -> Iterator[str]:
    """The URL of a server that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys"


def client_of(jwks: str) -> FlaskClient:
    """A client of an application that trusts the issuer of a key set."""
    app = Flask("issued")
    app.config["CARBOY_JWT_JWKS"] = jwks
    Carboy(app, sa.create_engine("sqlite://"))
    return app.test_client()


def bearer(text: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {text}"}


def test_tokens_by_each_key_of_a_set_are_taken(issuer: Issuer) -> None:
    """Keys of all kinds in one set, fetched once, each found by its name."""
    issuer.keys = [jwk(private, kid=name) for name, private in PRIVATE.items()]
    client = client_of(issuer.url)
    assert issuer.asked == 0
    for name in PRIVATE:
        assert client.get("/api", headers=bearer(token(name, kid=name))).status_code == 200
    assert issuer.asked == 1


def test_a_token_by_another_key_than_it_names_is_refused(issuer: Issuer) -> None:
    """A name of another algorithm's key, a name of nobody's, and no name among several."""
    issuer.keys = [jwk(private, kid=name) for name, private in PRIVATE.items()]
    client = client_of(issuer.url)
    for text in (
        token("RS256", kid="ES256"),
        token("RS256", rsa.generate_private_key(65537, 2048), kid="RS256"),
        token("RS256", kid="nobody"),
        token("RS256"),
        token("HS256", pem(PRIVATE["RS256"]).replace("-", "_"), kid="RS256"),
    ):
        response = client.get("/api", headers=bearer(text))
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_the_only_key_needs_no_name(issuer: Issuer) -> None:
    """With one usable key in the set, a token may leave out kid; a wrong one is refused still."""
    shared = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I", "kid": "shared"}
    for_encryption = jwk(PRIVATE["RS256"], kid="other", use="enc")
    weak = jwk(ec.generate_private_key(ec.SECP384R1()), kid="weak")
    broken = [{"kty": "RSA", "n": 5, "e": "AQAB"}, {"kty": "EC"}, {"kty": ["x"]}, {}, 7, None]
    issuer.keys = [shared, for_encryption, weak, *broken, jwk(PRIVATE["ES256"], kid="it")]
    keys = KeySet(issuer.url)
    assert keys.find(None, "ES256").kid == "it"
    for kid, algorithm in (("no", "ES256"), ("it", "RS256"), ("shared", "HS256")):
        with pytest.raises(Unauthorized):
            keys.find(kid, algorithm)


def test_a_key_for_another_algorithm_than_its_kind_is_no_use(issuer: Issuer) -> None:
    """A set that says HS256 of a public key doesn't make it a secret."""
    issuer.keys = [jwk(PRIVATE["RS256"], kid="it", alg="HS256")]
    keys = KeySet(issuer.url)
    for algorithm in ("HS256", "RS256"):
        with pytest.raises(Unavailable):
            keys.find("it", algorithm)


def test_a_rotated_key_is_fetched_when_a_token_names_it(issuer: Issuer) -> None:
    """A new name makes it fetch the set anew; then the withdrawn key is refused."""
    old, new = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    issuer.keys = [jwk(old, kid="old")]
    keys = KeySet(issuer.url, pause=0)
    assert keys.find("old", "RS256").kid == "old"
    issuer.keys = [jwk(new, kid="new")]
    assert keys.find("old", "RS256").kid == "old"
    assert keys.find("new", "RS256").kid == "new"
    with pytest.raises(Unauthorized):
        keys.find("old", "RS256")


def test_made_up_names_fetch_the_set_once_in_a_while(issuer: Issuer) -> None:
    """Many tokens with unknown names, at the same time: the issuer isn't asked for each."""
    issuer.keys = [jwk(PRIVATE["RS256"], kid="it")]
    client = client_of(issuer.url)
    with ThreadPoolExecutor(8) as pool:
        texts = [bearer(token("RS256", kid=f"made-up-{n}")) for n in range(20)]
        codes = pool.map(lambda h: client.get("/api", headers=h).status_code, texts)
    assert set(codes) == {401}
    assert issuer.asked == 1


def test_a_set_is_fetched_again_when_it_is_old(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A withdrawn key is found out by time alone; until then the issuer isn't asked."""
    issuer.keys = [jwk(PRIVATE["RS256"], kid="it"), jwk(PRIVATE["ES256"], kid="other")]
    keys = KeySet(issuer.url, pause=0)
    for _ in range(3):
        keys.find("it", "RS256")
    assert issuer.asked == 1
    issuer.keys.pop(0)
    monkeypatch.setattr(key_set, "_KEPT_SECONDS", 0)
    with pytest.raises(Unauthorized):
        keys.find("it", "RS256")


def _refuse(request: BaseHTTPRequestHandler) -> None:
    request.send_error(500)


def _redirect(request: BaseHTTPRequestHandler) -> None:
    request.send_response(302)
    request.send_header("Location", "/elsewhere")
    request.end_headers()


def _say(body: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        _refuse,
        _redirect,
        _say(b""),
        _say(b"<html>"),
        _say(b"[]"),
        _say(b'{"keys": 7}'),
        _say(b'{"keys": []}'),
        _say(b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'),
        _say(b"[" * 100_000),
        _say(b" " * 2**21),
    ],
)
def test_an_issuer_without_keys_is_a_503(
    issuer: Issuer, answer: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    """Whatever it answers in the place of keys: nobody can tell who asks, and that isn't a 401."""
    issuer.answer = answer
    response = client_of(issuer.url).get("/api", headers=bearer(token("RS256", kid="it")))
    assert response.status_code == 503
    assert response.json is not None
    assert "CARBOY_JWT_JWKS" in response.json["detail"]
    assert response.headers["Retry-After"] == "30"
    assert issuer.asked == 1


def test_the_old_keys_serve_while_the_issuer_is_away(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known names are taken as before, unknown ones are a 503; but not for ever."""
    issuer.keys = [jwk(PRIVATE["RS256"], kid="it")]
    keys = KeySet(issuer.url, pause=0)
    keys.find("it", "RS256")
    issuer.answer = _refuse
    monkeypatch.setattr(key_set, "_KEPT_SECONDS", 0)
    assert keys.find("it", "RS256").kid == "it"
    with pytest.raises(Unavailable):
        keys.find("new", "RS256")
    monkeypatch.setattr(key_set, "_LONGEST_SECONDS", 0)
    with pytest.raises(Unavailable):
        keys.find("it", "RS256")
    issuer.answer = issuer._keys
    monkeypatch.setattr(key_set, "_LONGEST_SECONDS", 60)
    assert keys.find("it", "RS256").kid == "it"


def test_a_stalled_issuer_is_given_up_on() -> None:
    """Requests at the same time all get their 503 soon, and those after them at once."""
    with stalled() as url:
        keys = KeySet(url, timeout=0.3)

        def ask(_: int) -> None:
            with pytest.raises(Unavailable):
                keys.find("it", "RS256")

        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(8)))
        assert time.monotonic() - started < 2
        started = time.monotonic()
        ask(0)
        assert time.monotonic() - started < 0.2


def test_an_issuer_that_trickles_is_given_up_on(issuer: Issuer) -> None:
    """A byte now and then keeps no request waiting longer than the time that is set."""
    ended = threading.Event()

    def trickle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not ended.wait(0.05):
            request.wfile.write(b" ")

    issuer.answer = trickle
    started = time.monotonic()
    try:
        with pytest.raises(Unavailable):
            KeySet(issuer.url, timeout=0.3).find("it", "RS256")
    finally:
        ended.set()
    assert time.monotonic() - started < 2


def test_a_file_is_read_and_read_again(tmp_path: Path) -> None:
    """A set in a file works as one from an issuer; what can't be used is found at the start."""
    file = tmp_path / "keys.json"
    with pytest.raises(SettingError, match=r"CARBOY_JWT_JWKS: .*keys\.json can't be used"):
        client_of(str(file))
    file.write_text('{"keys": []}')
    with pytest.raises(SettingError, match="none of its keys is for RS256, ES256, EdDSA"):
        client_of(str(file))
    file.write_text(json.dumps({"keys": [jwk(PRIVATE["RS256"], kid="old")]}))
    keys = KeySet(str(file), pause=0)
    assert keys.find("old", "RS256").kid == "old"
    file.write_text(json.dumps({"keys": [jwk(PRIVATE["ES256"], kid="new")]}))
    assert keys.find("new", "ES256").kid == "new"
