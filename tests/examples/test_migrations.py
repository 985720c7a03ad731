"""The migrations of the examples lead to their models and back, one by one, on every database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from flask import Flask, current_app
from flask_migrate import downgrade, upgrade
from flask_sqlalchemy import SQLAlchemy

from carboy.ops.migrate import Migrations, changed_tables, find_migrations, migration_state
from examples.serve import make_tables
from tests.conftest import empty_mariadb_database, empty_postgresql_database

with pytest.MonkeyPatch.context() as environment:
    environment.setenv("APP_ENV", "testing")
    import examples.blog.app
    import examples.blog.config
    import examples.cars.app
    import examples.cars.config

EXAMPLES = {
    "blog": (examples.blog.app, examples.blog.config),
    "cars": (examples.cars.app, examples.cars.config),
}


class Example(NamedTuple):
    """An example with a database of its own."""

    name: str
    app: Flask
    db: SQLAlchemy


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path / 'example.sqlite'}"
        elif request.param == "postgresql":
            server = request.getfixturevalue("postgresql_url")
            yield stack.enter_context(empty_postgresql_database(server))
        else:
            server = request.getfixturevalue("mariadb_url")
            yield stack.enter_context(empty_mariadb_database(server))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """env.py sets logging up, as commands want it; afterwards all is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(params=list(EXAMPLES))
def example(request: pytest.FixtureRequest, url: str) -> Iterator[Example]:
    """Each example with an empty database, in its application's context."""
    module, config = EXAMPLES[request.param]

    class Config(config.Testing):  # type: ignore[misc,name-defined]
        SQLALCHEMY_DATABASE_URI = url

    app = module.create_app(Config)
    with app.app_context():
        yield Example(request.param, app, module.db)
        module.db.session.remove()
        module.db.engine.dispose()


def migrations() -> Migrations:
    """Those of the current application."""
    found = find_migrations(current_app.extensions)
    assert found is not None
    return found


def tables(engine: sa.Engine) -> dict[str, Any]:
    """What the database has: each table's columns, keys and indexes."""
    inspector = sa.inspect(engine)
    return {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)],
            sorted(str(i["name"]) for i in inspector.get_indexes(name)),
            sorted(map(str, (k["constrained_columns"] for k in inspector.get_foreign_keys(name)))),
        )
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def test_each_migration_goes_up_and_down(example: Example) -> None:
    """Up, down and up again; all of them make what the models say, and the way back leaves none."""
    engine = example.db.engine
    steps = migration_state(migrations()).pending
    assert steps
    for revision in steps:
        before = tables(engine)
        upgrade(revision=revision)
        after = tables(engine)
        assert after != before
        downgrade(revision="-1")
        assert tables(engine) == before
        upgrade(revision=revision)
        assert tables(engine) == after
    assert changed_tables(migrations()) == []
    assert migration_state(migrations()).pending == ()
    assert set(tables(engine)) == set(example.db.metadata.tables)
    downgrade(revision="base")
    assert tables(engine) == {}


def test_a_database_from_before_the_migrations_is_kept(
    example: Example, capfd: pytest.CaptureFixture[str]
) -> None:
    """`make run` has always made the same tables: it notes so once, and leaves the rows alone."""
    example.db.create_all()
    before = tables(example.db.engine)
    for noted in (True, False):
        make_tables(example.app, example.db, example.name)
        assert tables(example.db.engine) == before
        assert migration_state(migrations()).pending == ()
        assert ("keep their rows" in capfd.readouterr().err) == noted
    assert changed_tables(migrations()) == []


@pytest.mark.parametrize("example", ["blog"], indirect=True)
def test_the_tables_of_another_application_are_not_taken_over(example: Example) -> None:
    """A table that has the same name by chance is an error, and stays what it was."""
    name = example.db.metadata.sorted_tables[-1].name
    with example.db.engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE {name} (mine integer)"))
        connection.execute(sa.text(f"INSERT INTO {name} VALUES (5)"))
    with pytest.raises(sa.exc.DBAPIError, match="already exists"):
        make_tables(example.app, example.db, example.name)
    with example.db.engine.connect() as connection:
        assert connection.scalar(sa.text(f"SELECT mine FROM {name}")) == 5
