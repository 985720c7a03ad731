"""Rows and fields are written by whom the policies say, before and after the change."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.databases import in_any_order

from .conftest import Login
from .world import ANN, BOB, EVE, Comment, Post, PostTag


def values(engine: sa.Engine, column: object, *where: sa.ColumnElement[bool]) -> list[object]:
    """A column's values, as the database has them."""
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(column).where(*where)))  # type: ignore[call-overload]


def test_what_may_be_done_to_no_row_is_refused_at_once(login: Login) -> None:
    """A 401 to nobody, a 403 to somebody."""
    assert login().ask("DELETE", "posts/1").status_code == 401
    assert login(ANN).ask("DELETE", "posts/1").status_code == 403
    assert login(ANN).ask("POST", "teams", {"name": "green"}).status_code == 403
    assert login(ANN, "writer").ask("POST", "teams", {"name": "green"}).status_code == 201
    assert login(ANN).ask("PUT", "teams/1", {"name": "green"}).status_code == 403
    # Before the body is read, or the row looked for.
    assert login(ANN).ask("DELETE", "posts/99").status_code == 403
    assert login(ANN).ask("POST", "teams", {"nope": 1}).status_code == 403
    merge = {"Prefer": "resolution=merge-duplicates"}
    assert login(ANN).ask("POST", "teams", {"nope": 1}, **merge).status_code == 403


def test_rows_are_changed_by_whom_the_rule_says(login: Login, engine: sa.Engine) -> None:
    """A row that may be read and not changed is a 403, one that can't be read a 404."""
    ann = login(ANN)
    assert ann.ask("PATCH", "posts/2", {"title": "better"}).status_code == 200
    assert ann.ask("PATCH", "posts/3", {"title": "mine"}).status_code == 403
    assert ann.ask("PATCH", "posts/4", {"title": "mine"}).status_code == 404
    assert ann.ask("PATCH", "posts?id=gt.0", {"title": "mine"}).status_code == 403
    assert ann.ask("PATCH", "posts?id=lt.3&author_id=eq.1", {"views": 9}).status_code == 200
    assert values(engine, Post.title, Post.title == "mine") == []
    assert values(engine, Post.views, Post.author_id == ANN) == [9, 9]


def test_a_row_has_to_fulfil_the_rule_after_the_change_too(login: Login, engine: sa.Engine) -> None:
    """Otherwise one could give it away, or slip it to somebody."""
    assert login(ANN).ask("PATCH", "posts/2", {"author_id": BOB}).status_code == 403
    comment = {"text": "x", "post_id": 1}
    assert login().ask("POST", "comments", comment).status_code == 401
    assert values(engine, Post.author_id, Post.id == 2) == [ANN]


def test_rows_are_deleted_by_whom_the_rule_says(login: Login, engine: sa.Engine) -> None:
    """The author of the comment or of the post; by key and by filter."""
    assert login(EVE).ask("DELETE", "comments/4").status_code == 403
    assert login(EVE).ask("DELETE", "comments?id=gt.0").status_code == 403
    assert login(ANN).ask("DELETE", "comments/3").status_code == 404
    assert login(ANN).ask("DELETE", "comments/1").status_code == 204
    assert login(ANN).ask("DELETE", "comments?text=eq.thanks").status_code == 204
    assert values(engine, Comment.id) == [2, 3]


def test_a_filter_reaches_only_rows_that_may_be_read(login: Login, engine: sa.Engine) -> None:
    """What can't be seen is neither changed nor counted nor in the way."""
    editor = login(EVE, "editor")
    assert editor.ask("DELETE", "comments?id=gt.0&author_id=eq.2").status_code == 403
    response = login(EVE).ask("PATCH", "posts?title=like.*draft", {"views": 3})
    assert (response.status_code, response.headers["Affected-Rows"]) == (200, "1")
    assert values(engine, Post.id, Post.views == 3) == [6]


