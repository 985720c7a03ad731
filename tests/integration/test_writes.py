"""Writes over HTTP, each the same on every database."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from .models import Shop, faults, make_shop

ANN = {"username": "ann", "email": "ann@example.org"}
BOB = {"username": "bob", "email": "bob@example.org"}


# Creating


def test_post_answers_the_new_row_with_its_address_and_etag(market: Shop) -> None:
    """A created row is answered whole, defaults included, and its Location reads the same."""
    response = market.send("POST", "users?select=id,username,email,role,balance,bio", ANN)
    assert response.status_code == 201
    expected = {**ANN, "id": 1, "role": "reader", "balance": "0.00", "bio": None}
    assert response.json == expected
    assert response.headers["Location"] == "/api/users/1"
    read = market.client.get("/api/users/1?select=id,username,email,role,balance,bio")
    assert read.json == expected
    assert read.headers["ETag"] == response.headers["ETag"]


@pytest.mark.parametrize(
    ("path", "body", "location"),
    [
        ("countries", {"code": "DE", "name": "Germany"}, "/api/countries/DE"),
        ("seats", {"row": 3, "number": "A", "name": None}, "/api/seats/3,A"),
        ("seats", {"row": 3, "number": "a,b", "name": None}, "/api/seats/3,%22a,b%22"),
        ("seats", {"row": 3, "number": "ü/1", "name": None}, "/api/seats/3,%C3%BC/1"),
        ("countries", {"code": "?#", "name": "x"}, "/api/countries/%3F%23"),
    ],
)
def test_every_kind_of_key_makes_an_address_that_works(
    market: Shop, path: str, body: Any, location: str
) -> None:
    """Location is the path from which the row can be read again."""
    response = market.send("POST", path, body)
    assert (response.status_code, response.json) == (201, body)
    assert response.headers["Location"] == location
    assert market.client.get(location).json == body


def test_hidden_fields_take_their_default(market: Shop) -> None:
    """A field that can be neither read nor written is filled by the model, unseen."""
    assert market.create("secrets", {"name": "s"}) == {"id": 1, "name": "s"}
    assert market.rows("SELECT hash FROM secrets") == [("x",)]


def test_a_uuid_key_is_made_by_the_model(market: Shop) -> None:
    """A key with a default of Python's is in the answer."""
    response = market.send("POST", "tokens", {"label": "x"})
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/tokens/{response.json['id']}"


def test_an_empty_object_creates_a_row_of_defaults(market: Shop) -> None:
    """``{}`` is a row where everything has a default; here it lacks what is required."""
    assert faults(market.send("POST", "tags", {})) == [("/name", "required")]
    assert market.send("POST", "posts", {"title": "t"}).json["views"] == 0


def test_return_minimal_answers_no_body(market: Shop) -> None:
    """With return=minimal there is a status, a Location and no body."""
    response = market.send("POST", "users", ANN, Prefer="return=minimal")
    assert (response.status_code, response.data) == (201, b"")
    assert response.headers["Location"] == "/api/users/1"
    assert response.headers["Preference-Applied"] == "return=minimal"
    patched = market.send("PATCH", "users/1", {"bio": "b"}, Prefer="return=minimal")
    assert (patched.status_code, patched.data) == (204, b"")


def test_select_shapes_the_answer_of_a_write(market: Shop) -> None:
    """The representation takes the same select as a read, relations included."""
    market.create("users", ANN)
    body = {"title": "t", "author_id": 1}
    response = market.send("POST", "posts?select=title,by:author(username)", body)
    assert response.json == {"title": "t", "by": {"username": "ann"}}


def test_an_array_is_created_whole_in_the_order_sent(market: Shop) -> None:
    """Bulk answers keep the request's order, whatever the keys' order is."""
    body = [{"code": c, "name": c.lower()} for c in ("ZA", "AT", "MX")]
    response = market.send("POST", "countries?select=code", body)
    assert response.status_code == 201
    assert response.json == {"data": [{"code": "ZA"}, {"code": "AT"}, {"code": "MX"}]}
    assert response.headers["Affected-Rows"] == "3"


def test_a_long_array_keeps_its_order(market: Shop) -> None:
    """Answers are read in several parts without mixing them up."""
    body = [{"row": n * 7919 % 1301, "number": "x"} for n in range(1301)]
    response = market.send("POST", "seats?select=row", body)
    assert [row["row"] for row in response.json["data"]] == [row["row"] for row in body]


