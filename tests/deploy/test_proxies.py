"""CARBOY_TRUSTED_PROXIES: who the client is, on either way of a request and for commands."""

from __future__ import annotations

from pathlib import Path

import flask
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from carboy import OPEN, Carboy
from carboy.cli import main
from tests.integration.notes import Note, Notes


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    """A database with a note, to make applications over."""
    return Notes(tmp_path)


def client(notes: Notes, proxies: int, way: int) -> FlaskClient:
    """A client of an application that counts one request of an address, and shows who asks."""
    app = flask.Flask("notes")
    app.config["CARBOY_TRUSTED_PROXIES"] = proxies
    app.config["CARBOY_RATE_LIMIT"] = "1/hour"
    app.config["CARBOY_DIRECT_READS"] = way
    Carboy(app, notes.engine, policy=OPEN).resource(Note)
    app.add_url_rule("/seen", view_func=lambda: [flask.request.remote_addr, flask.request.scheme])
    return app.test_client()


def statuses(asking: FlaskClient, *forwarded: str) -> list[int]:
    """What requests with these entries are answered."""
    return [
        asking.get("/api/notes", headers={"X-Forwarded-For": each}).status_code
        for each in forwarded
    ]


@pytest.mark.parametrize("way", [1, 0], ids=["direct", "dispatched"])
def test_the_proxies_own_entries_count(notes: Notes, way: int) -> None:
    """As many as there are, from the end; what a client has put before them doesn't."""
    one, two = client(notes, 1, way), client(notes, 2, way)
    assert statuses(one, "192.0.2.1", "192.0.2.2", "203.0.113.9, 192.0.2.2") == [200, 200, 429]
    chain = "203.0.113.9, 192.0.2.1, 10.0.0.1"
    assert statuses(two, "192.0.2.1, 10.0.0.1", chain, "192.0.2.3, 10.0.0.1") == [200, 429, 200]
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    assert one.get("/seen", headers=headers).get_json() == ["192.0.2.7", "https"]


@pytest.mark.parametrize("way", [1, 0], ids=["direct", "dispatched"])
def test_without_the_setting_claims_count_for_nothing(notes: Notes, way: int) -> None:
    """All are the address that the connection comes from."""
    asking = client(notes, 0, way)
    assert statuses(asking, "192.0.2.1", "192.0.2.2") == [200, 429]
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    assert asking.get("/seen", headers=headers).get_json() == ["127.0.0.1", "http"]


@pytest.mark.parametrize(("proxies", "allowed"), [("0", "yes"), ("1", "no")])
def test_a_loopback_address_behind_a_proxy_is_closed(
    notes: Notes, proxies: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes through the proxy isn't on this machine."""
    monkeypatch.setenv("CARBOY_TRUSTED_PROXIES", proxies)
    asked = CliRunner().invoke(
        main, ["can", str(notes.engine.url.database), "anonymous", "read", "notes"]
    )
    assert asked.output.startswith(allowed), asked.output