def test_fields_are_written_by_whom_the_rule_says(login: Login, engine: sa.Engine) -> None:
    """In a new row and in one that is there, also by way of a relation."""
    ann, editor = login(ANN), login(EVE, "editor")
    for method, path in (("PATCH", "posts/2"), ("PUT", "posts/2"), ("POST", "posts")):
        refused = ann.ask(method, path, {"title": "x", "published": True})
        assert (refused.status_code, refused.get_json()["errors"][0]["code"]) == (400, "read-only")
    assert ann.ask("PATCH", "posts/2", {"reviewer": {"id": 2}}).status_code == 400
    assert editor.ask("PATCH", "posts/2", {"published": True}).status_code == 200
    assert login(EVE, "admin").ask("PATCH", "posts/2", {"reviewer_id": 2}).status_code == 400
    relation = {"reviewer": {"id": 2}}
    assert login(EVE, "admin").ask("PATCH", "posts/2", relation).status_code == 400
    assert editor.ask("PATCH", "posts/2", {"reviewer": {"id": EVE}}).status_code == 200
    assert values(engine, Post.reviewer_id, Post.id == 2) == [EVE]


def test_a_put_leaves_alone_what_may_not_be_written(login: Login, engine: sa.Engine) -> None:
    """What a body leaves out gets its default only where it could have been sent."""
    with engine.begin() as connection:
        connection.execute(sa.update(Post).where(Post.id == 1).values(reviewer_id=BOB, views=5))
    body = {"title": "new", "author_id": ANN}
    assert login(ANN).ask("PUT", "posts/1", body).status_code == 200
    [row] = login(EVE, "editor").rows("posts?id=eq.1&select=published,reviewer_id,views")
    assert row == {"published": True, "reviewer_id": BOB, "views": 0}
    assert (
        login(EVE, "editor").ask("PUT", "posts/99", {**body, "author_id": EVE}).status_code == 404
    )


def test_what_the_policy_fills_in_can_not_be_sent(login: Login) -> None:
    """A new post is of who asks."""
    sent = login(ANN).ask("POST", "posts", {"title": "x", "author_id": BOB})
    assert sent.status_code == 400
    made = login(str(ANN)).ask("POST", "posts", {"title": "x"})
    assert (made.status_code, made.get_json()["author_id"]) == (201, ANN)
    assert login().ask("POST", "comments", {"text": "x", "post_id": 1}).status_code == 401


@pytest.mark.parametrize("key", [4, 99])
def test_a_foreign_key_to_an_unreadable_row_is_one_to_a_missing_row(login: Login, key: int) -> None:
    """By itself, in an array, in a change and as a link: the same words."""
    ann = login(ANN)
    answers = [
        ann.ask("POST", "comments", {"text": "x", "post_id": key}),
        ann.ask("POST", "comments", [{"text": "x", "post_id": key}]),
        ann.ask("PATCH", "comments/4", {"post_id": key}),
        ann.ask("PATCH", "posts/2", {"parent": {"id": key}}),
    ]
    assert [a.status_code for a in answers] == [409, 409, 409, 400]
    for answer in answers:
        assert {e["code"] for e in answer.get_json()["errors"]} == {"reference-missing"}
    assert ann.ask("POST", "comments", {"text": "x", "post_id": 3}).status_code == 201


def test_nested_rows_are_held_against_their_own_policy(login: Login, engine: sa.Engine) -> None:
    """New ones, changed ones, and those that a list leaves out or takes over."""
    ann = login(ANN)
    nested = {"comments": [{"id": 1, "text": "changed"}]}
    assert ann.ask("PATCH", "posts/1", nested).status_code == 403
    assert login(EVE, "editor").ask("PATCH", "posts/1", {"comments": []}).status_code == 403
    assert ann.ask("PATCH", "posts/1", {"comments": [{"id": 1}]}).status_code == 200
    assert ann.ask("PATCH", "posts/1", {"comments": [{"id": 4}, {"id": 1}]}).status_code == 200
    assert ann.ask("PATCH", "posts/2", {"comments": [{"id": 1}]}).status_code == 403
    assert ann.ask("PATCH", "posts/2", {"replies": [{"id": 5}]}).status_code == 403
    assert ann.ask("PATCH", "posts/1", {"comments": [{"text": "new"}]}).status_code == 200
    assert sorted(map(str, values(engine, Comment.text, Comment.post_id == 1))) == ["new", "spam"]
    assert login(EVE, "x").ask("PATCH", "posts/5", {"comments": []}).status_code == 200


