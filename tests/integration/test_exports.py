"""Exports: all rows of a list, as NDJSON, CSV and a JSON array, and alike on every database."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from werkzeug.test import TestResponse

from carboy import Carboy
from carboy.formats import marked
from carboy.request import EXPORTS

from .everywhere import Everywhere, Served, served_everywhere

NDJSON, CSV, ARRAY = EXPORTS

NASTY = (
    "",
    " ",
    " x ",
    "null",
    "\\N",
    "\\.",
    "\\",
    "\\n",
    '"',
    '""',
    "'",
    "a,b",
    "a\nb",
    "a\r\nb",
    "\n",
    "\t",
    "\r",
    "\x01",
    "\x02",
    "\x01\x02\x7f",
    "\x1b[0m",
    "\u2028\u2029\x85\ufeff",
    "é日本😀",
    "%s %(v0)s %%",
    ":v0",
    "{}",
    "[1]",
    "x" * 70_000,
)
FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''=1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("x","y")',
    "'quoted'",
    "'",
    "a=1",
)


class Base(DeclarativeBase):
    """The tables of this module."""


class Text(Base):
    """Texts that make trouble, beside the same as JSON."""

    __tablename__ = "texts"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None] = mapped_column(sa.Text)
    data: Mapped[object | None] = mapped_column(sa.JSON(none_as_null=True))
    number: Mapped[int | None]


def build(api: Carboy, engine: sa.Engine) -> None:
    """Make and fill the table."""
    api.resource(Text, search=["text"], max_page_size=10_000)
    api.resource(Text, name="few", page_size=2, max_page_size=3)
    Base.metadata.create_all(engine)
    texts = [*NASTY, *FORMULAS, None]
    with Session(engine) as session:
        session.add_all(
            Text(id=n, text=text, data={"a": [text]} if n % 3 else text, number=-n)
            for n, text in enumerate(texts, 1)
        )
        session.commit()
        # As people type it: JSON with line breaks between its values, and the JSON null.
        for n, document in ((1001, '{"a":\n\r\n [1,\r 2]}'), (1002, "null"), (1003, '"=1"')):
            given = "cast(:d AS json)" if engine.dialect.name == "postgresql" else ":d"
            insert = f"INSERT INTO texts (id, text, data) VALUES (:n, 'json', {given})"
            session.execute(sa.text(insert), {"n": n, "d": document})
        session.commit()


@pytest.fixture(scope="module")
def texts(
    servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Everywhere]:
    """The texts on every database."""
    folder = tmp_path_factory.mktemp("exports")
    with served_everywhere(servers, folder, build) as made:
        yield made


def export(served: Served, url: str, media: str) -> TestResponse:
    """The answer to an export."""
    answer = served.get(url, headers={"Accept": media})
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == media
    return answer


def rows_of(answer: TestResponse) -> list[Any]:
    """The rows of an answer in JSON."""
    if answer.mimetype == ARRAY:
        found: list[Any] = json.loads(answer.data)
        return found
    # By line feeds alone: JSON may hold what else Python takes for the end of a line.
    lines = answer.get_data(as_text=True).split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]


def cells_of(answer: TestResponse) -> list[dict[str, str]]:
    """The cells of an answer in CSV, as any reader finds them."""
    text = io.StringIO(answer.get_data(as_text=True), newline="")
    csv.field_size_limit(10**6)
    return list(csv.DictReader(text, strict=True))


def unmarked(cell: str) -> str:
    """A cell without the apostrophe that keeps it from being run: what docs say of importing."""
    return cell[1:] if cell.startswith("'") and marked(cell[1:]) == cell else cell


def cell_of(value: Any) -> Any:
    """What a cell says of a value of JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


