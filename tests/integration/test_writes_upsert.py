"""Upserts: what is there is changed, the rest created."""

from __future__ import annotations

from typing import Any

import pytest

from .models import Shop, faults

MERGE = "resolution=merge-duplicates"
IGNORE = "resolution=ignore-duplicates"
ANN = {"username": "ann", "email": "ann@example.org"}
BOB = {"username": "bob", "email": "bob@example.org"}


def test_merge_changes_what_is_there_and_creates_the_rest(market: Shop) -> None:
    """201 with a new row among them, 200 without, in the order of the request."""
    market.create("users", ANN)
    path = "users?on_conflict=username&select=id,username,bio"
    rows = [{**BOB, "bio": "b"}, {**ANN, "bio": "a"}]
    first = market.send("POST", path, rows, Prefer=MERGE)
    assert first.status_code == 201
    assert [(r["username"], r["bio"]) for r in first.json["data"]] == [("bob", "b"), ("ann", "a")]
    second = market.send("POST", path, [{**BOB, "bio": "c"}], Prefer=MERGE)
    assert (second.status_code, second.json["data"][0]["bio"]) == (200, "c")
    assert second.headers["Preference-Applied"] == MERGE
    assert market.rows("SELECT count(*) FROM users") == [(2,)]


def test_ignore_leaves_what_is_there(market: Shop) -> None:
    """Rows that are there are answered as they are."""
    market.create("users", {**ANN, "bio": "old"})
    path = "users?on_conflict=email&select=username,bio"
    response = market.send("POST", path, [{**ANN, "bio": "new"}, BOB], Prefer=IGNORE)
    assert response.status_code == 201
    assert response.headers["Affected-Rows"] == "1"
    assert response.json["data"][0] == {"username": "ann", "bio": "old"}


def test_one_object_is_upserted_like_an_item(market: Shop) -> None:
    """An object alone is answered as an object, with Location only where it is new."""
    seat = {"row": 1, "number": "A", "name": "x"}
    first = market.send("POST", "seats", seat, Prefer=MERGE)
    assert (first.status_code, first.headers["Location"]) == (201, "/api/seats/1,A")
    second = market.send("POST", "seats", {**seat, "name": "y"}, Prefer=MERGE)
    assert (second.status_code, second.json["name"]) == (200, "y")
    assert "Location" not in second.headers


def test_a_key_that_the_database_makes_is_only_for_matching(market: Shop) -> None:
    """An id matches a row that is there; a new row can't choose its own."""
    market.create("tags", {"name": "a"})
    assert market.send("POST", "tags", {"id": 1, "name": "b"}, Prefer=MERGE).json["name"] == "b"
    response = market.send("POST", "tags", [{"id": 7, "name": "c"}], Prefer=MERGE)
    assert (response.status_code, faults(response)) == (400, [("/0/id", "missing")])
    assert market.send("POST", "tags", {"name": "d"}, Prefer=MERGE).status_code == 201


def test_the_models_rules_run_in_an_upsert(market: Shop) -> None:
    """Defaults fill new rows, and @validates is asked on both ways."""
    market.create("users", ANN)
    path = "users?on_conflict=username"
    response = market.send("POST", path, [BOB, {**ANN, "email": "x"}], Prefer=MERGE)
    assert (response.status_code, faults(response)) == (400, [("/1/email", "invalid")])
    assert market.send("POST", path, BOB, Prefer=MERGE).json["role"] == "reader"


@pytest.mark.parametrize(
    ("path", "rows", "expected"),
    [
        ("users?on_conflict=username", [ANN, BOB, ANN], [("/2", "repeated")]),
        ("seats", [{"row": 1, "number": "A"}, {"row": 1, "number": "A"}], [("/1", "repeated")]),
        ("users?on_conflict=username", [{"email": "a@x"}], [("/0/username", "required")]),
    ],
)
def test_rows_of_one_request_are_told_apart(
    market: Shop, path: str, rows: Any, expected: list[tuple[str, str]]
) -> None:
    """Two rows with the same key in one request are a 400."""
    response = market.send("POST", path, rows, Prefer=MERGE)
    assert (response.status_code, faults(response)) == (400, expected)


def test_another_constraint_is_still_a_conflict(market: Shop) -> None:
    """Only the named fields match; a duplicate of others is a 409 with its row."""
    market.create("users", ANN)
    rows = [BOB, {"username": "eve", "email": ANN["email"]}]
    response = market.send("POST", "users?on_conflict=username", rows, Prefer=MERGE)
    assert (response.status_code, faults(response)) == (409, [("/1/email", "duplicate")])
    assert market.rows("SELECT username FROM users") == [("ann",)]
