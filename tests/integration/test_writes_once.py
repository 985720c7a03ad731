"""Idempotency-Key: a write that is sent again happens once."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from .models import Shop


def test_a_repeated_request_gets_the_first_answer(market: Shop) -> None:
    """Status, headers and body are the first ones, marked as replayed; nothing is written."""
    first = market.send("POST", "tags", {"name": "x"}, Idempotency_Key="k1")
    again = market.send("POST", "tags", {"name": "x"}, Idempotency_Key='"k1"')
    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert market.rows("SELECT count(*) FROM tags") == [(1,)]


def test_every_method_can_be_repeated(market: Shop) -> None:
    """A repeated DELETE is a 204 again, a repeated PATCH the answer of then."""
    market.create("tags", [{"name": "a"}, {"name": "b"}])
    market.send("PATCH", "tags/1", {"name": "c"}, Idempotency_Key="p")
    market.send("PATCH", "tags/1", {"name": "d"})
    assert market.send("PATCH", "tags/1", {"name": "c"}, Idempotency_Key="p").json["name"] == "c"
    assert market.send("DELETE", "tags/1", Idempotency_Key="d").status_code == 204
    assert market.send("DELETE", "tags/1", Idempotency_Key="d").status_code == 204
    assert market.send("DELETE", "tags/1").status_code == 404


def test_another_request_with_the_key_is_422(market: Shop) -> None:
    """Another body, path, query or method under a used key is refused."""
    market.send("POST", "tags", {"name": "x"}, Idempotency_Key="k")
    for method, path, body in (
        ("POST", "tags", {"name": "y"}),
        ("POST", "tags?select=id", {"name": "x"}),
        ("POST", "countries", {"name": "x", "code": "X"}),
        ("PATCH", "tags/1", {"name": "x"}),
    ):
        response = market.send(method, path, body, Idempotency_Key="k")
        assert response.status_code == 422
        assert response.json["type"] == "urn:carboy:error:idempotency-mismatch"
    assert market.rows("SELECT count(*) FROM tags") == [(1,)]


def test_failures_and_dry_runs_are_not_kept(market: Shop) -> None:
    """After a 4xx or a dry run the key is free."""
    market.create("tags", {"name": "x"})
    assert market.send("POST", "tags", {"name": "x"}, Idempotency_Key="k").status_code == 409
    dry = market.send("POST", "tags", {"name": "y"}, Idempotency_Key="k", Prefer="tx=rollback")
    assert dry.status_code == 201
    response = market.send("POST", "tags", {"name": "z"}, Idempotency_Key="k")
    assert (response.status_code, response.json["name"]) == (201, "z")


def test_a_key_in_flight_is_409(market: Shop) -> None:
    """While the first request runs, another with its key is told to wait."""
    started, release = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        started.set()
        release.wait(10)

    sa.event.listen(market.models["Tag"], "before_insert", wait)
    answers = []
    first = threading.Thread(
        target=lambda: answers.append(
            market.send("POST", "tags", {"name": "x"}, Idempotency_Key="k")
        )
    )
    first.start()
    assert started.wait(10)
    second = market.send("POST", "tags", {"name": "x"}, Idempotency_Key="k")
    release.set()
    first.join()
    assert (second.status_code, second.headers["Retry-After"]) == (409, "1")
    assert answers[0].status_code == 201


def test_a_key_expires(market: Shop) -> None:
    """After CARBOY_IDEMPOTENCY_HOURS the key is new again."""
    market.send("POST", "tags", {"name": "x"}, Idempotency_Key="k")
    with market.app.app_context(), market.db.engine.begin() as connection:
        connection.execute(sa.text("UPDATE carboy_idempotency SET created_at = created_at - 86401"))
    response = market.send("POST", "tags", {"name": "y"}, Idempotency_Key="k")
    assert response.status_code == 201
    assert market.rows("SELECT count(*) FROM carboy_idempotency") == [(1,)]


def test_keys_survive_a_new_process(market: Shop) -> None:
    """The table outlives the application object."""
    market.send("POST", "tags", {"name": "x"}, Idempotency_Key="k")
    market.app.extensions["carboy"].api = None
    assert market.send("POST", "tags", {"name": "x"}, Idempotency_Key="k").status_code == 201
    assert market.rows("SELECT count(*) FROM tags") == [(1,)]