def test_unreadable_rows_of_a_list_stay_and_are_not_told_of(
    login: Login, engine: sa.Engine
) -> None:
    """Neither a hidden comment nor a private link is taken away, changed or in the way."""
    assert login(ANN).ask("PATCH", "posts/1", {"comments": []}).status_code == 200
    assert values(engine, Comment.id, Comment.post_id == 1) == [2]
    spam = login(ANN).ask("PATCH", "posts/1", {"comments": [{"id": 2, "text": "mine"}]})
    assert (spam.status_code, spam.get_json()["errors"][0]["code"]) == (400, "missing")
    writer = login(ANN, "writer")
    assert writer.ask("PATCH", "posts/1", {"tags": []}).status_code == 200
    assert sorted(values(engine, PostTag.tag_id, PostTag.post_id == 1)) == [2, 3]  # type: ignore[type-var]


def test_links_are_rows_of_their_table_with_a_policy(login: Login, engine: sa.Engine) -> None:
    """Linking creates one, unlinking deletes one."""
    ann = login(ANN)
    assert ann.ask("PATCH", "posts/1", {"tags": []}).status_code == 403
    assert ann.ask("PATCH", "posts/2", {"tags": [{"id": 1}]}).status_code == 200
    assert values(engine, PostTag.tag_id, PostTag.post_id == 2) == [1]
    assert ann.ask("PATCH", "posts/2", {"tags": [{"id": 2}]}).status_code == 400
    assert login(EVE, "admin").ask("PATCH", "posts/2", {"tags": []}).status_code == 200


def test_nesting_sets_no_foreign_key_that_may_not_be_written(
    login: Login, engine: sa.Engine
) -> None:
    """Neither one that the policy fills in, nor one that is for others."""
    ann, writer = login(ANN), login(ANN, "writer")
    assert ann.ask("PATCH", "users/1", {"posts": [{"title": "x"}]}).status_code == 400
    user = {"name": "new", "email": "new@mail.test"}
    assert writer.ask("PATCH", "teams/1", {"users": [user]}).status_code == 400
    assert writer.ask("PATCH", "teams/2", {"users": [{"id": ANN}]}).status_code == 400
    assert values(engine, Post.id, Post.title == "x") == []


def test_an_upsert_changes_and_creates_by_the_rules(login: Login, engine: sa.Engine) -> None:
    """Rows of others are a 403; an unreadable one in the way is a duplicate."""
    ann = login(ANN)
    merge = {"Prefer": "resolution=merge-duplicates"}
    assert ann.ask("POST", "posts", {"id": 3, "title": "mine"}, **merge).status_code == 403
    assert ann.ask("POST", "posts", {"id": 4, "title": "mine"}, **merge).status_code == 409
    assert ann.ask("POST", "posts", {"id": 2, "title": "mine"}, **merge).status_code == 200
    ignore = {"Prefer": "resolution=ignore-duplicates"}
    assert ann.ask("POST", "posts", {"id": 4, "title": "mine"}, **ignore).status_code == 409
    refused = ann.ask("POST", "posts", {"id": 2, "title": "x", "published": True}, **merge)
    assert refused.status_code == 400
    assert values(engine, Post.id, Post.title == "mine") == [2]


