"""A row's history: what each kind of write records, in its own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from carboy.access import Access, Actor
from carboy.execute import execute_write
from carboy.plan import Context, plan_write
from carboy.request import Prefer, Query, Request

from .models import Shop, make_shop


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    """An application whose resources all keep a history."""
    made = make_shop(database_url, history=True)
    yield made
    made.close()


def told(shop: Shop, path: str) -> list[tuple[str, dict[str, Any]]]:
    """A row's history, oldest first: what was done, and its changes."""
    response = shop.send("GET", f"{path}/history?limit=100")
    assert response.status_code == 200, response.text
    return [(e["action"], e["changes"]) for e in reversed(response.json["data"])]


def entries(shop: Shop) -> int:
    """How many there are of all rows; none before there is a table."""
    with shop.app.app_context():
        if not sa.inspect(shop.db.engine).has_table("carboy_history"):
            return 0
    return int(shop.rows("SELECT count(*) FROM carboy_history")[0][0])


def test_a_post_records_what_the_row_became(shop: Shop) -> None:
    """Defaults of the class and the database are among it; what is null isn't."""
    shop.create("posts", {"title": "one"})
    created = {"id": [None, 1], "title": [None, "one"], "views": [None, 0]}
    assert told(shop, "posts/1") == [("create", {**created, "published": [None, False]})]


def test_an_array_records_each_row(shop: Shop) -> None:
    """All at one moment, in the order of the array."""
    shop.create("tags", [{"name": name} for name in ("a", "b", "c")])
    for number, name in enumerate("abc", start=1):
        changes = {"id": [None, number], "name": [None, name]}
        assert told(shop, f"tags/{number}") == [("create", changes)]
    assert shop.rows("SELECT count(DISTINCT at) FROM carboy_history") == [(1,)]


def test_a_patch_records_what_it_changes(shop: Shop) -> None:
    """Old and new value of the fields that differ; a PATCH that changes nothing leaves nothing."""
    shop.create("posts", {"title": "one", "data": {"a": [1]}})
    shop.send("PATCH", "posts/1", {"title": "two", "data": {"a": [1]}})
    shop.send("PATCH", "posts/1", {"title": "two"})
    shop.send("PATCH", "posts/1", {"data": None})
    assert told(shop, "posts/1")[1:] == [
        ("update", {"title": ["one", "two"]}),
        ("update", {"data": [{"a": [1]}, None]}),
    ]


def test_a_bulk_patch_records_each_row(shop: Shop) -> None:
    """Also past the number of rows that are read at once."""
    shop.create("tags", [{"name": f"t{n}"} for n in range(600)])
    shop.create("accounts", [{"amount": n} for n in range(600)])
    shop.send("PATCH", "accounts?id=gt.1", {"amount": 7})
    assert told(shop, "accounts/1")[1:] == []
    assert told(shop, "accounts/600")[1:] == [("update", {"amount": [599, 7]})]
    # One of them had the amount already.
    updates = "SELECT count(*) FROM carboy_history WHERE action = 'update'"
    assert shop.rows(updates) == [(598,)]


def test_a_put_records_an_update_or_a_row(shop: Shop) -> None:
    """It replaces a row that is there, and creates one that isn't; the key has two parts."""
    shop.send("PUT", "seats/1,a", {"name": "x"})
    shop.send("PUT", "seats/1,a", {})
    assert told(shop, "seats/1,a") == [
        ("create", {"row": [None, 1], "number": [None, "a"], "name": [None, "x"]}),
        ("update", {"name": ["x", None]}),
    ]


def test_an_upsert_records_both_ways(shop: Shop) -> None:
    """Rows that were there are updated, the others created; kept rows leave nothing."""
    shop.create("tags", {"name": "a"})
    shop.create("countries", {"code": "de", "name": "D"})
    rows = [{"code": "de", "name": "E"}, {"code": "fr", "name": "F"}]
    response = shop.send("POST", "countries", rows, Prefer="resolution=merge-duplicates")
    assert response.status_code == 201
    shop.send("POST", "countries", {"code": "fr"}, Prefer="resolution=ignore-duplicates")
    assert told(shop, "countries/de")[1:] == [("update", {"name": ["D", "E"]})]
    assert told(shop, "countries/fr") == [("create", {"code": [None, "fr"], "name": [None, "F"]})]


def test_nested_rows_record_their_own(shop: Shop) -> None:
    """Children are created, changed and deleted as orphans by a write to their parent."""
    comments = [{"body": "a"}, {"body": "b"}]
    shop.create("posts", {"title": "one", "author": None, "comments": comments})
    changed = shop.send("PATCH", "posts/1", {"comments": [{"id": 2, "body": "c"}]})
    assert changed.status_code == 200
    assert told(shop, "comments/1")[1:] == [
        ("delete", {"id": [1, None], "body": ["a", None], "post_id": [1, None]})
    ]
    assert told(shop, "comments/2")[1:] == [("update", {"body": ["b", "c"]})]
    assert [action for action, _ in told(shop, "posts/1")] == ["create"]


