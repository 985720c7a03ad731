"""A row's history, read: pages, paths, faults, and values as the API shows them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import ANONYMOUS, OPEN, Carboy
from carboy.execute import execute_history
from carboy.ops.history import create_history_table
from carboy.plan import Context, plan_history
from carboy.request import Query
from carboy.schema import SchemaError
from tests.statements import StatementCounter

from . import mapped, shop
from .models import Shop, make_shop


@pytest.fixture
def kept(database_url: str) -> Iterator[Shop]:
    """An application whose resources all keep a history."""
    made = make_shop(database_url, history=True)
    yield made
    made.close()


Serve = Callable[..., Any]


@pytest.fixture
def serve(database_url: str) -> Iterator[Serve]:
    """Makes an application that keeps the history of some classes or tables."""
    engines = []

    def client(*models: Any, **options: Any) -> Any:
        engine = sa.create_engine(database_url)
        engines.append(engine)
        app = flask.Flask("history")
        api = Carboy(app, engine, policy=OPEN)
        for model in models:
            api.resource(model, history=True, **options)
            model.metadata.create_all(engine)
        return app.test_client()

    yield client
    for engine in engines:
        engine.dispose()


def changes_of(client: Any, path: str) -> list[dict[str, Any]]:
    """The changes in a row's history, newest first."""
    response = client.get(f"/api/{path}/history")
    assert response.status_code == 200, response.text
    return [entry["changes"] for entry in response.json["data"]]


# What is answered


def test_an_entry_says_what_when_and_who(kept: Shop) -> None:
    """Its members, with the moment in UTC."""
    kept.create("tags", {"name": "a"})
    response = kept.send("GET", "tags/1/history")
    assert response.headers["Content-Type"] == "application/json"
    assert response.json["next"] is None
    (entry,) = response.json["data"]
    assert list(entry) == ["id", "at", "actor", "action", "changes"]
    assert entry["actor"] is None
    assert entry["at"].endswith("Z")
    assert abs(datetime.fromisoformat(entry["at"]).timestamp() - datetime.now().timestamp()) < 60  # noqa: DTZ005  a moment is one everywhere


def test_pages_are_followed_by_cursor_and_by_offset(kept: Shop) -> None:
    """Newest first; the Link leads on; what is written meanwhile doesn't shift the pages."""
    kept.create("accounts", {"amount": 0})
    for amount in range(1, 5):
        kept.send("PATCH", "accounts/1", {"amount": amount}, If_Match="*")
    first = kept.send("GET", "accounts/1/history?limit=2")
    assert [e["changes"]["amount"] for e in first.json["data"]] == [[3, 4], [2, 3]]
    assert first.headers["Link"].startswith("</api/accounts/1/history?limit=2&after=")
    kept.send("PATCH", "accounts/1", {"amount": 9}, If_Match="*")
    second = kept.send("GET", f"accounts/1/history?limit=2&after={first.json['next']}").json
    assert [e["changes"]["amount"] for e in second["data"]] == [[1, 2], [0, 1]]
    last = kept.send("GET", f"accounts/1/history?limit=2&after={second['next']}").json
    assert ([e["action"] for e in last["data"]], last["next"]) == (["create"], None)
    skipped = kept.send("GET", "accounts/1/history?limit=2&offset=1").json
    assert [e["changes"]["amount"] for e in skipped["data"]] == [[3, 4], [2, 3]]


def test_a_cursor_is_for_one_row(kept: Shop) -> None:
    """Another row's, or one made up, is refused."""
    kept.create("tags", [{"name": "a"}, {"name": "b"}])
    kept.send("PATCH", "tags?id=gt.0", {"name": "c"}, Prefer="tx=rollback")
    kept.send("PATCH", "tags/1", {"name": "c"})
    cursor = kept.send("GET", "tags/1/history?limit=1").json["next"]
    assert kept.send("GET", f"tags/2/history?after={cursor}").status_code == 400
    assert kept.send("GET", "tags/1/history?after=x").status_code == 400


@pytest.mark.parametrize(
    "query",
    ["select=id", "action=eq.update", "order=at", "page=1", "per_page=2", "q=x", "tags.limit=1"],
)
def test_other_parameters_are_refused(kept: Shop, query: str) -> None:
    """Never ignored: a filter that did nothing would show more than was asked for."""
    kept.create("tags", {"name": "a"})
    response = kept.send("GET", f"tags/1/history?{query}")
    assert response.status_code == 400
    assert "a history takes only limit, offset and after" in response.json["detail"]