def test_an_empty_array_creates_nothing(market: Shop) -> None:
    """No rows are no error."""
    response = market.send("POST", "users", [])
    assert (response.status_code, response.json) == (200, {"data": []})


def test_the_models_rules_run(market: Shop) -> None:
    """Defaults and @validates of the class run as they would in Python."""
    row = market.create("users", {**ANN, "email": "ANN@Example.org"})
    assert row["email"] == "ann@example.org"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["created_at"])


def test_mapper_events_run(market: Shop) -> None:
    """Events of the application's mappers see each row."""
    seen: list[str] = []
    sa.event.listen(market.models["Tag"], "before_insert", lambda m, c, t: seen.append(t.name))
    market.create("tags", [{"name": "a"}, {"name": "b"}])
    assert seen == ["a", "b"]


# What is refused before SQL

BAD_ROWS = [
    ({"username": "a"}, [("/email", "required")]),
    ({}, [("/username", "required"), ("/email", "required")]),
    ({**ANN, "id": 5}, [("/id", "read-only")]),
    ({**ANN, "usernam": "x"}, [("/usernam", "unknown-field")]),
    ({**ANN, "a/b~c": "x"}, [("/a~1b~0c", "unknown-field")]),
    ({**ANN, "username": None}, [("/username", "not-null")]),
    ({**ANN, "username": 5}, [("/username", "invalid")]),
    ({**ANN, "username": "x" * 21}, [("/username", "invalid")]),
    ({**ANN, "username": ["x"]}, [("/username", "invalid")]),
    ({**ANN, "username": {"x": 1}}, [("/username", "invalid")]),
    ({**ANN, "role": "king"}, [("/role", "invalid")]),
    ({**ANN, "role": 1}, [("/role", "invalid")]),
    ({**ANN, "balance": "1.234"}, [("/balance", "invalid")]),
    ({**ANN, "balance": "123456789.00"}, [("/balance", "invalid")]),
    ({**ANN, "balance": "NaN"}, [("/balance", "invalid")]),
    ({**ANN, "balance": True}, [("/balance", "invalid")]),
    ({**ANN, "created_at": "yesterday"}, [("/created_at", "invalid")]),
    ({**ANN, "created_at": 1}, [("/created_at", "invalid")]),
    ({**ANN, "email": "nowhere"}, [("/email", "invalid")]),
    ({"username": 1, "role": "x", "what": 1},
     [("/username", "invalid"), ("/role", "invalid"), ("/what", "unknown-field"),
      ("/email", "required")]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), BAD_ROWS)
def test_bad_rows_are_refused_with_every_fault(
    market: Shop, body: Any, expected: list[tuple[str, str]]
) -> None:
    """A 400 lists each fault once, and nothing is written."""
    response = market.send("POST", "users", body)
    assert response.status_code == 400
    assert response.json["type"] == "urn:carboy:error:invalid-body"
    assert sorted(faults(response)) == sorted(expected)
    assert market.rows("SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("posts", {"title": "t", "views": 2**31}, [("/views", "invalid")]),
        ("posts", {"title": "t", "views": 1.5}, [("/views", "invalid")]),
        ("posts", {"title": "t", "published": "yes"}, [("/published", "invalid")]),
        ("tokens", {"label": "x", "id": "no"}, [("/id", "read-only")]),
        ("countries", {"code": "DEU", "name": "x"}, [("/code", "invalid")]),
        ("countries", {"name": "x"}, [("/code", "required")]),
        ("seats", {"row": 1, "number": "A", "name": "nobody"}, [("/name", "invalid")]),
        ("secrets", {"name": "s", "hash": "h"}, [("/hash", "unknown-field")]),
    ],
)
def test_each_resource_has_its_own_rules(
    market: Shop, path: str, body: Any, expected: list[tuple[str, str]]
) -> None:
    """Ranges, keys, the validation callable and hidden fields are checked per resource."""
    response = market.send("POST", path, body)
    assert response.status_code == 400
    assert faults(response) == expected


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "users", 5, 400),
        ("POST", "users", "x", 400),
        ("POST", "users", [1], 400),
        ("POST", "users", [[]], 400),
        ("PATCH", "users/1", [], 400),
        ("PUT", "users/1", [ANN], 400),
        ("PATCH", "users?id=eq.1", [ANN], 400),
        ("POST", "users/1", ANN, 405),
        ("PUT", "users", ANN, 405),
        ("POST", "nothing", {}, 404),
        ("POST", "users?id=eq.1", ANN, 400),
        ("POST", "users?limit=1", ANN, 400),
        ("PATCH", "users?id=eq.1&limit=1", {"bio": "x"}, 400),
        ("PATCH", "users?id=eq.1&order=id", {"bio": "x"}, 400),
        ("DELETE", "users?id=eq.1&offset=1", None, 400),
        ("DELETE", "users?q=a", None, 400),
        ("PATCH", "users?on_conflict=id", {"bio": "x"}, 400),
        ("PATCH", "users", {"bio": "x"}, 400),
        ("DELETE", "users", None, 400),
        ("POST", "users?select=count()", ANN, 400),
        ("POST", "users?select=nope", ANN, 400),
        ("PATCH", "users/x", {"bio": "x"}, 404),
        ("PATCH", "users/99", {"bio": "x"}, 404),
        ("PUT", "users/99", ANN, 404),
        ("DELETE", "users/99", None, 404),
        ("DELETE", "users/1,2", None, 404),
        ("PATCH", "users/1", {"id": 2}, 400),
        ("POST", "users?on_conflict=bio", ANN, 400),
        ("POST", "users?on_conflict=nope", ANN, 400),
    ],
)
def test_requests_that_make_no_sense_change_nothing(
    market: Shop, method: str, path: str, body: Any, status: int
) -> None:
    """Each is refused with its own status, and the row that is there stays as it was."""
    market.create("users", BOB)
    response = market.send(method, path, body)
    assert response.status_code == status, response.text
    assert market.rows("SELECT id, username, bio FROM users") == [(1, "bob", None)]


