"""Migrations around ``carboy serve``: before it starts, and while it answers requests."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests import commands
from tests.conftest import empty_postgresql_database

from .test_serve import START_SECONDS, Server, carboy, environment, serving

APP = """
import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from carboy import OPEN, Carboy


class Base(DeclarativeBase):
    pass


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("SHOP", "sqlite:///shop.sqlite")
app.config["SECRET_KEY"] = "4f1d0c2ab7e95b38"
db = SQLAlchemy(app, model_class=Base)
api = Carboy(app, db, policy=OPEN)
migrate = Migrate(app, db)


class Shelf(Base):
    __tablename__ = "shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    items: Mapped[list["Item"]] = relationship(back_populates="shelf")


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    amount: Mapped[int]
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelves.id"), index=True)
    shelf: Mapped[Shelf] = relationship(back_populates="items")


api.resource(Shelf)
api.resource(Item, search=["name"], history=True)
"""
EXPAND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "expand", "first"

def upgrade():
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("items", sa.Column("note", sa.Text))
    op.alter_column("items", "name", type_=sa.String(200))
    op.alter_column("items", "amount", type_=sa.BigInteger)
    with op.get_context().autocommit_block():
        op.create_index("ix_items_amount", "items", ["amount"], postgresql_concurrently=True)
"""
CLIENTS = 6
COMMAND_SECONDS = 180


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an application and its first migration."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "shop.py").write_text(APP)
    flask(folder, "init")
    flask(folder, "migrate", "--rev-id", "first")
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    """The same, for one test; no database has the migration."""
    copy_of = tmp_path / "shop"
    shutil.copytree(made, copy_of, ignore=shutil.ignore_patterns("instance", "__pycache__"))
    return copy_of


def flask(folder: Path, *arguments: str) -> None:
    """Run ``flask db`` for the application in a folder."""
    done = commands.run(
        ["flask", "--app", "shop", "db", *arguments],
        folder=folder,
        environment=environment(),
        timeout=COMMAND_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_production_waits_for_its_migrations(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses, with the command that helps; development says so too, and starts."""
    command = "flask --app shop:app db upgrade"
    refused = carboy("serve", "shop:app", "--port", "0", folder=shop)
    assert refused.returncode == 2
    assert refused.stderr == f"carboy: a migration waits for the database; run: {command}\n"
    findings = json.loads(carboy("check", "shop:app", "--json", folder=shop).stdout)["findings"]
    assert "migrations" in [finding["name"] for finding in findings]
    monkeypatch.setenv("CARBOY_PROFILE", "development")
    with serving("shop:app", folder=shop) as server:
        assert server.stop() == 0
    assert command in "".join(server.said)


def test_production_starts_without_its_database(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then what waits, and the database may come back: it says so, and answers 503."""
    monkeypatch.setenv("SHOP", "postgresql+psycopg://me:hunter2@127.0.0.1:1/none")
    with serving("shop:app", folder=shop) as server:
        assert server.status("GET", "/api/items") == 503
        server.stop()
    said = "".join(server.said)
    assert "carboy: the database can't be asked for its migrations: " in said
    assert "hunter2" not in said


class Traffic:
    """Clients that read and write without a pause; what they were answered, and last wrote."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answers: Counter[tuple[str, int]] = Counter()
        self.amounts = dict.fromkeys(range(1, CLIENTS + 1), 0)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[n]) for n in self.amounts]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self, number: int) -> None:
        """Until so many more requests are answered."""
        end, latest = self.answers.total() + number, time.monotonic() + 4 * START_SECONDS
        while self.answers.total() < end:
            assert time.monotonic() < latest, self.answers
            assert any(thread.is_alive() for thread in self._threads)
            time.sleep(0.05)

    def _ask(self, client: int) -> None:
        for number in itertools.count(1):
            if self._stop.is_set():
                return
            new = {"name": f"new {client}", "amount": 0, "shelf_id": 1}
            for method, path, body in (
                ("PATCH", f"/api/items/{client}", {"amount": number}),
                ("GET", f"/api/items/{client}?select=*,shelf(name)", None),
                ("POST", "/api/items", new),
                ("GET", "/api/shelves?select=name,items(name,amount)&items.limit=5", None),
                ("PUT", f"/api/items/{client}", {**new, "amount": number}),
                ("GET", "/api/items?order=id.desc&limit=3&q=new", None),
            ):
                sent = json.dumps(body).encode() if body else None
                status = self.server.status(method, path, sent)
                self.answers[method, status] += 1
            self.amounts[client] = number


def test_a_migration_in_traffic_fails_no_request(
    shop: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads and writes go on while columns are added, widened and indexed; no change is lost."""
    with empty_postgresql_database(postgresql_url) as url:
        monkeypatch.setenv("SHOP", url)
        flask(shop, "upgrade")
        with serving("shop:app", folder=shop) as server:
            rows = [{"name": "item", "amount": 0, "shelf_id": 1} for _ in range(CLIENTS)]
            assert server.status("POST", "/api/shelves", b'{"name": "top"}') == 201
            assert server.status("POST", "/api/items", json.dumps(rows).encode()) == 201
            with Traffic(server) as traffic:
                # Often enough for the driver to have prepared its statements.
                traffic.wait(240)
                (shop / "migrations" / "versions" / "expand.py").write_text(EXPAND)
                flask(shop, "upgrade")
                traffic.wait(60)
            first = json.loads(server.get(f"/api/items?order=id&limit={CLIENTS}"))["data"]
            (counted,) = json.loads(server.get("/api/items?select=count()"))["data"]
            assert server.status("PATCH", "/api/items/1", b'{"amount": 3000000000}') == 400
            server.stop()
    assert {status for _, status in traffic.answers} == {200, 201}, traffic.answers
    assert not [line for line in server.said if line.startswith("carboy: ")]
    assert counted["count"] == CLIENTS + traffic.answers["POST", 201]
    assert {row["id"]: row["amount"] for row in first} == traffic.amounts