def test_a_limit_over_the_largest_is_refused(kept: Shop) -> None:
    """As for lists."""
    kept.create("tags", {"name": "a"})
    response = kept.send("GET", "tags/1/history?limit=1001")
    assert response.json["type"] == "urn:carboy:error:limit-exceeded"


def test_a_history_is_one_statement(kept: Shop) -> None:
    """Whatever its length, once the process knows that there is a table."""
    with kept.app.app_context():
        engine = kept.db.engine
    engine.dispose()
    counter = StatementCounter(engine)
    kept.create("tags", {"name": "a"})
    for name in "bcd":
        kept.send("PATCH", "tags/1", {"name": name})
    for path in ("tags/1/history", "tags/1/history?limit=2&offset=1", "tags/9/history"):
        before = counter.count()
        assert kept.send("GET", path).status_code in (200, 404)
        assert counter.count() - before == 1
    engine.dispose()
    counter.close()


def test_an_etag_saves_the_body(kept: Shop) -> None:
    """If-None-Match is answered with a 304, until there is an entry more."""
    kept.create("tags", {"name": "a"})
    tag = kept.send("GET", "tags/1/history").headers["ETag"]
    assert kept.send("GET", "tags/1/history", If_None_Match=tag).status_code == 304
    kept.send("PATCH", "tags/1", {"name": "b"})
    assert kept.send("GET", "tags/1/history", If_None_Match=tag).status_code == 200


# Which rows have one


def test_a_row_without_entries_has_an_empty_history(kept: Shop) -> None:
    """It was there before its history was kept; of a row that never was there is none."""
    with kept.app.app_context(), kept.db.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO tags (id, name) VALUES (1, 'a')"))
    assert kept.send("GET", "tags/1/history").json == {"data": [], "next": None}
    for path in ("tags/2/history", "tags/x/history", "tags/1,2/history", "nothing/1/history"):
        assert kept.send("GET", path).status_code == 404, path


def test_a_deleted_row_has_a_history(kept: Shop) -> None:
    """It ends with the deletion."""
    kept.create("tags", {"name": "a"})
    kept.send("DELETE", "tags/1")
    data = kept.send("GET", "tags/1/history").json["data"]
    assert [entry["action"] for entry in data] == ["delete", "create"]


def test_whoever_may_not_read_all_rows_sees_what_is_there(kept: Shop) -> None:
    """Nothing of a deleted row, nor of one that had the key before, nor of what can't be read."""
    for name in ("a", "b"):
        kept.send("PUT", "seats/1,a", {"name": name})
        kept.send("PATCH", "seats/1,a", {"name": None})
        seen = _seen(kept, "seats", "1,a", names=("name",))
        assert seen == [{"name": [name, None]}, {"name": [None, name]}]
        assert _seen(kept, "seats", "1,a", names=("number",)) == [{"number": [None, "a"]}]
        kept.send("DELETE", "seats/1,a")
        assert _seen(kept, "seats", "1,a", names=("name",)) is None


def test_a_row_whose_key_is_changed_leaves_nothing_to_the_next(kept: Shop) -> None:
    """Nor does one that went unseen, if the next was seen to come."""
    names = ("number", "name")
    kept.send("PUT", "seats/1,a", {"name": "first"})
    kept.send("PATCH", "seats/1,a", {"number": "b", "name": "moved"})
    _execute(kept, "INSERT INTO seats (row, number, name) VALUES (1, 'a', 'x')")
    assert _seen(kept, "seats", "1,a", names=names) == []
    kept.send("PATCH", "seats/1,a", {"name": "second"})
    assert _seen(kept, "seats", "1,a", names=names) == [{"name": ["x", "second"]}]
    _execute(kept, "DELETE FROM seats WHERE number = 'a'")
    kept.send("PUT", "seats/1,a", {"name": "third"})
    third = {"number": [None, "a"], "name": [None, "third"]}
    assert _seen(kept, "seats", "1,a", names=names) == [third]
    assert _seen(kept, "seats", "1,b", names=names) == []


def _execute(shop: Shop, sql: str) -> None:
    """Write what Carboy doesn't see."""
    with shop.app.app_context(), shop.db.engine.begin() as connection:
        connection.execute(sa.text(sql))


