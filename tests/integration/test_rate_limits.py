"""Rate limits, counted in memory and in a real Redis, with Redis stalled or gone."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

from carboy import OPEN, Carboy
from carboy.access import ANONYMOUS, Actor
from carboy.edge import Edge, counters, make_edge
from carboy.errors import TooManyRequests, Unauthorized
from carboy.settings import SettingError, read_settings
from tools import servers

from .notes import Note, Notes


@pytest.fixture(params=["memory", "redis"])
def storage(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where requests are counted, empty."""
    if request.param == "memory":
        yield "memory://"
    else:
        url = request.getfixturevalue("redis_url")
        with redis.Redis.from_url(url) as client:
            client.flushall()
        yield url


def statuses(client: FlaskClient, count: int, **how: Any) -> list[int]:
    """The statuses of equal requests, one after another."""
    how = {"path": "/api/notes", "method": "GET", **how}
    return [client.open(**how).status_code for _ in range(count)]


def left(response: TestResponse) -> list[int]:
    """What each limit leaves."""
    return [int(number) for number in re.findall(r";r=(\d+)", response.headers["RateLimit"])]


def test_the_request_above_the_limit_is_refused(notes: Notes, way: int, storage: str) -> None:
    """The answer says so as a problem, and when to come back."""
    client = notes.client(
        CARBOY_RATE_LIMIT="2/hour", CARBOY_RATE_LIMIT_STORAGE=storage, CARBOY_DIRECT_READS=way
    )
    assert statuses(client, 2) == [200, 200]
    refused = client.get("/api/notes")
    assert refused.status_code == 429
    document = refused.get_json()
    assert document["type"] == "urn:carboy:error:too-many-requests"
    seconds = int(refused.headers["Retry-After"])
    assert 0 < seconds <= 2 * 3600
    assert document["detail"] == f"more than 2 requests in 1 hour; try again in {seconds} seconds"
    assert refused.headers["RateLimit-Policy"] == '"requests-3600s";q=2;w=3600'
    assert refused.headers["RateLimit"] == f'"requests-3600s";r=0;t={seconds}'


def test_every_answer_says_what_is_left(notes: Notes, way: int, storage: str) -> None:
    """Errors count and say it as well; each limit has its own number."""
    client = notes.client(
        CARBOY_RATE_LIMIT="9/hour;5/minute",
        CARBOY_RATE_LIMIT_STORAGE=storage,
        CARBOY_DIRECT_READS=way,
    )
    response = client.get("/api/notes")
    policy = '"requests-60s";q=5;w=60, "requests-3600s";q=9;w=3600'
    assert response.headers["RateLimit-Policy"] == policy
    assert left(response) == [4, 8]
    assert left(client.head("/api/notes/1")) == [3, 7]
    assert left(client.get("/api/nothing")) == [2, 6]
    assert left(client.options("/api/notes")) == [1, 5]
    assert left(client.post("/api/notes", json={})) == [0, 4]


def test_after_the_wait_there_is_room_again(notes: Notes, storage: str) -> None:
    """Retry-After is kept, and the limit is not lifted before."""
    client = notes.client(CARBOY_RATE_LIMIT="2/second", CARBOY_RATE_LIMIT_STORAGE=storage)
    while client.get("/api/notes").status_code != 429:
        pass
    seconds = int(client.get("/api/notes").headers["Retry-After"])
    assert 1 <= seconds <= 2
    time.sleep(seconds)
    assert client.get("/api/notes").status_code == 200


def test_writes_have_a_limit_of_their_own(notes: Notes, storage: str) -> None:
    """A write counts as a request too; a read doesn't count as a write."""
    client = notes.client(
        CARBOY_RATE_LIMIT="4/hour",
        CARBOY_RATE_LIMIT_WRITES="1/hour",
        CARBOY_RATE_LIMIT_STORAGE=storage,
    )
    first = client.post("/api/notes", json={"text": "new"})
    assert first.status_code == 201
    assert first.headers["RateLimit-Policy"] == (
        '"requests-3600s";q=4;w=3600, "writes-3600s";q=1;w=3600'
    )
    refused = client.patch("/api/notes/1", json={"text": "x"})
    assert refused.status_code == 429
    assert "more than 1 writes in 1 hour" in refused.get_json()["detail"]
    assert statuses(client, 3) == [200, 200, 429]


