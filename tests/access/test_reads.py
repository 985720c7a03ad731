"""Rows and fields that an actor may not read are nowhere in what they are answered."""

from __future__ import annotations

import csv
import io
import json

import pytest

from carboy.request import EXPORTS

from .conftest import Login
from .world import ANN, BOB, EVE


def ids(rows: list[dict[str, int]]) -> list[int]:
    """The rows' keys."""
    return [row["id"] for row in rows]


def test_a_list_has_the_rows_that_may_be_read(login: Login) -> None:
    """Everybody sees what is published; authors their own drafts; editors all."""
    assert ids(login().rows("posts")) == [1, 3, 5]
    assert ids(login(ANN).rows("posts")) == [1, 2, 3, 5]
    assert ids(login("2").rows("posts")) == [1, 3, 4, 5]
    assert ids(login(99).rows("posts")) == [1, 3, 5]
    assert ids(login("ann").rows("posts")) == [1, 3, 5]
    assert ids(login(EVE, "editor").rows("posts")) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("media", EXPORTS)
def test_an_export_has_the_rows_and_fields_of_the_list(login: Login, media: str) -> None:
    """Whoever asks: filtered, embedded, spread and grouped as well."""
    for query in (
        "order=id",
        "select=id,author(name),comments(*),tags(id)&order=id",
        "select=id,...author(by:name)&order=id",
        "select=id,author!inner(name)&order=id",
        "select=published,n:count()&order=published",
    ):
        for actor in (login(), login(ANN), login("2"), login(EVE, "editor")):
            found = actor.get(f"posts?{query}", Accept=media)
            assert (found.status_code, found.mimetype) == (200, media)
            listed = actor.rows(f"posts?{query}")
            if media == "text/csv":
                rows = list(csv.DictReader(io.StringIO(found.text)))
                assert [list(row) for row in rows] == [list(row) for row in listed]
                for row, values in zip(rows, listed, strict=True):
                    assert all(is_cell_of(row[name], values[name]) for name in values)
            else:
                is_array, lines = found.text.startswith("["), found.text.splitlines()
                rows = json.loads(found.text) if is_array else [json.loads(x) for x in lines]
                assert rows == listed


def is_cell_of(cell: str, value: object) -> bool:
    """Whether a cell says what the JSON does."""
    if value is None or isinstance(value, str):
        return cell == (value or "")
    return bool(json.loads(cell) == value)


def test_an_item_that_may_not_be_read_is_not_there(login: Login) -> None:
    """The answer is the same as for a key that no row has, and never a 403."""
    missing = login(ANN).get("posts/4")
    assert missing.status_code == 404
    assert missing.text == login(ANN).get("posts/99").text.replace("99", "4")
    assert login(BOB).get("posts/4").status_code == 200
    assert login(BOB, "editor").get("posts/2").status_code == 200


def test_embeds_show_what_may_be_read(login: Login) -> None:
    """At every depth: to one, to many, through link tables whose rows have a policy, too."""
    shown = login(ANN).rows("posts?select=id,author(name),comments(id),tags(id)&order=id")
    assert shown[0] == {
        "id": 1,
        "author": {"name": "ann"},
        "comments": [{"id": 1}],
        "tags": [{"id": 1}],
    }
    assert [row["author"] for row in shown] == [
        {"name": "ann"}, {"name": "ann"}, {"name": "bob"}, None,
    ]  # fmt: skip
    editor = login(EVE, "editor").json("posts/1?select=comments(id),tags(id,posts(id))")
    assert editor == {
        "comments": [{"id": 1}, {"id": 2}],
        "tags": [
            {"id": 1, "posts": [{"id": 1}, {"id": 3}]},
            {"id": 2, "posts": [{"id": 1}]},
            {"id": 3, "posts": [{"id": 1}, {"id": 4}]},
        ],
    }
    deep = login(ANN).json("teams/1?select=users(name,posts(id,replies(id)))")
    assert deep == {
        "users": [
            {"name": "ann", "posts": [{"id": 1, "replies": []}, {"id": 2, "replies": []}]},
            {"name": "bob", "posts": [{"id": 3, "replies": [{"id": 5}]}]},
        ]
    }


def test_inner_embeds_and_tests_for_null_go_by_what_may_be_read(login: Login) -> None:
    """A row whose only related rows are unreadable has none."""
    assert ids(login(ANN).rows("posts?select=id,author!inner(name)")) == [1, 2, 3]
    assert ids(login(ANN).rows("posts?select=id,author()&author=is.null")) == [5]
    assert ids(login(ANN).rows("posts?select=id,comments()&comments=is.null")) == [2, 5]
    spam = "posts?select=id,comments()&comments.text=eq.spam&comments=not.is.null"
    assert ids(login(EVE).rows(spam)) == [1]
    assert ids(login(ANN).rows(spam)) == []


