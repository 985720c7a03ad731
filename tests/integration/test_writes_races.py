"""Writes at the same time, from real threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .models import Shop

MERGE = "resolution=merge-duplicates"
ANN = {"username": "ann", "email": "ann@example.org"}


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run all of them as nearly at the same time as can be, and answer in their order."""
    barrier = threading.Barrier(len(calls))
    answers: list[Any] = [None] * len(calls)

    def run(index: int) -> None:
        barrier.wait()
        answers[index] = calls[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_two_creates_of_one_name_give_one_201_and_one_409(market: Shop) -> None:
    """The constraint decides, whoever comes first."""
    market.send("GET", "users")
    for number in range(10):
        rows = [{"username": f"u{number}", "email": f"{number}{side}@x"} for side in "ab"]
        answers = at_once([partial(market.send, "POST", "users", row) for row in rows])
        assert sorted(a.status_code for a in answers) == [201, 409]
    assert market.rows("SELECT count(*) FROM users") == [(10,)]


def test_of_changes_under_one_etag_exactly_one_wins(market: Shop) -> None:
    """If-Match is atomic with the change: no lost update."""
    tag = market.send("POST", "users", ANN).headers["ETag"]
    for number in range(8):
        calls = [
            partial(market.send, "PATCH", "users/1", {"bio": n}, If_Match=tag)
            for n in (f"{number}a", f"{number}b", f"{number}c")
        ]
        answers = at_once(calls)
        assert sorted(a.status_code for a in answers) == [200, 412, 412]
        winner = next(a for a in answers if a.status_code == 200)
        tag = winner.headers["ETag"]
        assert market.rows("SELECT bio FROM users") == [(winner.json["bio"],)]


def test_upserts_of_one_row_never_collide(market: Shop) -> None:
    """Of simultaneous upserts one creates the row and the others change it."""
    for number in range(8):
        row = {"row": number, "number": "A"}
        calls = [
            partial(market.send, "POST", "seats", {**row, "name": n}, Prefer=MERGE) for n in "abc"
        ]
        assert sorted(a.status_code for a in at_once(calls)) == [200, 200, 201]
    assert market.rows("SELECT count(*) FROM seats") == [(8,)]


def test_changes_of_different_fields_are_both_kept(market: Shop) -> None:
    """Without If-Match each PATCH changes only its own fields."""
    market.create("users", ANN)
    bodies = [{"bio": "b"}, {"role": "writer"}, {"balance": "5"}]
    answers = at_once([partial(market.send, "PATCH", "users/1", b) for b in bodies])
    assert [a.status_code for a in answers] == [200, 200, 200]
    row = market.send("GET", "users/1").json
    assert (row["bio"], row["role"], row["balance"]) == ("b", "writer", "5.00")


def test_one_idempotency_key_writes_once(market: Shop) -> None:
    """Of requests with one key at the same time one writes; the others hear 409 or its answer."""
    calls = [partial(market.send, "POST", "tags", {"name": "x"}, Idempotency_Key="k")] * 4
    answers = at_once(calls)
    assert {a.status_code for a in answers} <= {201, 409}
    assert market.rows("SELECT count(*) FROM tags") == [(1,)]
    assert market.send("POST", "tags", {"name": "x"}, Idempotency_Key="k").status_code == 201
    assert market.rows("SELECT count(*) FROM tags") == [(1,)]
