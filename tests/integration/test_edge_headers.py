"""Headers about safety and caches, on answers of every kind, on either way of a request."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from carboy.access import Actor
from carboy.edge import make_edge
from carboy.ops.api_keys import create_key
from carboy.respond import Response
from carboy.settings import Settings

from .notes import Notes

SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
JSON = {"Content-Type": "application/json"}

ANSWERS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/api/notes", {}, 200),
    ("GET", "/api/notes/1", {}, 200),
    ("GET", "/api/", {}, 200),
    ("HEAD", "/api/notes/1", {}, 200),
    ("GET", "/api/notes/1", {"headers": {"If-None-Match": "*"}}, 304),
    ("OPTIONS", "/api/notes", {}, 204),
    ("OPTIONS", "/api/", {}, 204),
    ("POST", "/api/notes", {"json": {"text": "new"}}, 201),
    ("PATCH", "/api/notes/1", {"json": {"text": "changed"}}, 200),
    ("DELETE", "/api/notes/1", {}, 204),
    ("GET", "/api/notes?nope=eq.1", {}, 400),
    ("HEAD", "/api/notes?nope=eq.1", {}, 400),
    ("GET", "/api/nothing", {}, 404),
    ("GET", "/api/notes/", {}, 404),
    ("GET", "/api/notes/9", {}, 404),
    ("POST", "/api/notes/1", {"json": {}}, 405),
    ("DELETE", "/api/", {}, 405),
    ("BREW", "/api/notes", {}, 405),
    ("GET", "/api/notes", {"headers": {"Accept": "text/html"}}, 406),
    ("POST", "/api/notes", {"json": {"text": "one"}}, 409),
    ("PATCH", "/api/notes/1", {"json": {}, "headers": {"If-Match": '"x"'}}, 412),
    ("POST", "/api/notes", {"data": "x" * 200, "headers": JSON}, 413),
    ("POST", "/api/notes", {"data": "x"}, 415),
]


@pytest.mark.parametrize(("method", "path", "more", "status"), ANSWERS)
def test_every_answer_has_its_headers(
    notes: Notes, way: int, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    """The safe ones are on every answer; a cache may keep what was read, but not use it unasked."""
    client = notes.client(CARBOY_DIRECT_READS=way, CARBOY_MAX_BODY_BYTES=100)
    response = client.open(path, method=method, **more)
    assert response.status_code == status
    assert ("Content-Type" in response.headers) == (status not in (204, 304))
    assert_headers(response, read=status < 400 and method in ("GET", "HEAD"))


def assert_headers(
    response: TestResponse, *, read: bool, vary: str = "Accept, Prefer, Authorization, X-API-Key"
) -> None:
    """Each header is there once, with its value."""
    expected = {"Cache-Control": "no-cache" if read else "no-store", "Vary": vary, **SAFETY}
    for name, value in expected.items():
        assert response.headers.getlist(name) == [value]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(("fault", "status"), [(RuntimeError, 500), (sa.exc.TimeoutError, 503)])
def test_a_fault_of_the_server_has_them_too(
    notes: Notes, way: int, method: str, fault: type[Exception], status: int
) -> None:
    """A bug and a database that is away are answered like all else, and never kept."""
    client = notes.client(CARBOY_DIRECT_READS=way)

    def broken(*_: object) -> None:
        raise fault("no connection")

    sa.event.listen(notes.engine, "checkout", broken)
    body = {"text": "new"} if method == "POST" else None
    response = client.open("/api/notes", method=method, json=body)
    assert response.status_code == status
    assert_headers(response, read=False)


def test_views_of_ones_own_are_private(notes: Notes) -> None:
    """What such a view depends on isn't known; writes and errors aren't kept at all."""
    client = notes.client()
    answers = [client.get("/own"), client.head("/own"), client.post("/own")]
    caching = [answer.headers["Cache-Control"] for answer in answers]
    assert caching == ["private, no-cache", "private, no-cache", "no-store"]
    for answer in answers:
        assert {name: answer.headers[name] for name in SAFETY} == SAFETY


def test_the_hot_path_keeps_its_headers_small(notes: Notes) -> None:
    """Without CORS and limits there is no header of theirs."""
    names = {name for name, _ in notes.client().get("/api/notes/1").headers}
    usual = {"Content-Type", "ETag", "Content-Length", "Cache-Control", "Vary", "X-Request-ID"}
    assert names == {*usual, *SAFETY}


# --- what is only seen once somebody is known ---


def test_an_answer_to_a_key_is_marked_as_its_actors(notes: Notes, way: int) -> None:
    """Whoever asks is known before the headers are chosen, on either way of a request."""
    client = notes.client(CARBOY_DIRECT_READS=way)
    headers = {"X-API-Key": create_key(notes.engine, "me")}
    answer = client.get("/api/notes/1", headers=headers)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert client.get("/api/notes/1").headers["Cache-Control"] == "no-cache"


EDGE = make_edge(Settings(), ["Authorization", "X-API-Key", "Cookie"])


def of(actor: Actor, status: int, method: str = "GET") -> dict[str, str]:
    """The headers of an answer to an actor."""
    finished = EDGE.finish({"REQUEST_METHOD": method}, actor, Response(status, (), b""))
    return dict(finished.headers)


def test_an_actors_answer_is_kept_by_the_actor_only() -> None:
    """A shared cache may not store it, and it depends on what tells who asks."""
    headers = of(Actor(7), 200)
    assert headers["Cache-Control"] == "private, no-cache"
    assert headers["Vary"] == "Accept, Prefer, Authorization, X-API-Key, Cookie"
    assert of(Actor(7), 304)["Cache-Control"] == "private, no-cache"
    assert of(Actor(7), 404)["Cache-Control"] == "no-store"
    assert of(Actor(7), 201, "POST")["Cache-Control"] == "no-store"