def _seen(shop: Shop, name: str, key: str, **plan: Any) -> list[Any] | None:
    """The changes that somebody sees who may read some rows only."""
    api = shop.app.extensions["carboy"].api
    context = Context(api.schema, api.settings)
    planned = plan_history(context, api.schema.resources[name], key, Query(), cursor_key=b"")
    limited = replace(planned, plan=replace(planned.plan, all_rows=False, **plan))
    result = execute_history(api.database, limited, ANONYMOUS)
    if result is None:
        return None
    return [entry["changes"] for entry in json.loads(result.body)]


def test_a_history_can_only_be_read(kept: Shop) -> None:
    """HEAD answers no body, OPTIONS what is allowed, every other method is a 405."""
    kept.create("tags", {"name": "a"})
    head = kept.send("HEAD", "tags/1/history")
    assert (head.status_code, head.data) == (200, b"")
    assert kept.send("OPTIONS", "tags/1/history").headers["Allow"] == "GET, HEAD, OPTIONS"
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        response = kept.send(method, "tags/1/history", {})
        assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


class Files(DeclarativeBase):
    """The base of a class whose keys hold slashes."""


class File(Files):
    """A key that is a path."""

    __tablename__ = "files"
    path: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]


def test_a_key_with_slashes_stays_within_reach(serve: Serve) -> None:
    """In quotes a path that ends in /history is a row's, as its Location says."""
    client = serve(File, writable=["path", "size"])
    for path in ("a", "a/history", "history"):
        location = client.post("/api/files", json={"path": path, "size": 1}).headers["Location"]
        assert client.get(location.replace('"', "%22")).json == {"path": path, "size": 1}
        assert changes_of(client, location[5:]) == [{"path": [None, path], "size": [None, 1]}]
    assert client.get("/api/files/a/history").json["data"][0]["changes"]["path"] == [None, "a"]
    assert client.get("/api/files/history").json == {"path": "history", "size": 1}


def test_without_a_history_the_path_is_a_key(serve: Serve, database_url: str) -> None:
    """Of a resource that keeps none, /history belongs to the key."""
    serve(File)
    engine = sa.create_engine(database_url)
    app = flask.Flask("plain")
    Carboy(app, engine, policy=OPEN).resource(File, writable=["path", "size"])
    app.test_client().post("/api/files", json={"path": "a/history", "size": 1})
    assert app.test_client().get("/api/files/a/history").json == {"path": "a/history", "size": 1}
    engine.dispose()


# Values and models

_FULL = {
    "id": 1, "big": 2**60, "small": 3, "ratio": 0.1, "price": "1.5", "title": "é'\"\\", "cost": 5,
    "active": True, "color": "dark blue", "at": "2024-01-31T14:30:00.5+02:00",
    "naive": "2024-01-31T14:30:00Z", "day": "2024-01-31", "clock": "14:30:00", "span": 90.5,
    "token": "00000000-0000-0000-0000-00000000000a", "raw": "AP8=",
    "data": {"b": [1, None, {"c": "x"}], "a": 1.5},
}  # fmt: skip


def test_every_value_looks_as_in_the_api(serve: Serve) -> None:
    """Each kind of field, new, old and gone, is the very JSON that a read of the row has."""
    client = serve(shop.Item, writable=list(_FULL), show=["token"])
    client.post("/api/items", json=_FULL)
    first = client.get("/api/items/1").json
    empty = {name: None for name in _FULL if name not in ("id", "title")}
    client.patch("/api/items/1", json=empty)
    client.delete("/api/items/1")
    deleted, changed, created = changes_of(client, "items/1")
    shown = {name: value for name, value in first.items() if value is not None}
    assert len(shown) == len(_FULL)
    assert created == {name: [None, value] for name, value in shown.items()}
    gone = [name for name in shown if name not in ("id", "title")]
    assert changed == {name: [shown[name], None] for name in gone}
    assert deleted == {"id": [1, None], "title": [_FULL["title"], None]}


def test_a_subclass_tells_its_base(serve: Serve) -> None:
    """A row of two tables has a history under both resources, each with its fields."""
    client = serve(mapped.Person, mapped.Engineer)
    body = {"name": "ada", "language": "py"}
    assert client.post("/api/engineer", json=body).status_code == 201
    client.patch("/api/engineer/1", json={"language": "c"})
    client.patch("/api/person/1", json={"name": "eva"})
    renamed = {"name": ["ada", "eva"], "version": [2, 3]}
    own, learned, created = changes_of(client, "engineer/1")
    assert own == renamed
    assert learned["language"] == ["py", "c"]
    assert (created["language"], created["kind"]) == ([None, "py"], [None, "engineer"])
    base = changes_of(client, "person/1")
    assert base[0] == renamed
    assert not any("language" in changes for changes in base)


