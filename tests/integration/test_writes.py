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


def test_post_answers_the_new_row_with_its_address_and_etag(shop: Shop) -> None:
    """A created row is answered whole, defaults included, and its Location reads the same."""
    response = shop.send("POST", "users?select=id,username,email,role,balance,bio", ANN)
    assert response.status_code == 201
    expected = {**ANN, "id": 1, "role": "reader", "balance": "0.00", "bio": None}
    assert response.json == expected
    assert response.headers["Location"] == "/api/users/1"
    read = shop.client.get("/api/users/1?select=id,username,email,role,balance,bio")
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
    shop: Shop, path: str, body: Any, location: str
) -> None:
    """Location is the path from which the row can be read again."""
    response = shop.send("POST", path, body)
    assert (response.status_code, response.json) == (201, body)
    assert response.headers["Location"] == location
    assert shop.client.get(location).json == body


def test_hidden_fields_take_their_default(shop: Shop) -> None:
    """A field that can be neither read nor written is filled by the model, unseen."""
    assert shop.create("secrets", {"name": "s"}) == {"id": 1, "name": "s"}
    assert shop.rows("SELECT hash FROM secrets") == [("x",)]


def test_a_uuid_key_is_made_by_the_model(shop: Shop) -> None:
    """A key with a default of Python's is in the answer."""
    response = shop.send("POST", "tokens", {"label": "x"})
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/tokens/{response.json['id']}"


def test_an_empty_object_creates_a_row_of_defaults(shop: Shop) -> None:
    """``{}`` is a row where everything has a default; here it lacks what is required."""
    assert faults(shop.send("POST", "tags", {})) == [("/name", "required")]
    assert shop.send("POST", "posts", {"title": "t"}).json["views"] == 0


def test_return_minimal_answers_no_body(shop: Shop) -> None:
    """With return=minimal there is a status, a Location and no body."""
    response = shop.send("POST", "users", ANN, Prefer="return=minimal")
    assert (response.status_code, response.data) == (201, b"")
    assert response.headers["Location"] == "/api/users/1"
    assert response.headers["Preference-Applied"] == "return=minimal"
    patched = shop.send("PATCH", "users/1", {"bio": "b"}, Prefer="return=minimal")
    assert (patched.status_code, patched.data) == (204, b"")


def test_select_shapes_the_answer_of_a_write(shop: Shop) -> None:
    """The representation takes the same select as a read, relations included."""
    shop.create("users", ANN)
    body = {"title": "t", "author_id": 1}
    response = shop.send("POST", "posts?select=title,by:author(username)", body)
    assert response.json == {"title": "t", "by": {"username": "ann"}}


def test_an_array_is_created_whole_in_the_order_sent(shop: Shop) -> None:
    """Bulk answers keep the request's order, whatever the keys' order is."""
    body = [{"code": c, "name": c.lower()} for c in ("ZA", "AT", "MX")]
    response = shop.send("POST", "countries?select=code", body)
    assert response.status_code == 201
    assert response.json == {"data": [{"code": "ZA"}, {"code": "AT"}, {"code": "MX"}]}
    assert response.headers["Affected-Rows"] == "3"


def test_a_long_array_keeps_its_order(shop: Shop) -> None:
    """Answers are read in several parts without mixing them up."""
    body = [{"row": n * 7919 % 1301, "number": "x"} for n in range(1301)]
    response = shop.send("POST", "seats?select=row", body)
    assert [row["row"] for row in response.json["data"]] == [row["row"] for row in body]


def test_an_empty_array_creates_nothing(shop: Shop) -> None:
    """No rows are no error."""
    response = shop.send("POST", "users", [])
    assert (response.status_code, response.json) == (200, {"data": []})


def test_the_models_rules_run(shop: Shop) -> None:
    """Defaults and @validates of the class run as they would in Python."""
    row = shop.create("users", {**ANN, "email": "ANN@Example.org"})
    assert row["email"] == "ann@example.org"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["created_at"])


