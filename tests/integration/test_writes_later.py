"""``Prefer: respond-async``, and ``api.update_later``: checked now, written later, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
import sqlalchemy as sa

from carboy import OPEN, Carboy, Policy
from carboy.jobs import queue
from carboy.jobs.job import Job
from carboy.jobs.run import attempt

from .errands import Errands, Note, mine

LATER = {"Prefer": "respond-async"}


@pytest.fixture
def errands(database_url: str) -> Iterator[Errands]:
    """Three notes of ada's and one of bob's."""
    made = Errands(database_url)
    made.add("a", "b", "c")
    made.add("d", owner="bob")
    yield made
    made.engine.dispose()


def owned(errands: Errands) -> list[tuple[str, str, str]]:
    """Each note's text, owner and mark."""
    with errands.engine.connect() as connection:
        query = sa.select(Note.text, Note.owner, Note.mark).order_by(Note.id)
        return [(row.text, row.owner, row.mark) for row in connection.execute(query)]


@pytest.mark.parametrize(
    ("method", "path", "body", "message", "result", "left"),
    [
        ("PATCH", "?owner=eq.ada", {"text": "z"}, "Bulk update queued", (3, 0), "zzzd"),
        ("DELETE", "?owner=eq.ada&text=neq.a", None, "Bulk delete queued", (2, 0), "ad"),
        (
            "POST",
            "",
            [{"text": "e", "owner": "ada"}, {"text": "f", "owner": "ada"}],
            "Bulk create queued",
            (2, 2),
            "abcdef",
        ),
    ],
)
def test_a_write_of_many_rows_is_answered_at_once_and_done_later(
    errands: Errands, method: str, path: str, body: Any, message: str, result: Any, left: str
) -> None:
    """The answer says where to look; whoever asked can see what became of it."""
    answer = errands.send(method, f"/api/notes{path}", body, **LATER)
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.json == {"task_id": answer.json["task_id"], "message": message}
    where = answer.headers["Location"]
    assert where == f"/api/jobs/{answer.json['task_id']}"
    assert errands.send("GET", where).json["state"] == "queued"
    assert "".join(text for text, _, _ in owned(errands)) == "abcd"
    assert errands.run() == 1
    job = errands.send("GET", where).json
    assert (job["state"], job["result"]) == (
        "done",
        {"affected": result[0], "created": result[1]},
    )
    assert "".join(text for text, _, _ in owned(errands)) == left


