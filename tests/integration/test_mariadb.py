"""What is only so on MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from carboy import OPEN, Carboy
from carboy.sql import dialect_for
from tests.conftest import empty_mariadb_database

MEGABYTE = "x" * 2**20
KEY = "00000000-2468-4cf1-8157-9bde2468ace0"


class Base(DeclarativeBase):
    """The tables."""


class Shelf(Base):
    """Books are embedded in it."""

    __tablename__ = "shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list[Book]] = relationship()


class Book(Base):
    """A megabyte of text each."""

    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.Text)
    shelf_id: Mapped[int | None] = mapped_column(sa.ForeignKey("shelves.id"))


class Letter(Base):
    """Holds a document."""

    __tablename__ = "letters"
    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[Any] = mapped_column(sa.JSON)


RAW = sa.Table(
    "raw_values",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("ticket", sa.Uuid),
    sa.Column("year", mysql.YEAR),
    sa.Column("moment", sa.TIMESTAMP),
    sa.Column("choice", mysql.SET("a", "b")),
)


@pytest.fixture(scope="module")
def engine(mariadb_url: str) -> Iterator[sa.Engine]:
    """Twenty megabytes on one shelf, none on the other, and MariaDB's own types."""
    with empty_mariadb_database(mariadb_url) as url:
        engine = sa.create_engine(url)
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add_all([Shelf(id=1), Shelf(id=2)])
            session.flush()
            session.add_all([Book(id=i, text=MEGABYTE, shelf_id=1) for i in range(1, 21)])
            session.commit()
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE raw_values (id INT PRIMARY KEY, ticket UUID, year YEAR,"
                " moment TIMESTAMP NULL, choice SET('a', 'b'))"
            )
            connection.exec_driver_sql("SET time_zone = '+05:00'")
            connection.exec_driver_sql(
                f"INSERT INTO raw_values VALUES (1, '{KEY}', 1999, '2024-01-01 05:00:00', 'a,b')"
            )
            connection.exec_driver_sql("SET time_zone = '+00:00'")
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def client(engine: sa.Engine) -> FlaskClient:
    """An application over it."""
    return served(engine)


def served(engine: sa.Engine) -> FlaskClient:
    """A client of an application with all tables, and a view in an order of its own."""
    app = flask.Flask("mariadb")
    api = Carboy(app, engine, policy=OPEN)
    for source in (Shelf, Book, RAW):
        api.resource(source)

    api.resource(Letter, history=True)

    @app.get("/backwards")
    def backwards() -> Any:
        return api.read(sa.select(Book).order_by(Book.id.desc()), "id")

    return app.test_client()


@pytest.mark.parametrize(
    "target",
    [
        "books?limit=20",
        "books?select=text,count()",
        "shelves/1?select=books(text)",
        "shelves?select=id,books(id,text)",
        "shelves?select=id,...books(text)",
        "shelves/1?select=id,books(id,shelf:shelf_id,text)&books.order=text.desc",
    ],
)
def test_an_answer_is_whole_or_refused(client: FlaskClient, target: str) -> None:
    """What is larger than the server's longest value is a 400, and never cut."""
    response = client.get(f"/api/{target}")
    if "count" in target:
        assert response.status_code == 200, response.text[:200]
        assert response.json is not None
        assert response.json["data"] == [{"text": MEGABYTE, "count": 20}]
        return
    assert response.status_code == 400, response.text[:200]
    assert response.json is not None
    assert response.json["type"].endswith("limit-exceeded")


def test_a_written_answer_is_whole_or_refused(client: FlaskClient) -> None:
    """The same of what a write answers; and then nothing is written."""
    headers = {"Prefer": "return=representation"}
    target = "/api/books?id=eq.1&select=id,shelf_id,shelf:shelf_id(books(text))"
    response = client.patch(target, json={"text": "short"}, headers=headers)
    assert response.status_code == 400, response.text[:200]
    assert response.json is not None
    assert response.json["type"].endswith("limit-exceeded"), response.json
    assert client.get("/api/books/1?select=text").json == {"text": MEGABYTE}


def test_long_answers_that_fit_are_whole(client: FlaskClient) -> None:
    """More than group_concat_max_len usually allows."""
    response = client.get("/api/shelves?select=id,books(id,text)&books.limit=12")
    assert response.json is not None
    first, second = response.json["data"]
    assert [len(book["text"]) for book in first["books"]] == [2**20] * 12
    assert second == {"id": 2, "books": []}


@pytest.mark.parametrize("lowered", ["", ", max_error_count = 0"])
@pytest.mark.parametrize(
    "path",
    ["books?select=id,text&limit=4", "shelves?select=id,books(text)&books.limit=4"],
)
def test_a_connection_of_other_settings_cuts_no_answer(
    engine: sa.Engine, path: str, lowered: str
) -> None:
    """What the application has set on the connection makes an error, and never half an answer."""
    single = sa.create_engine(engine.url, pool_size=1, max_overflow=0)
    client = served(single)
    assert client.get("/api/books/1?select=id").json == {"id": 1}
    with single.connect() as connection:
        connection.exec_driver_sql(f"SET group_concat_max_len = 100{lowered}")
    refused = client.get(f"/api/{path}")
    assert refused.status_code == 400, refused.text[:200]
    assert refused.json is not None
    assert refused.json["type"].endswith("limit-exceeded")
    whole = client.get(f"/api/{path}")
    assert whole.status_code == 200, whole.text[:200]
    assert len(whole.data) > 3 * len(MEGABYTE)
    single.dispose()


@pytest.mark.parametrize(("depth", "status"), [(29, 200), (30, 400)])
def test_a_history_of_deep_documents_is_whole_or_refused(
    client: FlaskClient, depth: int, status: int
) -> None:
    """MariaDB finds nothing in JSON of 32 levels, and an entry has two of its own."""
    data: Any = "x"
    for _ in range(depth):
        data = [data]
    written = client.post("/api/letters", json={"data": data})
    assert written.status_code == 201, written.text
    assert written.json is not None
    read = client.get(f"/api/letters/{written.json['id']}/history")
    assert read.status_code == status, read.text
    assert read.json is not None
    if status == 200:
        assert read.json["data"][0]["changes"]["data"] == [None, data]


def test_a_view_keeps_its_order(client: FlaskClient) -> None:
    """Also without a limit, where MariaDB drops the order of a subquery."""
    assert client.get("/backwards").json == [{"id": number} for number in range(20, 0, -1)]


def test_groups_of_no_rows(client: FlaskClient) -> None:
    """A count without a group beside it is there for a row without any, too."""
    response = client.get("/api/shelves?select=id,books(count(),id.max())")
    assert response.json is not None
    assert response.json["data"] == [
        {"id": 1, "books": [{"count": 20, "max": 20}]},
        {"id": 2, "books": [{"count": 0, "max": None}]},
    ]


def test_types_of_its_own(client: FlaskClient) -> None:
    """UUID is itself, TIMESTAMP is in UTC, the rest is the database's text."""
    response = client.get(f"/api/raw_values?ticket=eq.{KEY}")
    assert response.json is not None
    assert response.json["data"] == [
        {
            "id": 1,
            "ticket": KEY,
            "year": "1999",
            "moment": "2024-01-01T00:00:00.000000Z",
            "choice": "a,b",
        }
    ]


def test_mysql_is_refused() -> None:
    """Its name and version are in the message."""

    class Connection:
        def get_server_info(self) -> str:
            return "8.0.36"

    with pytest.raises(NotImplementedError, match=r"not MySQL 8\.0\.36"):
        dialect_for("mysql").prepare(Connection())