def test_mapper_events_run(shop: Shop) -> None:
    """Events of the application's mappers see each row."""
    seen: list[str] = []
    sa.event.listen(shop.models["Tag"], "before_insert", lambda m, c, t: seen.append(t.name))
    shop.create("tags", [{"name": "a"}, {"name": "b"}])
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
    shop: Shop, body: Any, expected: list[tuple[str, str]]
) -> None:
    """A 400 lists each fault once, and nothing is written."""
    response = shop.send("POST", "users", body)
    assert response.status_code == 400
    assert response.json["type"] == "urn:carboy:error:invalid-body"
    assert sorted(faults(response)) == sorted(expected)
    assert shop.rows("SELECT count(*) FROM users") == [(0,)]


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
    shop: Shop, path: str, body: Any, expected: list[tuple[str, str]]
) -> None:
    """Ranges, keys, the validation callable and hidden fields are checked per resource."""
    response = shop.send("POST", path, body)
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
    shop: Shop, method: str, path: str, body: Any, status: int
) -> None:
    """Each is refused with its own status, and the row that is there stays as it was."""
    shop.create("users", BOB)
    response = shop.send(method, path, body)
    assert response.status_code == status, response.text
    assert shop.rows("SELECT id, username, bio FROM users") == [(1, "bob", None)]


def test_faults_name_the_nearest_field(shop: Shop) -> None:
    """A typo is answered with what was probably meant."""
    response = shop.send("POST", "users", {**ANN, "usrname": "x"})
    assert "did you mean username" in response.json["detail"]


def test_faults_of_an_array_carry_their_rows(shop: Shop) -> None:
    """Each fault says in which row it is, and good rows aren't written either."""
    response = shop.send("POST", "users", [ANN, {"username": "x"}, {**BOB, "role": "x"}])
    found = [(e["row"], e["pointer"]) for e in response.json["errors"]]
    assert found == [(1, "/1/email"), (2, "/2/role")]
    assert shop.rows("SELECT count(*) FROM users") == [(0,)]


def test_faults_are_listed_up_to_a_hundred(shop: Shop) -> None:
    """The list is cut, and the detail says so."""
    response = shop.send("POST", "tags", [{} for _ in range(150)])
    assert len(response.json["errors"]) == 100
    assert "150 faults in all, the first 100 are listed" in response.json["detail"]


def test_validators_of_all_rows_are_heard(shop: Shop) -> None:
    """What @validates refuses is a 400 with the exception's own text, for every row."""
    rows = [{"username": "a", "email": "a"}, {"username": "b", "email": "b"}]
    response = shop.send("POST", "users", rows)
    assert response.status_code == 400
    assert faults(response) == [("/0/email", "invalid"), ("/1/email", "invalid")]
    assert response.json["errors"][0]["detail"] == "email: must have an @"


def test_missing_null_gives_null_for_default(shop: Shop) -> None:
    """Prefer: missing=null writes null where a field that can be null is left out."""
    response = shop.send("POST", "posts", {"title": "t"}, Prefer="missing=null")
    assert response.json["author_id"] is None
    assert response.headers["Preference-Applied"] == "missing=null"


def test_too_many_rows_are_refused(database_url: str) -> None:
    """CARBOY_MAX_ROWS bounds bodies, nested rows included, and bulk writes."""
    shop = make_shop(database_url, CARBOY_MAX_ROWS=2)
    tags = [{"name": n} for n in "abc"]
    assert shop.send("POST", "tags", tags).status_code == 413
    assert shop.send("POST", "posts", {"title": "t", "tags": tags}).status_code == 413
    for tag in tags:
        shop.create("tags", tag)
    assert shop.send("DELETE", "tags?id=gt.0").status_code == 400
    assert shop.rows("SELECT count(*) FROM tags") == [(3,)]
    shop.close()


# Changing and deleting


def test_patch_changes_what_is_named(shop: Shop) -> None:
    """PATCH leaves the other fields alone and answers the row."""
    shop.create("users", ANN)
    response = shop.send("PATCH", "users/1?select=username,bio", {"bio": "hello"})
    assert (response.status_code, response.json) == (200, {"username": "ann", "bio": "hello"})


def test_an_empty_patch_changes_nothing(shop: Shop) -> None:
    """``{}`` is a PATCH of no field."""
    before = shop.create("users", ANN)
    assert shop.send("PATCH", "users/1", {}).json == before


def test_put_sets_what_is_left_out_to_its_default(shop: Shop) -> None:
    """PUT is the whole row: what it leaves out is the default again, or null."""
    shop.create("users", {**ANN, "bio": "b", "role": "writer", "balance": "5"})
    response = shop.send("PUT", "users/1?select=username,bio,role,balance", ANN)
    assert response.status_code == 200
    assert response.json == {"username": "ann", "bio": None, "role": "reader", "balance": "0.00"}
    shop.create("posts", {"title": "t", "views": 7})
    assert shop.send("PUT", "posts/1", {"title": "u"}).json["views"] == 0