def test_counts_and_aggregates_are_of_what_may_be_read(login: Login) -> None:
    """Exact and estimated ones, pages, groups, and aggregates of relations."""
    for count in ("exact", "planned", "estimated"):
        response = login(ANN).get("posts", Prefer=f"count={count}")
        assert response.get_json()["total"] == 4
        assert response.headers["Preference-Applied"] == "count=exact"
    assert login(ANN).json("posts?page=1&per_page=3")["pages"] == 2
    assert login(ANN).rows("posts?select=count(),views.sum()") == [{"count": 4, "sum": 0}]
    assert login(BOB).rows("posts?select=count(),views.sum()") == [{"count": 4, "sum": 7}]
    grouped = login(ANN).rows("posts?select=published,count()&order=published")
    assert grouped == [{"published": False, "count": 1}, {"published": True, "count": 3}]
    counted = login().rows("teams?select=id,users(count())")
    assert counted == [{"id": 1, "users": [{"count": 0}]}, {"id": 2, "users": [{"count": 0}]}]


def test_orders_by_relation_see_only_what_may_be_read(login: Login) -> None:
    """The name of an unreadable author is NULL to an order."""
    order = "posts?select=id&order=author(name).asc.nullsfirst,id"
    assert ids(login(ANN).rows(order)) == [5, 1, 2, 3]


def test_a_search_is_in_what_may_be_read(login: Login) -> None:
    """Neither an unreadable row nor an unreadable field is found."""
    assert ids(login(ANN).rows("posts?q=draft")) == [2]
    assert ids(login(ANN).rows("posts?q=praise")) == []
    assert ids(login(EVE, "editor").rows("posts?q=praise")) == [3]


@pytest.mark.parametrize(
    "query",
    [
        "select=note",
        "select=x:note",
        "note=eq.weak",
        "note=not.is.null",
        "or=(note.eq.weak,id.eq.1)",
        "order=note",
        "select=note.max()",
        "select=note,count()",
        "select=note.count()",
        "select=id,author(posts(note))",
        "select=id,author(posts())&author.posts.note=eq.weak",
        "select=id,author(posts(id))&author.posts.order=note",
        "select=id,replies(note)",
    ],
)
def test_an_unreadable_field_is_an_unknown_one(login: Login, query: str) -> None:
    """In every place where a field can stand, the answer is that to a name that isn't there."""
    refused = login(ANN).get(f"posts?{query}")
    unknown = login(ANN).get(f"posts?{query.replace('note', 'nope')}")
    assert (refused.status_code, unknown.status_code) == (400, 400)
    assert refused.text == unknown.text.replace("nope", "note")
    assert login(EVE, "editor").get(f"posts?{query}").status_code == 200


def test_a_relation_by_an_unreadable_column_is_unknown(login: Login) -> None:
    """Whom it leads to would tell what the column holds."""
    assert login(ANN).get("posts?select=reviewer(name)").status_code == 400
    assert login(EVE, "editor").json("posts/3?select=reviewer(name)") == {
        "reviewer": {"name": "eve"}
    }


def test_what_nobody_may_read_is_unknown_as_a_relation(login: Login) -> None:
    """And by itself a 401 to nobody, a 403 to somebody."""
    assert login(ANN).get("users?select=audits(text)").status_code == 400
    assert login(ANN).get("audits").status_code == 403
    assert login(ANN).get("audits/1").status_code == 403
    anonymous = login().get("audits")
    assert anonymous.status_code == 401
    assert anonymous.headers["WWW-Authenticate"] == "Bearer"
    assert login(ANN, "admin").rows("users?select=id,audits(text)&id=eq.1") == [
        {"id": 1, "audits": [{"text": "seen"}]}
    ]
    names = [r["name"] for r in login(ANN).json("")["resources"]]
    assert "audits" not in names
    assert "posts" in names


def test_a_version_says_nothing_of_unreadable_fields(login: Login) -> None:
    """The ETag changes with what may be read, and not with the rest."""
    editor, ann = login(EVE, "editor"), login(ANN)
    before = ann.get("posts/1"), editor.get("posts/1")
    assert editor.ask("PATCH", "posts/1", {"note": "new"}).status_code == 200
    after = ann.get("posts/1"), editor.get("posts/1")
    assert before[0].headers["ETag"] == after[0].headers["ETag"]
    assert before[1].headers["ETag"] != after[1].headers["ETag"]
    again = ann.get("posts/1", If_None_Match=before[0].headers["ETag"])
    assert again.status_code == 304


def test_pages_by_cursor_hold_what_may_be_read(login: Login) -> None:
    """One row a page, none twice, and no page for what can't be seen."""
    found, path = [], "posts?select=id&limit=1&order=title"
    while path:
        body = login(ANN).json(path)
        found += ids(body["data"])
        path = f"posts?select=id&limit=1&order=title&after={body['next']}" if body["next"] else ""
    assert found == [2, 1, 3, 5]