def test_reads_are_free_where_only_writes_are_limited(notes: Notes) -> None:
    """Then a read has no header about limits."""
    client = notes.client(CARBOY_RATE_LIMIT_WRITES="1/hour")
    assert statuses(client, 5) == [200] * 5
    assert "RateLimit" not in client.get("/api/notes").headers
    assert statuses(client, 2, method="DELETE", path="/api/notes/1") == [204, 429]


def test_each_address_is_counted_alone(notes: Notes, way: int, storage: str) -> None:
    """Of IPv6, all addresses of a /64 are one; an IPv4 address stays itself inside IPv6."""
    client = notes.client(
        CARBOY_RATE_LIMIT="1/hour", CARBOY_RATE_LIMIT_STORAGE=storage, CARBOY_DIRECT_READS=way
    )

    def status(address: str) -> int:
        return client.get("/api/notes", environ_base={"REMOTE_ADDR": address}).status_code

    assert [status("192.0.2.1"), status("192.0.2.2"), status("::ffff:192.0.2.2")] == [200, 200, 429]
    assert [status("2001:db8::1"), status("2001:db8::2"), status("2001:db8:0:1::1")] == [
        200, 429, 200,
    ]  # fmt: skip
    assert status("") == 200


@pytest.mark.parametrize("early", [False, True], ids=["after Carboy", "before Carboy"])
def test_behind_a_proxy_the_clients_address_counts(notes: Notes, early: bool) -> None:
    """Werkzeug's ProxyFix may wrap the application before or after Carboy is added to it."""
    app = Flask("notes")
    app.config["CARBOY_RATE_LIMIT"] = "1/hour"
    if early:
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    Carboy(app, notes.engine, policy=OPEN).resource(Note)
    if not early:
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    client = app.test_client()

    def status(forwarded: str) -> int:
        return client.get("/api/notes", headers={"X-Forwarded-For": forwarded}).status_code

    assert [status("192.0.2.1"), status("192.0.2.1"), status("192.0.2.2")] == [200, 429, 200]
    # What a client claims before the proxy's own entry counts for nothing.
    assert status("198.51.100.9, 192.0.2.2") == 429


def test_views_of_ones_own_arent_limited(notes: Notes) -> None:
    """Only the API's own paths are."""
    client = notes.client(CARBOY_RATE_LIMIT="1/hour")
    assert statuses(client, 3, path="/own") == [200] * 3


# --- actors and credentials ---


def edge(**config: Any) -> Edge:
    """An edge by itself."""
    return make_edge(read_settings(config))


def test_an_actor_is_counted_wherever_it_comes_from(storage: str) -> None:
    """An actor has its limit at any address, and leaves that of the address alone."""
    limited = edge(CARBOY_RATE_LIMIT="1/hour", CARBOY_RATE_LIMIT_STORAGE=storage)

    def admitted(actor: Actor, address: str) -> Actor:
        return limited.admit(lambda: actor, address, "GET")[0]

    admitted(Actor(7), "192.0.2.1")
    with pytest.raises(TooManyRequests):
        admitted(Actor(7), "192.0.2.2")
    for other in (Actor("7"), Actor(8), ANONYMOUS):
        assert admitted(other, "192.0.2.1") is other


def test_guessing_credentials_is_slowed(storage: str) -> None:
    """An address that has sent too many wrong ones isn't heard, even if one is right at last."""
    limited = edge(CARBOY_RATE_LIMIT="3/hour", CARBOY_RATE_LIMIT_STORAGE=storage)

    def wrong() -> Actor:
        raise Unauthorized("no such key")

    for _ in range(3):
        with pytest.raises(Unauthorized):
            limited.admit(wrong, "192.0.2.1", "GET")
    with pytest.raises(TooManyRequests, match="more than 3 failed credentials in 1 hour") as caught:
        limited.admit(lambda: Actor(7), "192.0.2.1", "GET")
    assert int(dict(caught.value.headers)["Retry-After"]) > 0
    assert limited.admit(lambda: Actor(7), "192.0.2.2", "GET")[0] == Actor(7)


# --- Redis ---


def shared(notes: Notes, url: str, limit: str = "3/hour") -> FlaskClient:
    """A client of an application of its own that counts in Redis."""
    return notes.client(CARBOY_RATE_LIMIT=limit, CARBOY_RATE_LIMIT_STORAGE=url)