def test_put_asks_for_what_is_required(shop: Shop) -> None:
    """PUT without a required field is a 400."""
    shop.create("users", ANN)
    assert faults(shop.send("PUT", "users/1", {"username": "x"})) == [("/email", "required")]


def test_put_may_repeat_the_key_but_not_change_it(shop: Shop) -> None:
    """What was read can be sent back; another key than the URL's is a 400."""
    shop.create("users", ANN)
    assert shop.send("PUT", "users/1", {**ANN, "id": 1}).status_code == 200
    assert faults(shop.send("PUT", "users/1", {**ANN, "id": 2})) == [("/id", "key-mismatch")]
    assert shop.send("PUT", "countries/DE", {"code": "FR", "name": "x"}).status_code == 400


def test_put_creates_where_the_client_chooses_the_key(shop: Shop) -> None:
    """A writable key makes PUT create what isn't there, with 201, and then replace it."""
    first = shop.send("PUT", "countries/DE", {"name": "Germany"})
    assert (first.status_code, first.json) == (201, {"code": "DE", "name": "Germany"})
    assert first.headers["Location"] == "/api/countries/DE"
    again = shop.send("PUT", "countries/DE", {"name": "Deutschland"})
    assert (again.status_code, again.json["name"]) == (200, "Deutschland")
    assert shop.send("PUT", "seats/1,B", {"name": "x"}).status_code == 201


def test_patch_can_change_a_natural_key(shop: Shop) -> None:
    """A writable key can be changed, and the answer is the row under its new key."""
    shop.create("countries", {"code": "DE", "name": "Germany"})
    assert shop.send("PATCH", "countries/DE", {"code": "GE"}).json["code"] == "GE"
    assert shop.client.get("/api/countries/DE").status_code == 404


def test_delete_answers_204_and_then_404(shop: Shop) -> None:
    """A deleted row is gone."""
    shop.create("users", ANN)
    response = shop.send("DELETE", "users/1")
    assert (response.status_code, response.data) == (204, b"")
    assert shop.send("DELETE", "users/1").status_code == 404


def test_delete_can_answer_the_row_that_it_deleted(shop: Shop) -> None:
    """return=representation on DELETE answers the row as it was."""
    row = shop.create("users", ANN)
    response = shop.send("DELETE", "users/1", Prefer="return=representation")
    assert (response.status_code, response.json) == (200, row)


def test_delete_follows_the_models_cascades(shop: Shop) -> None:
    """Children under delete-orphan go with their parent, links of many-to-many too."""
    shop.create("posts", {"title": "t", "comments": [{"body": "b"}], "tags": [{"name": "n"}]})
    assert shop.send("DELETE", "posts/1").status_code == 204
    assert shop.rows("SELECT count(*) FROM comments") == [(0,)]
    assert shop.rows("SELECT count(*) FROM tags") == [(1,)]


def test_bulk_patch_changes_what_the_filter_matches(shop: Shop) -> None:
    """A filtered PATCH answers the changed rows by key, and counts them."""
    shop.create("tags", [{"name": n} for n in "abc"])
    shop.create("posts", [{"title": t} for t in ("x", "y", "x")])
    response = shop.send("PATCH", "posts?title=eq.x&select=id,views", {"views": 9})
    assert response.status_code == 200
    assert response.json == {"data": [{"id": 1, "views": 9}, {"id": 3, "views": 9}]}
    assert response.headers["Affected-Rows"] == "2"
    minimal = shop.send("PATCH", "posts?id=gt.1", {"views": 1}, Prefer="return=minimal")
    assert (minimal.status_code, minimal.headers["Affected-Rows"]) == (204, "2")


def test_bulk_writes_filter_by_related_rows(shop: Shop) -> None:
    """A filter may look through an inner embed, as in a read."""
    shop.create("users", [ANN, BOB])
    shop.create("posts", [{"title": "t", "author_id": n} for n in (1, 2, 1)])
    path = "posts?select=id,author!inner(username)&author.username=eq.ann"
    assert shop.send("DELETE", path).headers["Affected-Rows"] == "2"
    assert shop.rows("SELECT id FROM posts") == [(2,)]