def test_columns_keep_their_field_names(serve: Serve) -> None:
    """Attributes, not columns; what the database computes is told, what a query does is not."""
    client = serve(mapped.Book, mapped.Author)
    book = {"title": "a", "group": "ABC", "pages": 5, "big": "7", "author": {"name": "ann"}}
    assert client.post("/api/Book%20Shelf", json=book).status_code == 201
    (created,) = changes_of(client, "Book%20Shelf/1")
    shown = client.get("/api/Book%20Shelf/1").json
    assert created == {k: [None, v] for k, v in shown.items() if v is not None}
    assert (created["group"], created["twice"]) == ([None, "abc"], [None, 10])
    assert changes_of(client, "author/1") == [{"id": [None, 1], "name": [None, "ann"]}]


def test_a_table_without_a_class_has_one(serve: Serve) -> None:
    """Its rows are written through a class of no behaviour."""
    table = sa.Table(
        "plain",
        sa.MetaData(),
        sa.Column("a", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("b", sa.Numeric(5, 2), primary_key=True),
        sa.Column("c", sa.String(5)),
    )
    client = serve(table, writable=["a", "b", "c"])
    assert client.post("/api/plain", json={"a": 1, "b": "2.5", "c": "x"}).status_code == 201
    client.patch("/api/plain/1,2.50", json={"c": "y"})
    assert changes_of(client, "plain/1,2.500") == [
        {"c": ["x", "y"]},
        {"a": [None, 1], "b": [None, "2.50"], "c": [None, "x"]},
    ]


def test_a_history_needs_a_key(tmp_path: Path) -> None:
    """The message names the option."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}")
    app = flask.Flask("log")
    api = Carboy(app, engine, policy=OPEN)
    api.resource(sa.Table("log", sa.MetaData(), sa.Column("line", sa.Text)), history=True)
    with app.app_context(), pytest.raises(SchemaError, match="history=True needs rows of a table"):
        api.schema  # noqa: B018  it is built here
    engine.dispose()


# The table


def test_the_table_is_made_once_by_many(serve: Serve) -> None:
    """First writes of several processes at the same time all succeed."""
    clients = [serve(shop.Tag, writable=["id", "name"]) for _ in range(6)]
    statuses: list[int] = []

    def write(number: int) -> None:
        body = {"id": number, "name": f"t{number}"}
        statuses.append(clients[number].post("/api/tags", json=body).status_code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * len(clients)
    assert all(len(changes_of(clients[0], f"tags/{number}")) == 1 for number in range(6))


def test_a_migration_can_make_the_table(serve: Serve, database_url: str) -> None:
    """Made beforehand, on a connection too, it is used as it is."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        create_history_table(connection)
    create_history_table(engine)
    client = serve(shop.Tag, writable=["id", "name"])
    client.post("/api/tags", json={"id": 1, "name": "a"})
    assert len(changes_of(client, "tags/1")) == 1
    names = {index["name"] for index in sa.inspect(engine).get_indexes("carboy_history")}
    assert names == {"ix_carboy_history_at", "ix_carboy_history_row"}
    engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_user_who_may_only_append_is_enough(database_url: str) -> None:
    """Where the table is there, recording and reading take no more than INSERT and SELECT."""
    engine = sa.create_engine(database_url)
    name = f"clerk_{sa.make_url(database_url).database}"
    shop.Base.metadata.create_all(engine)
    create_history_table(engine)
    with engine.begin() as connection:
        for statement in (
            f"CREATE ROLE {name} LOGIN PASSWORD 'x'",
            f"GRANT SELECT, INSERT, UPDATE ON tags TO {name}",
            f"GRANT SELECT, INSERT ON carboy_history TO {name}",
            f"GRANT USAGE ON carboy_history_id_seq TO {name}",
        ):
            connection.exec_driver_sql(statement)
    clerk = sa.create_engine(engine.url.set(username=name, password="x"))
    app = flask.Flask("clerk")
    Carboy(app, clerk, policy=OPEN).resource(shop.Tag, history=True, writable=["id", "name"])
    client = app.test_client()
    assert client.post("/api/tags", json={"id": 1, "name": "a"}).status_code == 201
    client.patch("/api/tags/1", json={"name": "b"})
    assert changes_of(client, "tags/1")[0] == {"name": ["a", "b"]}
    clerk.dispose()
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {name}")
        connection.exec_driver_sql(f"DROP ROLE {name}")
    engine.dispose()