def test_rows_that_lose_their_parent_record_it(shop: Shop) -> None:
    """The unit of work takes the key away from rows that the request never named."""
    shop.create("users", {"username": "a", "email": "a@x", "posts": [{"title": "p"}]})
    assert shop.send("DELETE", "users/1").status_code == 204
    assert told(shop, "posts/1")[1:] == [("update", {"author_id": [1, None]})]


def test_links_are_recorded_by_key(shop: Shop) -> None:
    """What a many-to-many relation gained and lost."""
    shop.create("tags", [{"name": "a"}, {"name": "b"}])
    shop.create("posts", {"title": "p", "tags": [{"id": 1}, {"name": "c"}]})
    shop.send("PATCH", "posts/1", {"tags": [{"id": 2}, {"id": 3}]})
    (_, created), (_, changed) = told(shop, "posts/1")
    assert created["tags"] == {"added": ["1", "3"], "removed": []}
    assert changed == {"tags": {"added": ["2"], "removed": ["1"]}}


def test_a_delete_records_what_was_lost(shop: Shop) -> None:
    """Of one row, and of each that a filter matches."""
    shop.create("tags", [{"name": "a"}, {"name": "b"}, {"name": "c"}])
    shop.send("DELETE", "tags/1")
    shop.send("DELETE", "tags?id=gt.1")
    for number, name in enumerate("abc", start=1):
        last = told(shop, f"tags/{number}")[-1]
        assert last == ("delete", {"id": [number, None], "name": [name, None]})


def test_a_key_that_changes_is_told_under_both(shop: Shop) -> None:
    """Whoever asks for the old key learns the new one."""
    shop.create("countries", {"code": "de", "name": "D"})
    assert shop.send("PATCH", "countries/de", {"code": "fr"}).status_code == 200
    renamed = ("update", {"code": ["de", "fr"]})
    assert told(shop, "countries/fr") == [renamed]
    assert told(shop, "countries/de")[1:] == [renamed]


def test_hidden_values_are_not_kept(shop: Shop) -> None:
    """The table says that a hidden field was changed, and neither of its values."""
    shop.create("secrets", {"name": "a"})
    stored = shop.rows("SELECT changes FROM carboy_history")[0][0]
    assert stored == '{"id":[null,1],"name":[null,"a"],"hash":[]}'
    assert told(shop, "secrets/1") == [("create", {"id": [None, 1], "name": [None, "a"]})]


def test_what_does_not_happen_is_not_recorded(shop: Shop) -> None:
    """A dry run, a refused write and half of a refused array leave nothing."""
    dry = shop.send("POST", "tags", {"name": "a"}, Prefer="tx=rollback")
    assert dry.status_code == 201
    shop.create("tags", {"name": "b"})
    before = entries(shop)
    assert shop.send("POST", "tags", [{"name": "x"}, {"name": "b"}]).status_code == 409
    assert shop.send("PATCH", "tags/1", {"name": None}).status_code == 400
    assert shop.send("DELETE", "tags/77").status_code == 404
    assert (before, entries(shop)) == (1, 1)


def test_a_repeated_request_records_once(shop: Shop) -> None:
    """An Idempotency-Key that comes again answers the first result, and writes nothing."""
    for _ in range(2):
        shop.send("POST", "tags", {"name": "a"}, Idempotency_Key="k")
    assert entries(shop) == 1


def test_an_own_view_records_an_own_session_does_not(shop: Shop) -> None:
    """What goes through api.create is a write like any other; the application's sessions aren't."""
    tag = shop.models["Tag"]
    shop.app.add_url_rule("/own", view_func=lambda: shop.api.create(tag, body={"name": "a"}))
    shop.client.get("/own")
    with shop.app.app_context(), Session(shop.db.engine) as session:
        session.add(tag(name="b"))
        session.commit()
    assert [a for a, _ in told(shop, "tags/1")] == ["create"]
    assert told(shop, "tags/2") == []


def test_an_entry_says_who_wrote(shop: Shop) -> None:
    """The actor's id as text."""
    shop.create("tags", {"name": "a"})
    api = shop.app.extensions["carboy"].api
    resource = api.schema.resources["tags"]
    request = Request("PATCH", "tags", "1", Query(), Prefer(), body=b'{"name": "b"}')
    context = Context(api.schema, api.settings, Access(Actor(7), {}))
    execute_write(api.database, plan_write(context, resource, request))
    found = shop.send("GET", "tags/1/history").json["data"]
    assert [entry["actor"] for entry in found] == ["7", None]


def test_without_a_history_nothing_is_made(market: Shop) -> None:
    """No table, no path, and the statements of before."""
    statements: list[str] = []
    with market.app.app_context():
        engine = market.db.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    market.create("tags", {"name": "a"})
    market.send("PATCH", "tags/1", {"name": "b"})
    written = [s for s in statements if s.lstrip()[:6] in ("SELECT", "INSERT", "UPDATE", "CREATE")]
    assert [s[:6] for s in written] == ["INSERT", "SELECT", "UPDATE"]
    assert entries(market) == 0
    assert market.send("GET", "tags/1/history").status_code == 404