def test_faults_name_the_nearest_field(market: Shop) -> None:
    """A typo is answered with what was probably meant."""
    response = market.send("POST", "users", {**ANN, "usrname": "x"})
    assert "did you mean username" in response.json["detail"]


def test_faults_of_an_array_carry_their_rows(market: Shop) -> None:
    """Each fault says in which row it is, and good rows aren't written either."""
    response = market.send("POST", "users", [ANN, {"username": "x"}, {**BOB, "role": "x"}])
    found = [(e["row"], e["pointer"]) for e in response.json["errors"]]
    assert found == [(1, "/1/email"), (2, "/2/role")]
    assert market.rows("SELECT count(*) FROM users") == [(0,)]


def test_faults_are_listed_up_to_a_hundred(market: Shop) -> None:
    """The list is cut, and the detail says so."""
    response = market.send("POST", "tags", [{} for _ in range(150)])
    assert len(response.json["errors"]) == 100
    assert "150 faults in all; the first 100 are listed" in response.json["detail"]


def test_validators_of_all_rows_are_heard(market: Shop) -> None:
    """What @validates refuses is a 400 with the exception's own text, for every row."""
    rows = [{"username": "a", "email": "a"}, {"username": "b", "email": "b"}]
    response = market.send("POST", "users", rows)
    assert response.status_code == 400
    assert faults(response) == [("/0/email", "invalid"), ("/1/email", "invalid")]
    assert response.json["errors"][0]["detail"] == "email must have an @"


def test_missing_null_gives_null_for_default(market: Shop) -> None:
    """Prefer: missing=null writes null where a field that can be null is left out."""
    response = market.send("POST", "posts", {"title": "t"}, Prefer="missing=null")
    assert response.json["author_id"] is None
    assert response.headers["Preference-Applied"] == "missing=null"


def test_too_many_rows_are_refused(database_url: str) -> None:
    """CARBOY_MAX_ROWS bounds bodies, nested rows included, and bulk writes."""
    market = make_shop(database_url, CARBOY_MAX_ROWS=2)
    tags = [{"name": n} for n in "abc"]
    assert market.send("POST", "tags", tags).status_code == 413
    assert market.send("POST", "posts", {"title": "t", "tags": tags}).status_code == 413
    for tag in tags:
        market.create("tags", tag)
    assert market.send("DELETE", "tags?id=gt.0").status_code == 400
    assert market.rows("SELECT count(*) FROM tags") == [(3,)]
    market.close()


# Changing and deleting


def test_patch_changes_what_is_named(market: Shop) -> None:
    """PATCH leaves the other fields alone and answers the row."""
    market.create("users", ANN)
    response = market.send("PATCH", "users/1?select=username,bio", {"bio": "hello"})
    assert (response.status_code, response.json) == (200, {"username": "ann", "bio": "hello"})


