"""Figures for admins: rows, sizes and the use of indexes, on every database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from carboy import Carboy
from carboy.ops.api_keys import create_key
from carboy.ops.statistics import Figures, IndexFigures, figures
from tests.conftest import empty_mariadb_database, empty_postgresql_database

ROWS = 300


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'figures.sqlite'}")
        yield engine
        engine.dispose()
        return
    empty = {"postgresql": empty_postgresql_database, "mariadb": empty_mariadb_database}
    server = request.getfixturevalue(f"{request.param}_url")
    with empty[request.param](server) as url:
        engine = sa.create_engine(url)
        yield engine
        engine.dispose()


def tables_in(engine: sa.Engine) -> Sequence[sa.Table]:
    """Two tables, of names that need quotes, one of them with rows and an index."""
    metadata = sa.MetaData()
    rows = sa.Table(
        "Some Rows",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(50), index=True),
    )
    none = sa.Table("none", metadata, sa.Column("id", sa.Integer, primary_key=True))
    metadata.create_all(engine)
    with engine.begin() as connection:
        values = [{"id": n, "name": f"name {n}"} for n in range(1, ROWS + 1)]
        connection.execute(sa.insert(rows), values)
    return rows, none


def analyze(engine: sa.Engine) -> None:
    """Let the database estimate."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        tables = {"mysql": "TABLE `Some Rows`", "mariadb": "TABLE `Some Rows`"}
        connection.exec_driver_sql(f"ANALYZE {tables.get(engine.dialect.name, '')}")


def test_small_tables_are_counted(engine: sa.Engine) -> None:
    """And say so, with what they and their indexes take; of SQLite only the whole is known."""
    found = figures(engine, tables_in(engine))
    none, some = sorted(found.tables, key=lambda each: each.rows or 0)
    assert (some.table, some.rows, some.exact) == ("Some Rows", ROWS, True)
    assert (none.table, none.rows, none.exact) == ("none", 0, True)
    assert found.bytes
    if engine.dialect.name == "sqlite":
        assert (some.bytes, some.index_bytes, index_of(found).bytes) == (None, None, None)
        return
    assert some.bytes is not None
    assert some.index_bytes is not None
    assert 0 < some.bytes < found.bytes
    assert 0 < some.index_bytes < found.bytes
    index = index_of(found)
    assert index.bytes is None or 0 < index.bytes <= some.index_bytes


def index_of(found: Figures) -> IndexFigures:
    """The index on names."""
    return next(each for each in found.indexes if each.index.endswith("name"))


def test_large_tables_are_estimated(engine: sa.Engine) -> None:
    """By what the database has analysed, and say so."""
    tables = tables_in(engine)
    analyze(engine)
    some = figures(engine, tables, exact_below=0).tables[0]
    assert (some.table, some.exact) == ("Some Rows", False)
    assert some.rows is not None
    assert abs(some.rows - ROWS) <= ROWS / 10


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_what_nobody_has_estimated_is_unknown(engine: sa.Engine) -> None:
    """Nobody counts a large table only because it was never analysed."""
    some = figures(engine, tables_in(engine), exact_below=0).tables[0]
    assert (some.rows, some.exact) == (None, False)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_the_use_of_an_index_is_counted(engine: sa.Engine) -> None:
    """PostgreSQL counts scans, and shows them a moment later."""
    tables = tables_in(engine)
    used = sa.select(tables[0].c.id).where(tables[0].c.name == "name 1")
    with engine.begin() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        connection.execute(used)
        # Otherwise the server waits for up to a second.
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    assert index_of(figures(engine, tables)).scans == 1


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_partitioned_table_is_the_sum_of_its_partitions(engine: sa.Engine) -> None:
    """It has no rows and no size of its own; and one in another schema is found."""
    with engine.begin() as connection:
        for statement in (
            "CREATE SCHEMA other",
            "CREATE TABLE other.parts (id int PRIMARY KEY) PARTITION BY RANGE (id)",
            "CREATE TABLE other.low PARTITION OF other.parts FOR VALUES FROM (0) TO (100)",
            "CREATE TABLE other.high PARTITION OF other.parts FOR VALUES FROM (100) TO (900)",
            "INSERT INTO other.parts SELECT generate_series(0, 299)",
        ):
            connection.exec_driver_sql(statement)
    analyze(engine)
    parts = sa.Table("parts", sa.MetaData(), sa.Column("id", sa.Integer), schema="other")
    (found,) = figures(engine, [parts], exact_below=0).tables
    assert (found.table, found.rows, found.exact) == ("other.parts", 300, False)
    assert found.bytes


def test_figures_are_for_admins(tmp_path: Path) -> None:
    """Nobody without the role sees them; those of the application's own are made each time."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    app.config["SQLALCHEMY_BINDS"] = {"far": f"sqlite:///{tmp_path / 'far.sqlite'}"}
    db = SQLAlchemy(app)
    items = db.Table("items", sa.Column("id", sa.Integer, primary_key=True))
    far = db.Table("far", sa.Column("id", sa.Integer, primary_key=True), bind_key="far")
    secret = db.Table("secret", sa.Column("id", sa.Integer, primary_key=True))
    api = Carboy(app, db)
    api.resource(items)
    api.resource(far)

    @api.statistic
    def newest_item() -> sa.Select[int | None]:
        return sa.select(sa.func.max(items.c.id))

    @api.statistic
    def far_away() -> sa.Select[int]:
        return sa.select(sa.func.count()).select_from(far)

    with app.app_context():
        db.create_all()
        engine = db.engine
        admin, writer = (create_key(engine, role, [role]) for role in ("admin", "writer"))
        db.session.execute(sa.insert(items).values(id=7))
        db.session.commit()
    client = app.test_client()
    path = "/admin/db-stats"
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"X-API-Key": writer}).status_code == 403
    answer = client.get(path, headers={"X-API-Key": admin})
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["statistics"] == {"newest_item": 7, "far_away": 0}
    default, other = answer.json["databases"]
    assert (default["bind"], other["bind"], other["dialect"]) == (None, "far", "sqlite")
    assert [each["table"] for each in default["tables"]] == ["items"]
    assert default["tables"][0]["rows"] == 1
    assert secret.name not in answer.get_data(as_text=True)
    with app.app_context():
        db.session.execute(sa.delete(items))
        db.session.commit()
    again = client.get(path, headers={"X-API-Key": admin}).json
    assert again is not None
    assert again["statistics"]["newest_item"] is None


def test_the_place_of_figures_is_a_setting(tmp_path: Path) -> None:
    """Without CARBOY_ADMIN_PATH there are none."""
    app = Flask(__name__)
    app.config["CARBOY_ADMIN_PATH"] = ""
    Carboy(app, sa.create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}"))
    assert app.test_client().get("/admin/db-stats").status_code == 404