def test_an_upsert_matches_by_no_unreadable_field(login: Login) -> None:
    """That would be a filter by it."""
    user = {"name": "x", "email": "bob@mail.test"}
    refused = login(ANN, "writer").ask("POST", "users?on_conflict=email", user)
    unknown = login(ANN, "writer").ask("POST", "users?on_conflict=nope", user)
    assert (refused.status_code, unknown.status_code) == (400, 400)
    assert refused.text == unknown.text.replace("nope", "email")
    other = login(ANN, "writer").ask("POST", "users?on_conflict=team_id", user)
    assert (other.status_code, "email" in other.text) == (400, False)


def test_a_conflict_is_told_by_fields_that_may_be_known(login: Login) -> None:
    """That a value is taken can't be hidden; the names of unreadable fields can."""
    taken = {"title": "x", "slug": "bob-4"}
    answer = login(ANN).ask("POST", "posts", taken)
    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (409, "/slug")


def test_a_delete_says_that_a_row_is_still_pointed_at(login: Login, engine: sa.Engine) -> None:
    """Even where the rows that point at it can't be read: nothing else would be true."""
    with engine.begin() as connection, in_any_order(connection):
        connection.execute(sa.text("DELETE FROM comments"))
        connection.execute(sa.text("DELETE FROM post_tags"))
        connection.execute(sa.text("DELETE FROM posts"))
    assert login(ANN, "writer").ask("DELETE", "users/1").status_code == 409
    assert login(ANN, "writer").ask("DELETE", "users/2").status_code == 204


def test_the_answer_to_a_write_is_what_may_be_read(login: Login, engine: sa.Engine) -> None:
    """Its fields, its embeds, and nothing of a row that only may be written."""
    made = login(ANN).ask("PATCH", "posts/1?select=*,comments(id),tags(id)", {"views": 1})
    body = made.get_json()
    assert (body["comments"], body["tags"], "note" in body) == ([{"id": 1}], [{"id": 1}], False)
    several = login(ANN).ask("PATCH", "posts?id=eq.1&select=*,comments(id)", {"views": 2})
    assert several.get_json()["data"][0]["comments"] == [{"id": 1}]
    assert login(ANN).ask("PATCH", "posts/1?select=note", {"views": 3}).status_code == 400
    audit = login(ANN).ask("POST", "audits", {"text": "x"})
    assert (audit.status_code, audit.text) == (201, "")
    hidden = login(ANN).ask("POST", "comments", {"text": "x", "post_id": 1, "hidden": True})
    assert hidden.status_code == 201


def test_if_match_knows_nothing_of_unreadable_fields(login: Login) -> None:
    """The version that a row has for an actor stays when what it can't read changes."""
    etag = login(ANN).get("posts/1").headers["ETag"]
    assert login(EVE, "editor").ask("PATCH", "posts/1", {"note": "new"}).status_code == 200
    assert login(ANN).ask("PATCH", "posts/1", {"views": 1}, If_Match=etag).status_code == 200
    assert login(ANN).ask("PATCH", "posts/1", {"views": 2}, If_Match=etag).status_code == 412


def test_strangers_queue_nothing_that_depends_on_rows(login: Login) -> None:
    """A rule that compares lets nobody's write pass in the end: it is refused at once."""
    later = {"Prefer": "respond-async"}
    refused = login().ask("DELETE", "comments?text=eq.thanks", **later)
    assert refused.status_code == 401
    queued = login(ANN).ask("DELETE", "comments?text=eq.thanks", **later)
    assert queued.status_code == 202


def test_jobs_are_shown_to_whoever_queued_them(login: Login) -> None:
    """For another they aren't there."""
    change = {"title": "later"}
    queued = login(ANN).ask("PATCH", "posts?id=eq.2", change, Prefer="respond-async")
    path = queued.headers["Location"].removeprefix("/api/")
    assert login(ANN).ask("GET", path).status_code == 200
    assert login(BOB).ask("GET", path).status_code == 404
    assert login().ask("GET", path).status_code == 404
