"""PgBouncer in transaction mode: each transaction may be on another of the server's connections."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from carboy import OPEN, Carboy
from carboy.serve.checks import check_app
from tests.conftest import empty_postgresql_database, served_client
from tests.unit.identify.issuer import SECRET, token
from tools.beside import pgbouncer

TURNS = 12
"""More than psycopg sends a statement before it prepares it."""


class Base(DeclarativeBase):
    """The models of this module."""


class Shelf(Base):
    """A row that others belong to."""

    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list[Book]] = relationship(back_populates="shelf")


class Book(Base):
    """A row with a history."""

    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    shelf_id: Mapped[int | None] = mapped_column(sa.ForeignKey("shelves.id"))
    shelf: Mapped[Shelf | None] = relationship(back_populates="books")


MINE = sa.Table(
    "mine",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("owner", sa.Text),
)
"""A table with row-level security."""


@pytest.fixture(scope="module")
def database(postgresql_url: str) -> Iterator[str]:
    """The URL of a database with the tables, without PgBouncer."""
    with empty_postgresql_database(postgresql_url) as url:
        engine = sa.create_engine(url)
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add(Shelf(name="one", books=[Book(title="a running engine")]))
            session.commit()
        engine.dispose()
        yield url


@pytest.fixture(scope="module")
def pooled(database: str) -> Iterator[str]:
    """The URL of the same database through PgBouncer."""
    with pgbouncer(database) as url:
        yield url


class Worker:
    """An application as one worker process has it, with connections of its own."""

    def __init__(
        self, url: str, connect_args: Mapping[str, Any] | None = None, **config: Any
    ) -> None:
        self.engine = sa.create_engine(url, connect_args={**(connect_args or {})})
        self.app = Flask("shelves")
        self.app.config.update(config, CARBOY_SEARCH_CONFIG="english")
        api = Carboy(self.app, self.engine, policy=OPEN)
        api.resource(Shelf)
        api.resource(Book, search=["title"], history=True)
        api.resource(MINE)
        with self.app.app_context():
            assert api.schema.exposed()

    def client(self) -> FlaskClient:
        """A client of it."""
        return self.app.test_client()


@pytest.fixture
def workers(pooled: str) -> Iterator[list[Worker]]:
    """Two workers, whose connections PgBouncer serves with the same ones."""
    made = [Worker(pooled), Worker(pooled)]
    yield made
    for worker in made:
        worker.engine.dispose()


def test_the_workers_share_one_connection_of_the_server(workers: list[Worker]) -> None:
    """So what one worker leaves on it, the other finds: the tests below would see that."""
    found = set()
    for worker in workers * TURNS:
        with worker.engine.connect() as connection:
            found.add(connection.scalar(sa.text("SELECT pg_backend_pid()")))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("books/1", {}),
        ("shelves?select=name,books(title)&books.order=title&id=in.(1,2,3)", {}),
        ("books?q=engines&page=1", {}),
        ("books?title=fts(english).running", {"Prefer": "count=estimated"}),
        ("books/1/history", {}),
    ],
)
def test_reads_are_answered_however_often(
    workers: list[Worker], path: str, headers: dict[str, str]
) -> None:
    """The same read by turns from two workers: psycopg would prepare it in each by one name."""
    clients = [worker.client() for worker in workers]
    for client in clients * TURNS:
        answer = client.get(f"/api/{path}", headers=headers)
        assert answer.status_code == 200, answer.text


def test_writes_are_stored_with_their_history(workers: list[Worker]) -> None:
    """Creates, changes and deletes by turns; each is in the history, and what failed is not."""
    clients = [worker.client() for worker in workers]
    for number, client in enumerate(clients * TURNS):
        body = {"title": f"book {number}", "shelf": {"name": secrets.token_hex(8)}}
        made = client.post("/api/books", json=body)
        assert made.status_code == 201, made.text
        path = f"/api/books/{made.get_json()['id']}"
        tag = client.get(path).headers["ETag"]
        changed = client.patch(path, json={"title": "new"}, headers={"If-Match": tag})
        assert changed.status_code == 200, changed.text
        assert client.patch(path, json={"shelf_id": -1}).status_code == 409
        assert client.delete(path).status_code == 204
        # Whose history it was, nobody can tell once the row is gone; an open policy shows it.
        rows = client.get(f"{path}/history").get_json()["data"]
        assert [row["action"] for row in rows] == ["delete", "update", "create"]


def test_one_idempotency_key_makes_one_row(workers: list[Worker]) -> None:
    """The lock of a key is the transaction's, so that it holds, and goes, on any connection."""
    key = secrets.token_hex(8)

    def post(number: int) -> int:
        client = workers[number % 2].client()
        headers = {"Idempotency-Key": key}
        return client.post("/api/books", json={"title": key}, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(post, range(40)))
    assert set(statuses) <= {201, 409}
    assert post(0) == 201
    rows = workers[1].client().get(f"/api/books?title=eq.{key}").get_json()["data"]
    assert len(rows) == 1