QUERIES = (
    "select=*",
    "select=id,text&order=text.desc.nullslast,id",
    "select=renamed:text,number,id&number=lt.-3&order=id.desc",
    "select=id&limit=5&offset=2",
    "select=id&offset=5",
    "select=id&limit=0",
    "select=id&id=eq.0",
    "select=text,n:count()&order=text.nullsfirst&limit=7",
    "select=id&text=like.*%25*",
    "select=id,text&q=x",
    "select=data->a,id&id=lt.5",
    "select=id,data,text&id=gt.1000",
)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("media", [NDJSON, ARRAY])
def test_an_export_has_the_rows_of_the_list(texts: Everywhere, media: str, query: str) -> None:
    """In its order, with its values, whatever they hold."""
    limit = "" if "limit" in query else "&limit=10000"
    for served in texts:
        listed = served.get(f"/api/texts?{query}{limit}").json["data"]  # type: ignore[index]
        assert rows_of(export(served, f"/api/texts?{query}", media)) == listed


@pytest.mark.parametrize("query", QUERIES)
def test_cells_are_the_values_of_the_list(texts: Everywhere, query: str) -> None:
    """As text: JSON where a value is a document, empty where it is null."""
    limit = "" if "limit" in query else "&limit=10000"
    for served in texts:
        listed = served.get(f"/api/texts?{query}{limit}").json["data"]  # type: ignore[index]
        found = cells_of(export(served, f"/api/texts?{query}", CSV))
        assert len(found) == len(listed)
        for cells, row in zip(found, listed, strict=True):
            assert list(cells) == list(row)
            for name, value in row.items():
                if name in ("data", "a") and value is not None:
                    assert json.loads(cells[name]) == value
                else:
                    assert unmarked(cells[name]) == cell_of(value)


def test_cells_are_the_same_on_every_database(shop: Everywhere) -> None:
    """Numbers, moments, enums, bytes and the like, and what is embedded, spread and counted."""
    query = "select=*,tags(name),...owner(owner:name),...tags(labels:name)&order=id"
    first, *others = [cells_of(export(s, f"/api/items?{query}", CSV)) for s in shop]
    assert len(first) == 5
    documents = ("data", "tags", "labels")
    listed = shop.json(f"/api/items?{query}")["data"]
    for cells in (first, *others):
        for found, row in zip(cells, listed, strict=True):
            assert {n: json.loads(found[n]) for n in documents} == {n: row[n] for n in documents}
            for name in row.keys() - set(documents):
                if isinstance(row[name], float):
                    assert float(found[name]) == row[name]
                else:
                    assert unmarked(found[name]) == cell_of(row[name])


@pytest.mark.parametrize("media", EXPORTS)
def test_hidden_fields_stay_hidden(shop: Everywhere, media: str) -> None:
    """They are in no row, and asking for one is a 400."""
    for served in shop:
        assert "cost" not in export(served, "/api/items", media).text.partition("}")[0]
        refused = served.get("/api/items?select=cost", headers={"Accept": media})
        assert (refused.status_code, refused.mimetype) == (400, "application/problem+json")