def test_an_empty_patch_changes_nothing(market: Shop) -> None:
    """``{}`` is a PATCH of no field."""
    before = market.create("users", ANN)
    assert market.send("PATCH", "users/1", {}).json == before


def test_put_sets_what_is_left_out_to_its_default(market: Shop) -> None:
    """PUT is the whole row: what it leaves out is the default again, or null."""
    market.create("users", {**ANN, "bio": "b", "role": "writer", "balance": "5"})
    response = market.send("PUT", "users/1?select=username,bio,role,balance", ANN)
    assert response.status_code == 200
    assert response.json == {"username": "ann", "bio": None, "role": "reader", "balance": "0.00"}
    market.create("posts", {"title": "t", "views": 7})
    assert market.send("PUT", "posts/1", {"title": "u"}).json["views"] == 0


def test_put_asks_for_what_is_required(market: Shop) -> None:
    """PUT without a required field is a 400."""
    market.create("users", ANN)
    assert faults(market.send("PUT", "users/1", {"username": "x"})) == [("/email", "required")]


def test_put_may_repeat_the_key_but_not_change_it(market: Shop) -> None:
    """What was read can be sent back; another key than the URL's is a 400."""
    market.create("users", ANN)
    assert market.send("PUT", "users/1", {**ANN, "id": 1}).status_code == 200
    assert faults(market.send("PUT", "users/1", {**ANN, "id": 2})) == [("/id", "key-mismatch")]
    assert market.send("PUT", "countries/DE", {"code": "FR", "name": "x"}).status_code == 400


def test_put_creates_where_the_client_chooses_the_key(market: Shop) -> None:
    """A writable key makes PUT create what isn't there, with 201, and then replace it."""
    first = market.send("PUT", "countries/DE", {"name": "Germany"})
    assert (first.status_code, first.json) == (201, {"code": "DE", "name": "Germany"})
    assert first.headers["Location"] == "/api/countries/DE"
    again = market.send("PUT", "countries/DE", {"name": "Deutschland"})
    assert (again.status_code, again.json["name"]) == (200, "Deutschland")
    assert market.send("PUT", "seats/1,B", {"name": "x"}).status_code == 201


def test_patch_can_change_a_natural_key(market: Shop) -> None:
    """A writable key can be changed, and the answer is the row under its new key."""
    market.create("countries", {"code": "DE", "name": "Germany"})
    assert market.send("PATCH", "countries/DE", {"code": "GE"}).json["code"] == "GE"
    assert market.client.get("/api/countries/DE").status_code == 404


def test_delete_answers_204_and_then_404(market: Shop) -> None:
    """A deleted row is gone."""
    market.create("users", ANN)
    response = market.send("DELETE", "users/1")
    assert (response.status_code, response.data) == (204, b"")
    assert market.send("DELETE", "users/1").status_code == 404


def test_delete_can_answer_the_row_that_it_deleted(market: Shop) -> None:
    """return=representation on DELETE answers the row as it was."""
    row = market.create("users", ANN)
    response = market.send("DELETE", "users/1", Prefer="return=representation")
    assert (response.status_code, response.json) == (200, row)


def test_delete_follows_the_models_cascades(market: Shop) -> None:
    """Children under delete-orphan go with their parent, links of many-to-many too."""
    market.create("posts", {"title": "t", "comments": [{"body": "b"}], "tags": [{"name": "n"}]})
    assert market.send("DELETE", "posts/1").status_code == 204
    assert market.rows("SELECT count(*) FROM comments") == [(0,)]
    assert market.rows("SELECT count(*) FROM tags") == [(1,)]


def test_bulk_patch_changes_what_the_filter_matches(market: Shop) -> None:
    """A filtered PATCH answers the changed rows by key, and counts them."""
    market.create("tags", [{"name": n} for n in "abc"])
    market.create("posts", [{"title": t} for t in ("x", "y", "x")])
    response = market.send("PATCH", "posts?title=eq.x&select=id,views", {"views": 9})
    assert response.status_code == 200
    assert response.json == {"data": [{"id": 1, "views": 9}, {"id": 3, "views": 9}]}
    assert response.headers["Affected-Rows"] == "2"
    minimal = market.send("PATCH", "posts?id=gt.1", {"views": 1}, Prefer="return=minimal")
    assert (minimal.status_code, minimal.headers["Affected-Rows"]) == (204, "2")


