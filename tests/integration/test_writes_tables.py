"""Writes to tables that have no class: what ``carboy serve --writable`` offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from carboy import OPEN, Carboy

from .models import faults

_TABLES = {
    "Artist": """CREATE TABLE "Artist" (
        "ArtistId" INTEGER PRIMARY KEY, "Name" VARCHAR(20) NOT NULL UNIQUE)""",
    "Album": """CREATE TABLE "Album" (
        "AlbumId" INTEGER PRIMARY KEY, "Title" VARCHAR(20) NOT NULL, "order" INTEGER DEFAULT 7,
        "ArtistId" INTEGER NOT NULL REFERENCES "Artist" ("ArtistId"))""",
    "Log": 'CREATE TABLE "Log" (line VARCHAR(20))',
}


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    """A client of tables that were made elsewhere and are only reflected."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        for statement in _TABLES.values():
            quote = engine.dialect.identifier_preparer.initial_quote
            connection.exec_driver_sql(statement.replace('"', quote))
    metadata = sa.MetaData()
    metadata.reflect(engine)
    app = flask.Flask("tables")
    api = Carboy(app, engine, policy=OPEN)
    for name in _TABLES:
        api.resource(metadata.tables[name], writable=None if name == "Log" else _fields(name))
    yield app.test_client()
    engine.dispose()


def _fields(name: str) -> list[str]:
    return {"Artist": ["ArtistId", "Name"], "Album": ["AlbumId", "Title", "order", "ArtistId"]}[
        name
    ]


def send(client: FlaskClient, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """One request and its answer."""
    return client.open(f"/api/{path}", method=method, json=body, headers=headers)


def post(client: FlaskClient, path: str, body: Any, **headers: str) -> Any:
    """POST and its answer."""
    return send(client, "POST", path, body, **headers)


def test_a_reflected_table_takes_every_method(client: FlaskClient) -> None:
    """Tables without a class are created, changed, replaced and deleted alike."""
    artist = post(client, "Artist", {"ArtistId": 1, "Name": "A"})
    assert (artist.status_code, artist.headers["Location"]) == (201, "/api/Artist/1")
    album = post(client, "Album", {"AlbumId": 1, "Title": "T", "ArtistId": 1})
    assert album.json == {"AlbumId": 1, "Title": "T", "order": 7, "ArtistId": 1}
    assert send(client, "PATCH", "Album/1", {"order": 3}).json["order"] == 3
    replaced = send(client, "PUT", "Album/1", {"Title": "U", "ArtistId": 1})
    assert (replaced.json["Title"], replaced.json["order"]) == ("U", 7)
    assert send(client, "DELETE", "Album/1").status_code == 204
    assert send(client, "GET", "Album").json["data"] == []


def test_its_constraints_are_named_too(client: FlaskClient) -> None:
    """Duplicates, missing and needed rows are told as for mapped classes."""
    post(client, "Artist", [{"ArtistId": 1, "Name": "A"}, {"ArtistId": 2, "Name": "B"}])
    again = post(client, "Artist", {"ArtistId": 3, "Name": "A"})
    assert (again.status_code, faults(again)) == (409, [("/Name", "duplicate")])
    lost = post(client, "Album", {"AlbumId": 1, "Title": "T", "ArtistId": 9})
    assert (lost.status_code, faults(lost)) == (409, [("/ArtistId", "reference-missing")])
    post(client, "Album", {"AlbumId": 1, "Title": "T", "ArtistId": 1})
    held = send(client, "DELETE", "Artist/1")
    assert (held.status_code, held.json["type"]) == (409, "urn:carboy:error:still-referenced")


def test_it_takes_upserts_and_bulk_changes(client: FlaskClient) -> None:
    """on_conflict and filters work without a class."""
    post(client, "Artist", {"ArtistId": 1, "Name": "A"})
    rows = [{"ArtistId": 1, "Name": "Z"}, {"ArtistId": 2, "Name": "B"}]
    response = post(client, "Artist", rows, Prefer="resolution=merge-duplicates")
    assert (response.status_code, response.json["data"]) == (201, rows)
    changed = send(client, "PATCH", "Artist?ArtistId=eq.2", {"Name": "C"})
    assert changed.json == {"data": [{"ArtistId": 2, "Name": "C"}]}


def test_nested_rows_need_a_relationship(client: FlaskClient) -> None:
    """A foreign key alone can't be written through, and the answer says what can."""
    body = {"AlbumId": 1, "Title": "T", "Artist": {"ArtistId": 1}}
    response = post(client, "Album", body)
    assert response.status_code == 400
    assert ("/Artist", "read-only") in faults(response)
    assert "ArtistId" in response.json["errors"][0]["detail"]


def test_a_table_without_a_key_is_not_written(client: FlaskClient) -> None:
    """Its rows can't be told apart, so it can only be listed."""
    assert post(client, "Log", {"line": "x"}).status_code == 405
    assert send(client, "DELETE", "Log?line=eq.x").status_code == 405
    assert send(client, "GET", "Log").json["data"] == []