def test_null_and_an_empty_text_are_told_apart(texts: Everywhere) -> None:
    """Null is an empty cell, an empty text has quotes."""
    url = "/api/texts?select=id,text&or=(id.eq.1,text.is.null)&order=id"
    last = len(NASTY) + len(FORMULAS) + 1
    for served in texts:
        assert export(served, url, CSV).text == f'id,text\n1,""\n{last},\n'


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_is_marked(texts: Everywhere, text: str) -> None:
    """No text cell begins like a formula, and the original can be had back; numbers are left."""
    number = len(NASTY) + FORMULAS.index(text) + 1
    for served in texts:
        (cells,) = cells_of(export(served, f"/api/texts?id=eq.{number}", CSV))
        assert not cells["text"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert unmarked(cells["text"]) == text
        assert cells["number"] == str(-number)


def test_a_header_is_no_formula_either(texts: Everywhere) -> None:
    """A client makes up its aliases."""
    for served in texts:
        answer = export(served, '/api/texts?select="=1%2B1":id&id=eq.1', CSV)
        assert answer.text == "'=1+1\n1\n"


@pytest.mark.parametrize(("media", "body"), [(NDJSON, ""), (CSV, "id,text\n"), (ARRAY, "[]\n")])
def test_no_rows_are_an_empty_export(texts: Everywhere, media: str, body: str) -> None:
    """With a header, or as an empty array."""
    for served in texts:
        assert export(served, "/api/texts?select=id,text&id=eq.0", media).text == body


def test_page_sizes_bound_no_export(texts: Everywhere) -> None:
    """Neither what a list shows unasked, nor the most it shows."""
    number = len(NASTY) + len(FORMULAS) + 4
    for served in texts:
        assert len(rows_of(export(served, "/api/few?select=id", NDJSON))) == number
        assert len(rows_of(export(served, "/api/few?select=id&limit=7", NDJSON))) == 7


@pytest.mark.parametrize(
    ("query", "headers", "parameter"),
    [
        ("page=1", {}, "page"),
        ("per_page=5", {}, "per_page"),
        ("after=x", {}, "after"),
        ("on_conflict=id", {}, "on_conflict"),
        ("", {"Prefer": "count=exact"}, "Prefer"),
        ("nope=eq.1", {}, "nope"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_an_export_doesnt_take_is_a_400(
    texts: Everywhere, method: str, query: str, headers: dict[str, str], parameter: str
) -> None:
    """It names what is wrong."""
    answer = texts.sqlite.client.open(
        f"/api/texts?{query}", method=method, headers={"Accept": CSV, **headers}
    )
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    if method == "GET":
        assert answer.json
        assert answer.json["errors"][0]["parameter"] == parameter


@pytest.mark.parametrize("media", EXPORTS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/texts/1"),
        ("HEAD", "/api/texts/1"),
        ("GET", "/api/texts/1/history"),
        ("POST", "/api/texts"),
        ("PATCH", "/api/texts?id=eq.1"),
        ("DELETE", "/api/texts/1"),
    ],
)
def test_only_collections_are_exported(
    texts: Everywhere, media: str, method: str, path: str
) -> None:
    """Everything else is a 406 that names what can be asked for, and does nothing."""
    answer = texts.sqlite.client.open(path, method=method, json={}, headers={"Accept": media})
    assert answer.status_code == 406
    if method != "HEAD":
        assert answer.json
        assert media in answer.json["detail"]
    assert texts.sqlite.client.get("/api/texts/1").status_code == 200


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "application/json"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/csv, application/json;q=0.5", CSV),
        ("text/csv, application/json", "application/json"),
        ("text/csv;q=0.5, application/x-ndjson", NDJSON),
        ("text/csv, */*;q=0.1", CSV),
        ("text/csv;q=0, */*", "application/json"),
    ],
)
def test_accept_chooses(texts: Everywhere, accept: str, media: str) -> None:
    """An export must be named, and weigh more than JSON."""
    assert texts.sqlite.get("/api/texts", headers={"Accept": accept}).mimetype == media


@pytest.mark.parametrize("media", EXPORTS)
def test_an_export_says_what_it_is(texts: Everywhere, media: str) -> None:
    """CSV is a file; there is no ETag, no length, and HEAD says the same without rows."""
    for served in texts:
        headers = {"Accept": media, "If-None-Match": '"x", W/"y"', "X-Request-ID": "same"}
        answer = served.get("/api/texts", headers=headers)
        head = served.client.head("/api/texts", headers=headers)
        assert dict(head.headers) == dict(answer.headers)
        assert (answer.status_code, head.status_code, head.data) == (200, 200, b"")
        assert not {"ETag", "Content-Length", "Link"} & set(dict(answer.headers))
        assert "Accept" in answer.headers["Vary"]
        disposition = 'attachment; filename="texts.csv"' if media == CSV else None
        assert answer.headers.get("Content-Disposition") == disposition