def test_bulk_delete_answers_the_deleted_rows_on_request(shop: Shop) -> None:
    """A filtered DELETE says how many, and with return=representation which."""
    shop.create("tags", [{"name": n} for n in "abc"])
    response = shop.send("DELETE", "tags?name=in.(a,c)", Prefer="return=representation")
    assert response.json == {"data": [{"id": 1, "name": "a"}, {"id": 3, "name": "c"}]}
    nothing = shop.send("DELETE", "tags?name=eq.zzz")
    assert (nothing.status_code, nothing.headers["Affected-Rows"]) == (204, "0")


def test_validators_refuse_bulk_changes(shop: Shop) -> None:
    """What @validates or a constraint refuses in a filtered PATCH is told without a row."""
    shop.create("users", [ANN, BOB])
    response = shop.send("PATCH", "users?id=gt.0", {"email": "x"})
    assert (response.status_code, faults(response)) == (400, [("/email", "invalid")])
    taken = shop.send("PATCH", "users?id=gt.0", {"username": "same"})
    assert (taken.status_code, faults(taken)) == (409, [("/username", "duplicate")])
    assert shop.rows("SELECT count(*) FROM users WHERE username = 'same'") == [(0,)]


def test_max_affected_rolls_back_what_is_more(shop: Shop) -> None:
    """Prefer: max-affected refuses a bulk write of more rows, whole."""
    shop.create("tags", [{"name": n} for n in "abc"])
    response = shop.send("DELETE", "tags?id=gt.0", Prefer="max-affected=2")
    assert (response.status_code, response.json["type"]) == (400, "urn:carboy:error:limit-exceeded")
    assert shop.rows("SELECT count(*) FROM tags") == [(3,)]
    allowed = shop.send("DELETE", "tags?id=gt.1", Prefer="max-affected=2")
    assert (allowed.status_code, allowed.headers["Preference-Applied"]) == (204, "max-affected=2")


def test_a_dry_run_answers_as_if_and_leaves_nothing(shop: Shop) -> None:
    """Prefer: tx=rollback does everything but the COMMIT."""
    response = shop.send("POST", "users?select=username", ANN, Prefer="tx=rollback")
    assert (response.status_code, response.json) == (201, {"username": "ann"})
    assert response.headers["Preference-Applied"] == "tx=rollback"
    shop.create("users", BOB)
    assert shop.send("DELETE", "users?id=gt.0", Prefer="tx=rollback").status_code == 204
    again = shop.send("POST", "users", {**ANN, "username": "bob"}, Prefer="tx=rollback")
    assert again.status_code == 409
    assert shop.rows("SELECT username FROM users") == [("bob",)]


# Constraints


def test_a_duplicate_names_its_field(shop: Shop) -> None:
    """A taken value is a 409 that points at the field, without the other row's values."""
    shop.create("users", ANN)
    response = shop.send("POST", "users", {**BOB, "username": "ann"})
    assert response.status_code == 409
    assert response.json["error"] == "a row of 'users' with this username already exists"
    assert faults(response) == [("/username", "duplicate")]
    assert "example.org" not in response.text


def test_every_duplicate_field_is_named(shop: Shop) -> None:
    """A row that breaks two constraints hears of both, although databases stop at the first."""
    shop.create("users", ANN)
    response = shop.send("POST", "users", ANN)
    assert faults(response) == [("/username", "duplicate"), ("/email", "duplicate")]


def test_a_duplicate_key_of_several_fields_names_them(shop: Shop) -> None:
    """The fields of a composite key are named together."""
    shop.create("seats", {"row": 1, "number": "A"})
    response = shop.send("POST", "seats", {"row": 1, "number": "A"})
    assert response.status_code == 409
    assert "row and number already exists" in response.json["detail"]


def test_a_change_can_be_a_duplicate(shop: Shop) -> None:
    """PATCH to a taken value is the same 409."""
    shop.create("users", [ANN, BOB])
    response = shop.send("PATCH", "users/2", {"username": "ann"})
    assert (response.status_code, faults(response)) == (409, [("/username", "duplicate")])


