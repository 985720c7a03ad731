"""Resources on several databases in one application, by Flask-SQLAlchemy's bind keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask_sqlalchemy
import flask_sqlalchemy_lite
import pytest
import sqlalchemy as sa
from flask import Flask, Response
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from carboy import OPEN, Carboy
from carboy.schema import SchemaError
from carboy.serve.checks import check_app
from tests.conftest import empty_postgresql_database


def make_app(urls: dict[str | None, str]) -> tuple[Flask, Carboy, Any]:
    """Books in the default database, loans and their readers in the one of the key ``loans``."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = urls[None]
    app.config["SQLALCHEMY_BINDS"] = {key: url for key, url in urls.items() if key}
    db = flask_sqlalchemy.SQLAlchemy(app)

    class Book(db.Model):  # type: ignore[name-defined,misc]
        __tablename__ = "books"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(sa.String(80), unique=True)

    class Reader(db.Model):  # type: ignore[name-defined,misc]
        __tablename__ = "readers"
        __bind_key__ = "loans"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(80))

    class Loan(db.Model):  # type: ignore[name-defined,misc]
        __tablename__ = "loans"
        __bind_key__ = "loans"
        id: Mapped[int] = mapped_column(primary_key=True)
        book_id: Mapped[int]
        reader_id: Mapped[int] = mapped_column(sa.ForeignKey("readers.id"))
        reader: Mapped[Reader] = relationship()
        book: Mapped[Book] = relationship(
            primaryjoin=lambda: sa.orm.foreign(Loan.book_id) == Book.id, viewonly=True
        )

    api = Carboy(app, db, policy=OPEN)
    for model in (Book, Reader):
        api.resource(model)
    api.resource(Loan, history=True)

    @app.get("/lent")
    def lent() -> Response:
        """In the session's own transaction."""
        db.session.add(Loan(book_id=1, reader_id=1))
        return api.read(sa.select(Loan), "book_id,reader(name)", session=db.session)

    @app.get("/mixed")
    def mixed() -> Response:
        """What no database can answer."""
        mixed = sa.select(Book.title, Loan.id).where(Book.id == Loan.book_id)
        return api.read(mixed)

    return app, api, db


@pytest.fixture
def app(tmp_path: Path, postgresql_url: str) -> Iterator[Flask]:
    """The default database is an SQLite file, the other one PostgreSQL."""
    with empty_postgresql_database(postgresql_url) as url:
        app, _, db = make_app({None: f"sqlite:///{tmp_path / 'books.sqlite'}", "loans": url})
        with app.app_context():
            db.create_all()
        yield app
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()


def test_each_resource_is_read_and_written_in_its_own_database(app: Flask) -> None:
    """With relations, policies, keys and histories of each."""
    client = app.test_client()
    assert client.post("/api/books", json={"title": "Sourdough"}).status_code == 201
    made = client.post("/api/loans", json={"book_id": 1, "reader": {"name": "Ada"}})
    assert made.status_code == 201
    assert client.get("/api/loans?select=book_id,reader(name)").json == {
        "data": [{"book_id": 1, "reader": {"name": "Ada"}}],
        "next": None,
    }
    changed = client.patch("/api/loans/1", json={"book_id": 2})
    assert changed.status_code == 200
    history = client.get("/api/loans/1/history").json
    assert history is not None
    assert [entry["action"] for entry in history["data"]] == ["update", "create"]
    assert client.get("/api/books?select=title").json == {
        "data": [{"title": "Sourdough"}],
        "next": None,
    }
    assert client.delete("/api/readers/1").status_code == 409


def test_a_key_is_remembered_where_the_row_is(app: Flask) -> None:
    """Both are in one transaction."""
    client = app.test_client()
    headers = {"Idempotency-Key": "once"}
    for expected in (None, "true"):
        answer = client.post("/api/readers", json={"name": "Ada"}, headers=headers)
        assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (201, expected)


def test_no_relation_leads_into_another_database(app: Flask) -> None:
    """It is unknown, where it would be a 500."""
    answer = app.test_client().get("/api/loans?select=id,book(title)")
    assert answer.status_code == 400
    assert answer.json is not None
    assert "'book'" in answer.json["detail"]


def test_a_view_reads_in_the_session_of_its_database(app: Flask) -> None:
    """It sees what the session has not committed yet."""
    client = app.test_client()
    assert client.post("/api/readers", json={"name": "Ada"}).status_code == 201
    assert client.get("/lent").json == [{"book_id": 1, "reader": {"name": "Ada"}}]
    assert client.get("/api/loans").json == {"data": [], "next": None}


def test_a_select_over_two_databases_names_them(app: Flask) -> None:
    """The developer sees it at the first try."""
    app.testing = True
    with pytest.raises(SchemaError, match="several databases: books, loans"):
        app.test_client().get("/mixed")


def test_a_key_without_a_database_is_told_when_the_api_is_built(tmp_path: Path) -> None:
    """By the resource, and with the setting that lacks it."""
    app, api, db = make_app({None: "sqlite://", "loans": f"sqlite:///{tmp_path / 'loans.sqlite'}"})

    class Fine(db.Model):  # type: ignore[name-defined,misc]
        __tablename__ = "fines"
        __bind_key__ = "fines"
        id: Mapped[int] = mapped_column(primary_key=True)

    api.resource(Fine)
    message = "'fines': there is no database for its __bind_key__ 'fines'.*SQLALCHEMY_BINDS"
    with app.app_context(), pytest.raises(SchemaError, match=message):
        api.schema.exposed()


def test_the_check_looks_into_each_database(app: Flask) -> None:
    """A table counts as missing only where it should be."""
    assert "tables" not in {finding.name for finding in check_app(app)}
    with app.app_context():
        engine = app.extensions["sqlalchemy"].engines["loans"]
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE loans"))
    missing = [finding.detail for finding in check_app(app) if finding.name == "tables"]
    assert missing == ["resource 'loans': the database has no table 'loans'"]


def test_flask_sqlalchemy_lite_finds_the_key_in_the_metadata(tmp_path: Path) -> None:
    """Its engines have names, but its models have no key of their own."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_ENGINES"] = {
        "default": "sqlite://",
        "archive": f"sqlite:///{tmp_path / 'archive.sqlite'}",
    }
    db = flask_sqlalchemy_lite.SQLAlchemy(app)

    class Archive(DeclarativeBase):
        metadata = sa.MetaData(info={"bind_key": "archive"})

    class Order(Archive):
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)

    Carboy(app, db, policy=OPEN).resource(Order)
    with app.app_context():
        Archive.metadata.create_all(db.engines["archive"])
    try:
        assert app.test_client().post("/api/orders", json={}).status_code == 201
        assert app.test_client().get("/api/orders").json == {"data": [{"id": 1}], "next": None}
    finally:
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()
