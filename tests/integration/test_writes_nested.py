"""Nested writes: a parent with its children and links, in one transaction."""

from __future__ import annotations

from typing import Any

import pytest

from .models import Shop, faults, make_shop

SHAPE = "select=id,title,author(username),tags(id,name),comments(id,body)"
ANN = {"username": "ann", "email": "ann@example.org"}


def test_a_parent_is_created_with_its_children(market: Shop) -> None:
    """New children, new tags, a linked tag and a new author are written together."""
    market.create("tags", {"name": "old"})
    body = {
        "title": "t",
        "author": ANN,
        "tags": [{"id": 1}, {"name": "new"}],
        "comments": [{"body": "first"}, {"body": "second"}],
    }
    response = market.send("POST", f"posts?{SHAPE}", body)
    assert response.status_code == 201, response.text
    assert response.json == {
        "id": 1,
        "title": "t",
        "author": {"username": "ann"},
        "tags": [{"id": 1, "name": "old"}, {"id": 2, "name": "new"}],
        "comments": [{"id": 1, "body": "first"}, {"id": 2, "body": "second"}],
    }


def test_arrays_nest_too(market: Shop) -> None:
    """Each row of a bulk write may have children of its own."""
    market.create("tags", {"name": "x"})
    rows = [{"title": str(n), "tags": [{"id": 1}], "comments": [{"body": str(n)}]} for n in (1, 2)]
    response = market.send("POST", "posts?select=tags(name),comments(body)", rows)
    assert response.json == {
        "data": [{"tags": [{"name": "x"}], "comments": [{"body": str(n)}]} for n in (1, 2)]
    }


def test_patch_replaces_the_links_of_many_to_many(market: Shop) -> None:
    """The list is the whole set of links; rows that are no longer linked stay."""
    market.create("posts", {"title": "t", "tags": [{"name": "a"}, {"name": "b"}]})
    body = {"tags": [{"id": 2}, {"name": "c"}]}
    response = market.send("PATCH", "posts/1?select=tags(name)", body)
    assert response.json == {"tags": [{"name": "b"}, {"name": "c"}]}
    assert market.rows("SELECT count(*) FROM tags") == [(3,)]
    assert market.send("PATCH", "posts/1?select=tags(name)", {"tags": []}).json == {"tags": []}


def test_patch_syncs_the_children_of_one_to_many(market: Shop) -> None:
    """With a key: changed; without: created; left out: deleted where the model says so."""
    market.create("posts", {"title": "t", "comments": [{"body": "a"}, {"body": "b"}]})
    body = {"comments": [{"id": 2, "body": "changed"}, {"body": "c"}]}
    response = market.send("PATCH", "posts/1?select=comments(id,body)", body)
    assert response.json == {"comments": [{"id": 2, "body": "changed"}, {"id": 3, "body": "c"}]}
    assert market.rows("SELECT id FROM comments ORDER BY id") == [(2,), (3,)]


def test_children_without_delete_orphan_let_go_if_they_can(market: Shop) -> None:
    """Left-out children whose foreign key can be null stay without a parent."""
    market.create("users", {**ANN, "posts": [{"title": "a"}, {"title": "b"}]})
    response = market.send("PATCH", "users/1?select=posts(title)", {"posts": [{"id": 2}]})
    assert response.json == {"posts": [{"title": "b"}]}
    assert market.rows("SELECT author_id FROM posts ORDER BY id") == [(None,), (1,)]


def test_children_that_need_their_parent_cant_be_left_out(market: Shop) -> None:
    """Without delete-orphan and with a foreign key that can't be null it is a 400."""
    market.create("shelves", {"name": "s", "books": [{"title": "a"}, {"title": "b"}]})
    response = market.send("PATCH", "shelves/1", {"books": [{"id": 1}]})
    assert (response.status_code, faults(response)) == (400, [("/books", "orphans")])
    assert market.rows("SELECT shelf_id FROM books") == [(1,), (1,)]


