"""What writes may do to rows of others, and what they tell of them."""

from __future__ import annotations

from typing import Any

import flask
import pytest
import sqlalchemy as sa

from carboy import Carboy

from .conftest import Login
from .world import ANN, BOB, EVE, POLICIES, SECRET, Asker, Post, PostTag, token


def _links(engine: sa.Engine) -> list[tuple[int, int]]:
    with engine.connect() as connection:
        query = sa.select(PostTag.post_id, PostTag.tag_id).where(PostTag.post_id == 1)
        return sorted((row[0], row[1]) for row in connection.execute(query))


def test_a_list_keeps_links_that_can_t_be_seen(login: Login, engine: sa.Engine) -> None:
    """Be it the tag that is hidden, or the link; and other links go by the links' own policy."""
    ann = login(ANN)
    before = _links(engine)
    assert before == [(1, 1), (1, 2), (1, 3)]
    assert ann.ask("PATCH", "posts/1", {"tags": [{"id": 1}]}).status_code == 200
    assert _links(engine) == before
    # Nobody but a writer may delete links.
    assert ann.ask("PATCH", "posts/1", {"tags": []}).status_code == 403
    assert _links(engine) == before
    assert login(ANN, "writer").ask("PATCH", "posts/1", {"tags": []}).status_code == 200
    assert _links(engine) == [(1, 2), (1, 3)]
    assert ann.ask("PATCH", "posts/1", {"tags": [{"id": 1}]}).status_code == 200
    assert _links(engine) == before


def test_a_list_keeps_children_that_can_t_be_seen(login: Login, engine: sa.Engine) -> None:
    """Ann doesn't see Eve's hidden comment on her post: it stays, and isn't in her way."""
    response = login(ANN).ask("PATCH", "posts/4?select=id", {"comments": []})
    assert response.status_code == 404
    bob = login(BOB).ask("PATCH", "posts/1", {"comments": []})
    assert bob.status_code == 403
    assert login(ANN).ask("PATCH", "posts/1", {"comments": [{"id": 1}]}).status_code == 200
    assert login(ANN).ask("PATCH", "posts/1", {"comments": []}).status_code == 200
    left = login(EVE, "admin").json("posts/1?select=comments(id)")
    assert left == {"comments": [{"id": 2}]}


def test_a_put_keeps_fields_that_can_t_be_seen(login: Login) -> None:
    """The author can't know the editor's note, and so can't send it."""
    put = login(ANN).ask("PUT", "posts/2", {"title": "new", "author_id": ANN})
    assert put.status_code == 200
    seen = login(EVE, "editor").json("posts/2?select=title,note")
    assert seen == {"title": "new", "note": "weak"}


def test_a_reference_to_an_unreadable_row_is_like_one_to_none(login: Login) -> None:
    """In a body's fields and in nested objects; one's own may be pointed at."""
    ann = login(ANN)
    for make in ({"parent_id": 4}, {"parent": {"id": 4}}):
        hidden = ann.ask("POST", "posts", {"title": "x", **make})
        missing = ann.ask("POST", "posts", _moved(make))
        assert hidden.status_code in (400, 409)
        assert hidden.text == missing.text
    assert ann.ask("POST", "posts", {"title": "x", "parent_id": 2}).status_code == 201


def _moved(body: dict[str, Any]) -> dict[str, Any]:
    nested = isinstance(body.get("parent"), dict)
    return {"title": "x", **({"parent": {"id": 99}} if nested else {"parent_id": 99})}


def test_the_row_before_and_after_has_to_be_one_s_own(login: Login) -> None:
    """Neither another's row can be taken, nor one's own given away; all rows or none."""
    ann = login(ANN)
    assert ann.ask("PATCH", "posts/3", {"title": "x"}).status_code == 403
    assert ann.ask("PATCH", "posts/2", {"author_id": BOB}).status_code == 403
    assert ann.ask("PATCH", "posts?id=in.(2,3)", {"title": "x"}).status_code == 403
    assert ann.rows("posts?title=eq.x") == []


def test_what_the_policy_fills_or_keeps_can_t_be_sent(login: Login) -> None:
    """It is a 400 that names the field, in single rows and in upserts."""
    ann = login(ANN)
    for body in ({"title": "x", "author_id": BOB}, {"title": "x", "published": True}):
        assert ann.ask("POST", "posts", body).status_code == 400
        assert ann.ask("POST", "posts?on_conflict=slug", {**body, "slug": "s"}).status_code == 400


def test_a_row_that_can_t_be_read_is_answered_without_a_body(login: Login) -> None:
    """Who may add to the audit may not read it: a 201, and where it is."""
    response = login(ANN).ask("POST", "audits", {"text": "did it", "user_id": ANN})
    assert (response.status_code, response.text) == (201, "")
    assert "ETag" not in response.headers


def test_an_upsert_meets_a_hidden_row_as_a_duplicate(login: Login) -> None:
    """Whether it would change the row or keep it, and no word of it is told."""
    for resolution in ("merge-duplicates", "ignore-duplicates"):
        response = login(ANN).ask(
            "POST",
            "posts?on_conflict=slug",
            {"title": "mine", "slug": "bob-4"},
            Prefer=f"resolution={resolution}",
        )
        assert response.status_code == 409
        assert "Bob" not in response.text
    assert login(BOB).json("posts/4?select=title") == {"title": "Bob draft"}


def test_a_kept_answer_is_for_the_same_actor_with_the_same_roles(login: Login) -> None:
    """An editor's answer has the note; without the role, or for others, it isn't given again."""
    body = {"title": "once", "note": "for editors"}

    def ask(id_: int, *roles: str) -> Any:
        return login(id_, *roles).ask("POST", "posts", body, Idempotency_Key="k")

    first, again = ask(ANN, "editor"), ask(ANN, "editor")
    assert "for editors" in first.text
    assert again.text == first.text
    assert again.headers["Idempotency-Replayed"] == "true"
    for other in (ask(ANN), ask(BOB)):
        assert "for editors" not in other.text
        assert "Idempotency-Replayed" not in other.headers


@pytest.mark.parametrize("policy", [True, False])
def test_own_views_go_by_the_policies_unless_they_say_otherwise(
    engine: sa.Engine, policy: bool
) -> None:
    """In reads, creates, updates and deletes; a bad credential is a 401 where they hold."""
    app = flask.Flask("own")
    app.config["CARBOY_JWT_SECRET"] = SECRET
    api = Carboy(app, engine)
    for model, rules in POLICIES.items():
        api.resource(model, policy=rules)
    views = {
        "GET": lambda: api.read(sa.select(Post).order_by(Post.id), "id", policy=policy),
        "POST": lambda: api.create(Post, "id,title", policy=policy),
        "PATCH": lambda: api.update(Post, 4, "title", policy=policy),
        "DELETE": lambda: api.delete(Post, 6, policy=policy),
    }
    for method, view in views.items():
        app.add_url_rule("/api/own", method, view, methods=[method])
    ann = Asker(app.test_client(), token(ANN))
    new = {"title": "x", "published": True} | ({} if policy else {"author_id": ANN})
    statuses = [
        ann.ask(method, "own", body).status_code
        for method, body in (("POST", new), ("PATCH", {"title": "y"}), ("DELETE", None))
    ]
    assert statuses == ([400, 404, 403] if policy else [201, 200, 204])
    seen = [row["id"] for row in ann.get("own").get_json()]
    assert seen[:4] == ([1, 2, 3, 5] if policy else [1, 2, 3, 4])
    bad = Asker(app.test_client(), "no token").get("own")
    assert bad.status_code == (401 if policy else 200)