def test_the_applications_own_sessions_work_too(workers: list[Worker]) -> None:
    """A session uses connections that no request has had in its hands yet."""
    fresh = [Worker(str(w.engine.url.render_as_string(hide_password=False))) for w in workers]
    for worker in fresh * TURNS:
        with Session(worker.engine) as session:
            assert session.scalars(sa.select(Shelf.name).where(Shelf.id == 1)).one() == "one"
            session.commit()
    for worker in fresh:
        worker.engine.dispose()


@pytest.fixture
def guarded(database: str) -> Iterator[Worker]:
    """A worker whose role sees, through PgBouncer, the rows that row-level security shows it."""
    engine, name = sa.create_engine(database), f"api_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE mine (id int PRIMARY KEY, owner text);"
            "INSERT INTO mine SELECT n, mod(n, 3)::text FROM generate_series(1, 30) n;"
            "ALTER TABLE mine ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY own ON mine USING (owner = current_setting('carboy.actor_id', true));"
            f"CREATE ROLE {name} LOGIN PASSWORD 'secret'; GRANT ALL ON mine TO {name};"
            # Carboy's own tables, whichever test comes first.
            f"GRANT CREATE ON SCHEMA public TO {name}"
        )
    url = engine.url.set(username=name, password="secret").render_as_string(hide_password=False)
    try:
        with pgbouncer(url) as pooled:
            worker = Worker(pooled, CARBOY_ROW_SECURITY=1, CARBOY_JWT_SECRET=SECRET)
            yield worker
            worker.engine.dispose()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {name}; DROP ROLE {name}; DROP TABLE mine")
        engine.dispose()


def test_row_security_tells_each_transaction_who_asks(guarded: Worker) -> None:
    """Actors at the same time, over few connections: each sees and writes what is theirs."""

    def ask(number: int) -> bool:
        headers = {"Authorization": f"Bearer {token(sub=str(number % 3))}"}
        client = guarded.app.test_client()
        rows = client.get("/api/mine?select=id", headers=headers).get_json()["data"]
        other = client.patch("/api/mine/1", json={"owner": "1"}, headers=headers).status_code
        return {row["id"] % 3 for row in rows} == {number % 3} and other == (
            200 if number % 3 == 1 else 404
        )

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(ask, range(60)))


def test_a_database_is_served_without_code(database: str, pooled: str) -> None:
    """`carboy serve` finds its tables through PgBouncer, and reads and writes them."""
    for writable in (True, False):
        with served_client(pooled, writable=writable) as client:
            for _ in range(TURNS):
                assert client.get("/api/books/1").status_code == 200
            assert client.post("/api/shelves", json={}).status_code == (400 if writable else 405)


@pytest.mark.parametrize(("threshold", "found"), [(5, 0), (None, 0), (2, 1)])
def test_check_finds_statements_that_are_prepared(
    pooled: str, threshold: int | None, found: int
) -> None:
    """What somebody has set is left, and said: only PgBouncer's own settings can make it work."""
    worker = Worker(pooled, connect_args={"prepare_threshold": threshold})
    findings = [f for f in check_app(worker.app) if f.name == "prepared-statements"]
    assert len(findings) == found
    worker.engine.dispose()


def test_without_pgbouncer_statements_are_prepared(database: str) -> None:
    """The server itself keeps psycopg's prepared statements, and nothing is to be found."""
    worker = Worker(database)
    worker.client().get("/api/books/1")
    with worker.engine.connect() as connection:
        assert connection.connection.driver_connection is not None
        assert connection.connection.driver_connection.prepare_threshold == 5
    assert "prepared-statements" not in {f.name for f in check_app(worker.app)}
    worker.engine.dispose()