def test_bulk_writes_filter_by_related_rows(market: Shop) -> None:
    """A filter may look through an inner embed, as in a read."""
    market.create("users", [ANN, BOB])
    market.create("posts", [{"title": "t", "author_id": n} for n in (1, 2, 1)])
    path = "posts?select=id,author!inner(username)&author.username=eq.ann"
    assert market.send("DELETE", path).headers["Affected-Rows"] == "2"
    assert market.rows("SELECT id FROM posts") == [(2,)]


def test_bulk_delete_answers_the_deleted_rows_on_request(market: Shop) -> None:
    """A filtered DELETE says how many, and with return=representation which."""
    market.create("tags", [{"name": n} for n in "abc"])
    response = market.send("DELETE", "tags?name=in.(a,c)", Prefer="return=representation")
    assert response.json == {"data": [{"id": 1, "name": "a"}, {"id": 3, "name": "c"}]}
    nothing = market.send("DELETE", "tags?name=eq.zzz")
    assert (nothing.status_code, nothing.headers["Affected-Rows"]) == (204, "0")


def test_validators_refuse_bulk_changes(market: Shop) -> None:
    """What @validates or a constraint refuses in a filtered PATCH is told without a row."""
    market.create("users", [ANN, BOB])
    response = market.send("PATCH", "users?id=gt.0", {"email": "x"})
    assert (response.status_code, faults(response)) == (400, [("/email", "invalid")])
    taken = market.send("PATCH", "users?id=gt.0", {"username": "same"})
    assert (taken.status_code, faults(taken)) == (409, [("/username", "duplicate")])
    assert market.rows("SELECT count(*) FROM users WHERE username = 'same'") == [(0,)]


def test_max_affected_rolls_back_what_is_more(market: Shop) -> None:
    """Prefer: max-affected refuses a bulk write of more rows, whole."""
    market.create("tags", [{"name": n} for n in "abc"])
    response = market.send("DELETE", "tags?id=gt.0", Prefer="max-affected=2")
    assert (response.status_code, response.json["type"]) == (400, "urn:carboy:error:limit-exceeded")
    assert market.rows("SELECT count(*) FROM tags") == [(3,)]
    allowed = market.send("DELETE", "tags?id=gt.1", Prefer="max-affected=2")
    assert (allowed.status_code, allowed.headers["Preference-Applied"]) == (204, "max-affected=2")


def test_a_dry_run_answers_as_if_and_leaves_nothing(market: Shop) -> None:
    """Prefer: tx=rollback does everything but the COMMIT."""
    response = market.send("POST", "users?select=username", ANN, Prefer="tx=rollback")
    assert (response.status_code, response.json) == (201, {"username": "ann"})
    assert response.headers["Preference-Applied"] == "tx=rollback"
    market.create("users", BOB)
    assert market.send("DELETE", "users?id=gt.0", Prefer="tx=rollback").status_code == 204
    again = market.send("POST", "users", {**ANN, "username": "bob"}, Prefer="tx=rollback")
    assert again.status_code == 409
    assert market.rows("SELECT username FROM users") == [("bob",)]


# Constraints


def test_a_duplicate_names_its_field(market: Shop) -> None:
    """A taken value is a 409 that points at the field, without the other row's values."""
    market.create("users", ANN)
    response = market.send("POST", "users", {**BOB, "username": "ann"})
    assert response.status_code == 409
    assert response.json["error"] == "a row of 'users' with this username already exists"
    assert faults(response) == [("/username", "duplicate")]
    assert "example.org" not in response.text


def test_every_duplicate_field_is_named(market: Shop) -> None:
    """A row that breaks two constraints hears of both, although databases stop at the first."""
    market.create("users", ANN)
    response = market.send("POST", "users", ANN)
    assert faults(response) == [("/username", "duplicate"), ("/email", "duplicate")]


def test_a_duplicate_key_of_several_fields_names_them(market: Shop) -> None:
    """The fields of a composite key are named together."""
    market.create("seats", {"row": 1, "number": "A"})
    response = market.send("POST", "seats", {"row": 1, "number": "A"})
    assert response.status_code == 409
    assert "row and number already exists" in response.json["detail"]


def test_a_change_can_be_a_duplicate(market: Shop) -> None:
    """PATCH to a taken value is the same 409."""
    market.create("users", [ANN, BOB])
    response = market.send("PATCH", "users/2", {"username": "ann"})
    assert (response.status_code, faults(response)) == (409, [("/username", "duplicate")])


