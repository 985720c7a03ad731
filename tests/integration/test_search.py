"""``q=`` finds the same rows on every database, with an index and without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import flask
import pytest
import sqlalchemy as sa

from carboy import OPEN, Carboy
from carboy.ops.search_index import SearchIndexError, create_search_index, drop_search_index

from .everywhere import Everywhere, Served, served_everywhere

METADATA = sa.MetaData()
NOTES = sa.Table(
    "Mixed Notes",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("Title", sa.String(200)),
    sa.Column("order", sa.Text),
)
LINKS = sa.Table(
    "links",
    METADATA,
    sa.Column("a", sa.String(20), primary_key=True),
    sa.Column("b", sa.Integer, primary_key=True),
    sa.Column("rowid", sa.Text),
    sa.Column("text", sa.Text),
)
TEXTS = [
    ("Red apple", "a fruit"),
    ("red", "RED red apple pie"),
    ("Green", "an apple, green"),
    ("Blue", None),
    (None, None),
    ("Café", "naïve ÉCOLE"),
    ("cafe", "ecole"),
    ("it's", "snake_case and kebab"),
    ("NEAR", "AND OR NOT"),
    ("東京", "日本 text 123"),
    ('"quoted"', "col:on * star ^caret"),
]
QUERIES = [
    "apple", "red apple", "APPLE", "apple red", "pear", "apple pear", "école", "ecole", "café",
    "it's", "it s", "snake_case", "snake", "AND", "NOT red", "red OR green", "NEAR(red apple)",
    '"red apple"', 'red"', "app*", "apple*", "Title:red", "title : red", "^red", "- red", "red -",
    "-red", "(", ")", "*", "--", "'", "''", "red --", "123", "東京", "日本", "{red}", "+red", "\\",
    "; DROP TABLE links", "%", "a", "fruit red",
]  # fmt: skip


def _build(api: Carboy, engine: sa.Engine) -> None:
    _expose(api)
    METADATA.create_all(engine)
    with engine.begin() as connection:
        for number, (title, text) in enumerate(TEXTS):
            connection.execute(NOTES.insert(), {"id": number, "Title": title, "order": text})
            row = {"a": f"k{number}", "b": number, "rowid": "x", "text": text}
            connection.execute(LINKS.insert(), row)


def _expose(api: Carboy) -> None:
    api.resource(NOTES, name="notes", search=["Title", "order"])
    api.resource(LINKS, search=["text"])


@pytest.fixture
def notes(
    servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Everywhere]:
    """Two tables to search: one has a mixed-case name, the other a composite key."""
    folder = tmp_path_factory.mktemp("notes")
    with served_everywhere(servers, folder, _build) as pair:
        yield pair


def _restarted(served: Served) -> Any:
    """A client of a new application on the same database."""
    app = flask.Flask(__name__)
    _expose(Carboy(app, served.engine, policy=OPEN))
    return app.test_client()


def _found(client: Any, resource: str) -> list[list[Any]]:
    key = "id" if resource == "notes" else "b"
    found = []
    for query in QUERIES:
        answer = client.get(f"/api/{resource}?order={key}&select={key}&q={quote(query, safe='')}")
        assert answer.status_code == 200, (query, answer.text)
        found.append([row[key] for row in answer.json["data"]])
    return found


def _create(served: Served) -> None:
    with served.app.app_context():
        for resource in served.api.schema.exposed():
            if served.name == "mariadb":
                with pytest.raises(SearchIndexError, match="no search indexes on mariadb"):
                    create_search_index(served.engine, resource)
            else:
                create_search_index(served.engine, resource)


@pytest.mark.parametrize("resource", ["notes", "links"])
def test_the_same_rows_are_found_with_an_index_and_without(
    notes: Everywhere, resource: str
) -> None:
    """All ways to search agree on every query, and some find something."""
    without = [_found(served.client, resource) for served in notes]
    for served in notes:
        _create(served)
    with_index = [_found(_restarted(served), resource) for served in notes]
    assert [*without, *with_index] == [without[0]] * 6
    assert sum(bool(rows) for rows in without[0]) > 15


def test_sqlite_uses_the_index_and_keeps_it(notes: Everywhere) -> None:
    """The statement searches the FTS5 table; triggers follow inserts, updates and deletes."""
    served = notes.sqlite
    _create(served)
    client = _restarted(served)

    def ids(word: str) -> list[int]:
        answer: Any = client.get(f"/api/notes?q={word}&select=id").json
        return [row["id"] for row in answer["data"]]

    assert set(ids("apple")) == {0, 1, 2}
    assert "MATCH" in served.statements[-1]
    served.statements.clear()
    assert ids("apple")
    assert len(served.statements) == 1
    with served.engine.begin() as connection:
        connection.execute(NOTES.insert(), {"id": 50, "Title": "apple", "order": "tart"})
        connection.execute(NOTES.update().where(NOTES.c.id == 0), {"Title": "Pear", "order": None})
        connection.execute(NOTES.delete().where(NOTES.c.id == 1))
    assert set(ids("apple")) == {2, 50}
    assert ids("pear") == [0]


def test_postgresql_uses_the_index(notes: Everywhere) -> None:
    """The planner finds that the statement's expression is the index's."""
    served = notes.postgresql
    _create(served)
    served.get("/api/notes?q=apple&select=id")
    sql = served.statements[-1]
    with served.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        values = {"v0": "apple", "v1": 21, "v2": 20}
        explained = connection.exec_driver_sql(f"EXPLAIN {sql}", values).scalars().all()
    assert any("Mixed Notes_carboy_search" in line for line in explained), explained


@pytest.mark.parametrize("indexed", [False, True])
def test_the_better_match_comes_first(notes: Everywhere, indexed: bool) -> None:
    """A row that has the word more often is first, and a cursor goes on in that order."""
    for served in notes:
        if indexed:
            _create(served)
        client = _restarted(served)
        first = client.get("/api/notes?q=red&select=id&limit=1").json
        assert first["data"] == [{"id": 1}]
        rest = client.get(f"/api/notes?q=red&select=id&limit=1&after={first['next']}").json
        assert rest == {"data": [{"id": 0}], "next": None}


def test_an_index_can_be_made_again_and_dropped(notes: Everywhere) -> None:
    """Creating replaces; dropping twice is no error, and the search still works."""
    for served in (notes.sqlite, notes.postgresql):
        _create(served)
        _create(served)
        with served.app.app_context():
            resources = served.api.schema.exposed()
        for resource in (*resources, *resources):
            drop_search_index(served.engine, resource)
        assert len(_restarted(served).get("/api/notes?q=apple").json["data"]) == 3


def test_an_index_of_other_fields_is_not_used(notes: Everywhere) -> None:
    """Where the search fields have changed since, the rows are read instead."""
    served = notes.sqlite
    _create(served)
    app = flask.Flask(__name__)
    api = Carboy(app, served.engine, policy=OPEN)
    api.resource(NOTES, name="notes", search=["Title"])
    answer: Any = app.test_client().get("/api/notes?q=apple&select=id").json
    assert answer["data"] == [{"id": 0}]
    assert "MATCH" not in served.statements[-1]


def test_a_resource_without_search_fields_has_no_index(shop: Everywhere) -> None:
    """The error says what is missing."""
    for served in shop:
        with served.app.app_context():
            tags = served.api.schema.resources["tags"]
        with pytest.raises(SearchIndexError, match="declares no search fields"):
            create_search_index(served.engine, tags)