def test_a_to_one_relation_links_creates_and_lets_go(market: Shop) -> None:
    """A key links a row, other fields create one, null lets go."""
    market.create("users", ANN)
    linked = market.send("POST", "posts?select=author_id", {"title": "t", "author": {"id": 1}})
    assert linked.json == {"author_id": 1}
    bob = {"username": "bob", "email": "bob@x"}
    assert market.send("PATCH", "posts/1?select=author(username)", {"author": bob}).json == {
        "author": {"username": "bob"}
    }
    assert market.send("PATCH", "posts/1?select=author_id", {"author": None}).json == {
        "author_id": None
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tags": [{"id": 99}]}, [("/tags/0", "reference-missing")]),
        ({"tags": [{"id": 1}, {"id": 98}, {"id": 99}]},
         [("/tags/1", "reference-missing"), ("/tags/2", "reference-missing")]),
        ({"author": {"id": 99}}, [("/author", "reference-missing")]),
        ({"tags": [{"id": "x"}]}, [("/tags/0/id", "invalid")]),
        ({"tags": [{"id": None}]}, [("/tags/0/id", "not-null")]),
        ({"tags": {"id": 1}}, [("/tags", "invalid")]),
        ({"tags": None}, [("/tags", "invalid")]),
        ({"tags": [1]}, [("/tags/0", "invalid")]),
        ({"tags": [{"id": 1, "name": "x"}]}, [("/tags/0", "invalid")]),
        ({"tags": [{"nam": "x"}]},
         [("/tags/0/nam", "unknown-field"), ("/tags/0/name", "required")]),
        ({"tags": [{}]}, [("/tags/0/name", "required")]),
        ({"author": []}, [("/author", "invalid")]),
        ({"author": {"username": "a", "email": "a"}}, [("/author/email", "invalid")]),
        ({"comments": [{}]}, [("/comments/0/body", "required")]),
        ({"comments": [{"body": "b", "post_id": 1}]}, [("/comments/0/post_id", "invalid")]),
        ({"author": {"id": 1}, "author_id": 1}, [("/author_id", "invalid")]),
        ({"comments": [{"body": "x", "post": {"title": "u"}}]},
         [("/comments/0/post", "invalid")]),
    ],
)  # fmt: skip
def test_nested_faults_have_their_pointers(
    market: Shop, body: Any, expected: list[tuple[str, str]]
) -> None:
    """What is wrong below is pointed at, and nothing of the parent is written."""
    market.create("tags", {"name": "t"})
    response = market.send("POST", "posts", {"title": "t", **body})
    assert response.status_code == 400, response.text
    assert sorted(faults(response)) == sorted(expected)
    assert market.rows("SELECT count(*) FROM posts") == [(0,)]


def test_a_nested_duplicate_is_pointed_at(market: Shop) -> None:
    """A constraint of the child's table names the place in the parent's body."""
    market.create("tags", {"name": "taken"})
    response = market.send("POST", "posts", {"title": "t", "tags": [{"name": "taken"}]})
    assert (response.status_code, faults(response)) == (409, [("/tags/0/name", "duplicate")])
    assert market.rows("SELECT count(*) FROM posts") == [(0,)]


def test_a_child_that_isnt_there_cant_be_changed(market: Shop) -> None:
    """A key with other fields must be among the parent's children."""
    market.create("posts", [{"title": "t", "comments": [{"body": "a"}]}, {"title": "u"}])
    response = market.send("PATCH", "posts/2", {"comments": [{"id": 1, "body": "mine"}]})
    assert (response.status_code, faults(response)) == (400, [("/comments/0", "missing")])
    assert market.rows("SELECT body, post_id FROM comments") == [("a", 1)]


def test_nesting_is_bounded(database_url: str) -> None:
    """CARBOY_MAX_DEPTH limits nested writes as it does embeds."""
    market = make_shop(database_url, CARBOY_MAX_DEPTH=1)
    body = {**ANN, "posts": [{"title": "t", "tags": [{"name": "n"}]}]}
    response = market.send("POST", "users", body)
    assert (response.status_code, "CARBOY_MAX_DEPTH" in response.text) == (400, True)
    market.close()


def test_unexposed_relations_dont_exist(market: Shop) -> None:
    """A relationship to a class without a resource is an unknown field."""
    body = {"code": "DE", "name": "Germany", "cities": []}
    assert faults(market.send("POST", "countries", body)) == [("/cities", "unknown-field")]


def test_read_only_resources_cant_be_written_through_others(market: Shop) -> None:
    """A nested write obeys the target's read_only."""
    response = market.send("POST", "users", {**ANN, "badges": [{"name": "x"}]})
    assert faults(response) == [("/badges", "read-only")]


def test_a_foreign_key_without_a_relationship_is_written_by_its_column(market: Shop) -> None:
    """Relations that only a foreign key suggests can be read, and say how to write them."""
    response = market.send("POST", "tags", {"name": "x", "posts": []})
    assert (response.status_code, faults(response)) == (400, [("/posts", "read-only")])