def test_every_row_that_the_database_refuses_is_listed(market: Shop) -> None:
    """A bulk write fails whole, and says which rows fail and why: with others, and each other."""
    market.create("users", ANN)
    rows = [
        {"username": "ann", "email": "x@x"},
        BOB,
        {"username": "eve", "email": "eve@x"},
        {"username": "bob", "email": "y@x"},
        {"username": "low", "email": "z@x", "balance": "-200"},
    ]
    response = market.send("POST", "users", rows)
    assert response.status_code == 409
    found = [(e["row"], e["pointer"], e["code"]) for e in response.json["errors"]]
    assert found == [
        (0, "/0/username", "duplicate"),
        (3, "/3/username", "duplicate"),
        (4, "/4/balance", "check"),
    ]
    assert market.rows("SELECT username FROM users") == [("ann",)]


def test_a_missing_reference_is_pointed_at(market: Shop) -> None:
    """A foreign key to nothing is a 409 with the pointer, for each row."""
    market.create("users", ANN)
    response = market.send("POST", "posts", {"title": "t", "author_id": 9})
    assert response.status_code == 409
    assert response.json["type"] == "urn:carboy:error:reference-missing"
    assert faults(response) == [("/author_id", "reference-missing")]
    rows = [{"title": "t", "author_id": n} for n in (8, 1, 9)]
    found = faults(market.send("POST", "posts", rows))
    assert found == [("/0/author_id", "reference-missing"), ("/2/author_id", "reference-missing")]


def test_a_check_of_the_database_names_its_field(market: Shop) -> None:
    """What a CHECK refuses is a 400 with the field."""
    market.create("users", ANN)
    response = market.send("PATCH", "users/1", {"balance": "-100.01"})
    assert (response.status_code, faults(response)) == (400, [("/balance", "check")])


def test_a_row_that_others_need_stays(market: Shop) -> None:
    """Deleting a parent whose children can't be without it is a 409."""
    market.create("countries", {"code": "DE", "name": "Germany"})
    with market.app.app_context():
        market.db.session.add(market.models["City"](country_code="DE"))
        market.db.session.commit()
    response = market.send("DELETE", "countries/DE")
    assert response.status_code == 409
    assert response.json["type"] == "urn:carboy:error:still-referenced"
    assert market.rows("SELECT count(*) FROM countries") == [(1,)]


# If-Match


def test_if_match_lets_only_the_version_that_was_read_change(market: Shop) -> None:
    """The tag of a read, of any select, allows one change; after it the tag is stale."""
    market.create("users", ANN)
    tag = market.client.get("/api/users/1?select=id").headers["ETag"]
    first = market.send("PATCH", "users/1", {"bio": "1"}, If_Match=tag)
    assert first.status_code == 200
    second = market.send("PATCH", "users/1", {"bio": "2"}, If_Match=tag)
    assert (second.status_code, second.json["type"]) == (
        412,
        "urn:carboy:error:precondition-failed",
    )
    third = market.send("PUT", "users/1", ANN, If_Match=first.headers["ETag"])
    assert third.status_code == 200
    assert market.send("DELETE", "users/1", If_Match=tag).status_code == 412
    assert market.send("DELETE", "users/1", If_Match=third.headers["ETag"]).status_code == 204


@pytest.mark.parametrize(
    ("tag", "status"),
    [("*", 200), ("W/{tag}", 200), ('"x"', 412), ('"a-b", {tag}', 200), ('""', 412)],
)
def test_if_match_compares_versions(market: Shop, tag: str, status: int) -> None:
    """``*`` matches any row, a proxy may have marked the tag, and one of several is enough."""
    row = market.send("POST", "users", ANN)
    header = tag.replace("{tag}", row.headers["ETag"])
    assert market.send("PATCH", "users/1", {"bio": "b"}, If_Match=header).status_code == status


def test_if_match_on_a_missing_row_is_412(market: Shop) -> None:
    """A precondition about a row that isn't there fails, also for a PUT that would create."""
    assert market.send("PUT", "countries/DE", {"name": "x"}, If_Match="*").status_code == 412


def test_a_resource_can_demand_if_match(market: Shop) -> None:
    """require_match turns a change without the header into a 428."""
    tag = market.send("POST", "accounts", {"amount": 1}).headers["ETag"]
    assert market.send("PATCH", "accounts/1", {"amount": 2}).status_code == 428
    assert market.send("DELETE", "accounts/1").status_code == 428
    assert market.send("PATCH", "accounts/1", {"amount": 2}, If_Match=tag).status_code == 200