@pytest.mark.parametrize(
    ("method", "path", "body", "user", "status"),
    [
        ("PATCH", "?text=eq.a", {"txt": "z"}, "ada", 400),
        ("PATCH", "?text=eq.a", {"mark": "z"}, "ada", 400),
        ("PATCH", "?txt=eq.a", {"text": "z"}, "ada", 400),
        ("PATCH", "", {"text": "z"}, "ada", 400),
        ("PATCH", "?text=eq.a", {"text": "z"}, "", 401),
        ("POST", "", [{"text": "z" * 21, "owner": "ada"}], "ada", 400),
        ("DELETE", "", None, "ada", 400),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_queued(
    errands: Errands, method: str, path: str, body: Any, user: str, status: int
) -> None:
    """With the very answer that it would have without the preference."""
    now = errands.send(method, f"/api/notes{path}", body, user=user)
    later = errands.send(method, f"/api/notes{path}", body, user=user, **LATER)
    assert (later.status_code, later.json) == (status, now.json)
    assert errands.run() == 0


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_strangers_queue_nothing_that_depends_on_rows(database_url: str, method: str) -> None:
    """Whoever is nobody can fulfil no rule that compares; their jobs would be work for nothing."""
    policy = Policy(read=True, update=mine, delete=mine)
    errands = Errands(database_url, policy)
    errands.add("a")
    body = {"text": "z"} if method == "PATCH" else None
    answer = errands.send(method, "/api/notes?text=eq.a", body, user="", **LATER)
    assert answer.status_code == 401
    known = errands.send(method, "/api/notes?text=eq.a", body, user="bob", **LATER)
    assert known.status_code == 202
    assert errands.run() == 1
    job = errands.send("GET", known.headers["Location"], user="bob").json
    assert job["error"]["status"] == 403
    errands.engine.dispose()


def test_the_actors_policy_holds_when_the_job_runs(errands: Errands) -> None:
    """Rows that the actor may not change are refused then, and all stays as it was."""
    where = errands.send("PATCH", "/api/notes?text=in.(a,d)", {"text": "z"}, **LATER).headers[
        "Location"
    ]
    now = errands.send("PATCH", "/api/notes?text=in.(a,d)", {"text": "z"})
    assert now.status_code == 403
    errands.run()
    job = errands.send("GET", where).json
    assert (job["state"], job["attempts"]) == ("dead", 1)
    assert job["error"] == now.json
    assert [text for text, _, _ in owned(errands)] == ["a", "b", "c", "d"]


def test_what_becomes_true_in_between_counts(errands: Errands) -> None:
    """The rows are those that match when the job runs, by the actor's roles of the request."""
    admin = "root:admin"
    errands.send("PATCH", "/api/notes?owner=eq.bob", {"mark": "x"}, user=admin, **LATER)
    errands.add("e", owner="bob")
    errands.run()
    assert [mark for _, owner, mark in owned(errands) if owner == "bob"] == ["x", "x"]


def test_the_write_and_its_completion_are_one(errands: Errands) -> None:
    """A delivery that comes twice, and a worker that has lost its lease, write nothing."""
    errands.send("POST", "/api/notes", [{"text": "e", "owner": "ada"}], **LATER)
    jobs = errands.jobs()
    (lost,) = queue.claim(jobs.api.database, 1, 0)
    (held,) = queue.claim(jobs.api.database, 1, 60_000)
    for claimed in (lost, held, held, lost):
        attempt(jobs, Job(jobs.api.database, claimed))
    assert [text for text, _, _ in owned(errands)] == ["a", "b", "c", "d", "e"]


def test_an_idempotency_key_makes_one_job_of_two_requests(errands: Errands) -> None:
    """Another request with it is a 422, and the key holds for a write without the preference."""
    keyed = {**LATER, "Idempotency_Key": "k1"}
    body = [{"text": "e", "owner": "ada"}]
    first, again = (errands.send("POST", "/api/notes", body, **keyed) for _ in range(2))
    assert first.json == again.json
    other = errands.send("POST", "/api/notes", [{"text": "f", "owner": "ada"}], **keyed)
    assert other.status_code == 422
    bobs = errands.send("POST", "/api/notes", body, user="bob", **keyed)
    assert bobs.json["task_id"] != first.json["task_id"]
    assert errands.run() == 2
    repeated = errands.send("POST", "/api/notes", body, Idempotency_Key="k1")
    assert repeated.headers["Idempotency-Replayed"] == "true"
    assert [text for text, _, _ in owned(errands)] == ["a", "b", "c", "d", "e", "e"]


@pytest.mark.parametrize(
    ("method", "path", "body", "prefer"),
    [
        ("PATCH", "/api/notes/1", {"text": "z"}, "respond-async"),
        ("PATCH", "/api/notes?text=eq.a", {"text": "z"}, "respond-async, tx=rollback"),
        ("GET", "/api/notes", None, "respond-async, handling=strict"),
    ],
)
def test_where_it_makes_no_sense_the_preference_is_passed_over(
    errands: Errands, method: str, path: str, body: Any, prefer: str
) -> None:
    """One row, a dry run and a read are answered at once, and don't claim otherwise."""
    answer = errands.send(method, path, body, Prefer=prefer)
    assert answer.status_code == 200
    assert "respond-async" not in answer.headers.get("Preference-Applied", "")


def test_a_view_of_ones_own_changes_rows_later(errands: Errands) -> None:
    """By their keys; those that the actor can't see, or aren't there, are passed over."""

    def change() -> Any:
        body = flask.request.get_json()
        return errands.api.update_later(Note, body["ids"], body=body["values"])

    errands.app.add_url_rule("/change", view_func=change, methods=["POST"])
    answer = errands.send("POST", "/change", {"ids": [1, 3, 99], "values": {"text": "z"}})
    assert answer.status_code == 202
    assert answer.json["message"] == "Bulk update queued"
    assert answer.headers["Location"] == f"/api/jobs/{answer.json['task_id']}"
    assert errands.run() == 1
    assert [text for text, _, _ in owned(errands)] == ["z", "b", "z", "d"]
    assert errands.send("GET", answer.headers["Location"]).json["result"]["affected"] == 2
    for ids, values in (
        ([1], {"mark": "x"}),
        ([1], {"nothing": "x"}),
        ([1], {"text": 7}),
        (["one"], {"text": "x"}),
        ("123", {"text": "x"}),
        ([[1]], {"text": "x"}),
        (list(range(10_001)), {"text": "x"}),
        ([1], [{"text": "x"}]),
    ):
        refused = errands.send("POST", "/change", {"ids": ids, "values": values})
        assert refused.status_code == 400, (ids, values, refused.text)
    assert errands.run() == 0
    none = errands.send("POST", "/change", {"ids": [], "values": {"text": "x"}})
    assert none.status_code == 202
    many = errands.send("POST", "/change", {"ids": list(range(3000)), "values": {"text": "y"}})
    assert many.status_code == 202
    assert errands.run() == 2
    job = errands.send("GET", many.headers["Location"]).json
    assert job["state"] == "dead", "bob's note is among them"
    assert job["error"]["status"] == 403


def test_what_nobody_in_particular_queued_may_be_seen_by_who_knows_where(database_url: str) -> None:
    """The address can't be guessed, and whoever wrote without credentials has no other proof."""
    errands = Errands(database_url)
    errands.add("a")
    errands.app = flask.Flask("open")
    api = Carboy(errands.app, errands.engine, policy=OPEN)
    api.resource(Note)
    client = errands.app.test_client()
    answer = client.patch("/api/notes?text=eq.a", json={"text": "b"}, headers=LATER)
    assert client.get(answer.headers["Location"]).status_code == 200
    assert client.get("/api/jobs/0").status_code == 404
    with errands.app.app_context():
        assert api.run_jobs() == 1
    assert errands.texts() == ["b"]
    errands.engine.dispose()


def test_a_write_that_the_database_refuses_says_so_in_the_job(errands: Errands) -> None:
    """As the answer would have; it isn't tried again."""
    with errands.engine.begin() as connection:
        connection.execute(sa.text("CREATE UNIQUE INDEX one_text ON notes (text)"))
    body = [{"text": "e", "owner": "ada"}, {"text": "a", "owner": "ada"}]
    where = errands.send("POST", "/api/notes", body, **LATER).headers["Location"]
    errands.run()
    job = errands.send("GET", where).json
    assert (job["state"], job["attempts"]) == ("dead", 1)
    assert job["error"]["status"] == 409
    assert [text for text, _, _ in owned(errands)] == ["a", "b", "c", "d"]