def test_every_row_that_the_database_refuses_is_listed(shop: Shop) -> None:
    """A bulk write fails whole, and says which rows fail and why: with others, and each other."""
    shop.create("users", ANN)
    rows = [
        {"username": "ann", "email": "x@x"},
        BOB,
        {"username": "eve", "email": "eve@x"},
        {"username": "bob", "email": "y@x"},
        {"username": "low", "email": "z@x", "balance": "-200"},
    ]
    response = shop.send("POST", "users", rows)
    assert response.status_code == 409
    found = [(e["row"], e["pointer"], e["code"]) for e in response.json["errors"]]
    assert found == [
        (0, "/0/username", "duplicate"),
        (3, "/3/username", "duplicate"),
        (4, "/4/balance", "check"),
    ]
    assert shop.rows("SELECT username FROM users") == [("ann",)]


def test_a_missing_reference_is_pointed_at(shop: Shop) -> None:
    """A foreign key to nothing is a 409 with the pointer, for each row."""
    shop.create("users", ANN)
    response = shop.send("POST", "posts", {"title": "t", "author_id": 9})
    assert response.status_code == 409
    assert response.json["type"] == "urn:carboy:error:reference-missing"
    assert faults(response) == [("/author_id", "reference-missing")]
    rows = [{"title": "t", "author_id": n} for n in (8, 1, 9)]
    found = faults(shop.send("POST", "posts", rows))
    assert found == [("/0/author_id", "reference-missing"), ("/2/author_id", "reference-missing")]


def test_a_check_of_the_database_names_its_field(shop: Shop) -> None:
    """What a CHECK refuses is a 400 with the field."""
    shop.create("users", ANN)
    response = shop.send("PATCH", "users/1", {"balance": "-100.01"})
    assert (response.status_code, faults(response)) == (400, [("/balance", "check")])


def test_a_row_that_others_need_stays(shop: Shop) -> None:
    """Deleting a parent whose children can't be without it is a 409."""
    shop.create("countries", {"code": "DE", "name": "Germany"})
    with shop.app.app_context():
        shop.db.session.add(shop.models["City"](country_code="DE"))
        shop.db.session.commit()
    response = shop.send("DELETE", "countries/DE")
    assert response.status_code == 409
    assert response.json["type"] == "urn:carboy:error:still-referenced"
    assert shop.rows("SELECT count(*) FROM countries") == [(1,)]


# If-Match


def test_if_match_lets_only_the_version_that_was_read_change(shop: Shop) -> None:
    """The tag of a read, of any select, allows one change; after it the tag is stale."""
    shop.create("users", ANN)
    tag = shop.client.get("/api/users/1?select=id").headers["ETag"]
    first = shop.send("PATCH", "users/1", {"bio": "1"}, If_Match=tag)
    assert first.status_code == 200
    second = shop.send("PATCH", "users/1", {"bio": "2"}, If_Match=tag)
    assert (second.status_code, second.json["type"]) == (
        412,
        "urn:carboy:error:precondition-failed",
    )
    third = shop.send("PUT", "users/1", ANN, If_Match=first.headers["ETag"])
    assert third.status_code == 200
    assert shop.send("DELETE", "users/1", If_Match=tag).status_code == 412
    assert shop.send("DELETE", "users/1", If_Match=third.headers["ETag"]).status_code == 204


@pytest.mark.parametrize(
    ("tag", "status"),
    [("*", 200), ("W/{tag}", 412), ('"x"', 412), ('"a-b", {tag}', 200), ('""', 412)],
)
def test_if_match_compares_strongly(shop: Shop, tag: str, status: int) -> None:
    """``*`` matches any row, a weak tag none, and one of several is enough."""
    row = shop.send("POST", "users", ANN)
    header = tag.replace("{tag}", row.headers["ETag"])
    assert shop.send("PATCH", "users/1", {"bio": "b"}, If_Match=header).status_code == status


def test_if_match_on_a_missing_row_is_412(shop: Shop) -> None:
    """A precondition about a row that isn't there fails, also for a PUT that would create."""
    assert shop.send("PUT", "countries/DE", {"name": "x"}, If_Match="*").status_code == 412


def test_a_resource_can_demand_if_match(shop: Shop) -> None:
    """require_match turns a change without the header into a 428."""
    tag = shop.send("POST", "accounts", {"amount": 1}).headers["ETag"]
    assert shop.send("PATCH", "accounts/1", {"amount": 2}).status_code == 428
    assert shop.send("DELETE", "accounts/1").status_code == 428
    assert shop.send("PATCH", "accounts/1", {"amount": 2}, If_Match=tag).status_code == 200