def test_applications_share_what_redis_counts(notes: Notes, redis_url: str) -> None:
    """Two applications together stay under the limit; in memory each has its own."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        first, second = shared(notes, redis_url), shared(notes, redis_url)
        assert statuses(first, 2) + statuses(second, 2) == [200, 200, 200, 429]
        assert statuses(first, 1) == [429]
        keys = [key.decode() for key in client.keys("*")]
        assert keys
        assert all(key.startswith("carboy:") and "127.0.0.1" not in key for key in keys)
        assert all(0 < client.ttl(key) <= 2 * 3600 for key in keys)
    alone = [shared(notes, "memory://"), shared(notes, "memory://")]
    assert [statuses(client, 3) for client in alone] == [[200] * 3, [200] * 3]


def test_without_redis_each_process_counts(
    notes: Notes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis stops midway: requests go on, limited in memory; the log says so, without a password.

    Nothing waits for it either, and it isn't asked at each request.
    """
    with servers.redis() as url:
        client = shared(notes, url)
        assert statuses(client, 2) == [200, 200]
    started = time.monotonic()
    assert statuses(client, 4) == [200, 200, 200, 429]
    assert time.monotonic() - started < 1
    said = [record.getMessage() for record in caplog.records if record.name == "carboy"]
    assert len(said) == 1
    assert "Redis is away, each process counts alone" in said[0]
    password = re.findall(r":(\w+)@", url)[0]
    assert password not in said[0]


def test_a_stalled_redis_holds_up_one_request_shortly(
    notes: Notes, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It accepts connections and answers nothing; once it answers again, it counts again."""
    monkeypatch.setattr(counters, "_PAUSE", 1.0)
    with redis.Redis.from_url(redis_url) as control:
        control.flushall()
        client = shared(notes, redis_url, "5/hour")
        assert statuses(client, 1) == [200]
        # Nothing ends a pause early: the command for it waits like the others.
        control.client_pause(2000, all=True)
        over = time.monotonic() + 2.1
        started = time.monotonic()
        assert statuses(client, 1) == [200]
        assert time.monotonic() - started < 0.9
        started = time.monotonic()
        assert statuses(client, 3) == [200] * 3
        assert time.monotonic() - started < 0.2
        time.sleep(over - time.monotonic())
        # One was counted before; what was in flight when it stalled may have been, too.
        assert left(client.get("/api/notes"))[0] >= 2
        assert "Redis is back" in caplog.text


def test_a_redis_that_was_never_there_stops_nothing(notes: Notes) -> None:
    """The application starts, and limits in memory."""
    client = shared(notes, "redis://127.0.0.1:1/0", "1/hour")
    assert statuses(client, 2) == [200, 429]


# --- settings ---


@pytest.mark.parametrize("name", ["CARBOY_RATE_LIMIT", "CARBOY_RATE_LIMIT_WRITES"])
@pytest.mark.parametrize("value", ["100", "many/minute", "0/minute", "5/fortnight", "5/minute;x"])
def test_what_is_no_limit_is_refused(name: str, value: str) -> None:
    """The message names the setting and shows one."""
    with pytest.raises(SettingError, match=f"{name} must be such as '100/minute"):
        edge(**{name: value})


@pytest.mark.parametrize("value", ["disk", "http://s3cret@h", "redis:s3cret@h", "memcached://h"])
def test_what_is_no_storage_is_refused(value: str) -> None:
    """Nothing in the message could be a password."""
    with pytest.raises(SettingError, match="CARBOY_RATE_LIMIT_STORAGE") as caught:
        edge(CARBOY_RATE_LIMIT="1/hour", CARBOY_RATE_LIMIT_STORAGE=value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "config", "extra"),
    [
        ("limits", {"CARBOY_RATE_LIMIT": "1/hour"}, "limits"),
        ("limits", {"CARBOY_RATE_LIMIT_WRITES": "1/hour"}, "limits"),
        (
            "redis.backoff",
            {"CARBOY_RATE_LIMIT": "1/hour", "CARBOY_RATE_LIMIT_STORAGE": "redis://h"},
            "limits,redis",
        ),
    ],
)
def test_without_a_library_the_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, module: str, config: dict[str, str], extra: str
) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingError, match=re.escape(f"pip install 'carboy[{extra}]'")):
        edge(**config)
    edge()
