"""One application on SQLite and on PostgreSQL at once, for tests that ask both the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import flask
import psycopg
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from carboy import OPEN, Carboy

Build = Callable[[Carboy, sa.Engine], None]
"""Registers the resources, makes the tables and fills them."""


@dataclass
class Served:
    """An application on one database; ``statements`` is what has reached its driver."""

    name: str
    app: flask.Flask
    engine: sa.Engine
    api: Carboy
    client: FlaskClient
    statements: list[str] = field(default_factory=list)

    def get(self, url: str, **options: Any) -> TestResponse:
        """Ask, having forgotten the statements of earlier requests."""
        self.statements.clear()
        return self.client.get(url, **options)


@dataclass(frozen=True)
class Pair:
    """The same application on both databases."""

    sqlite: Served
    postgresql: Served

    def __iter__(self) -> Iterator[Served]:
        return iter((self.sqlite, self.postgresql))

    def get(self, url: str, **options: Any) -> tuple[TestResponse, TestResponse]:
        """Ask both."""
        return self.sqlite.get(url, **options), self.postgresql.get(url, **options)

    def json(self, url: str) -> Any:
        """What both answer: a 200, and the same JSON. Either's cursor serves the other."""
        one, two = self.get(url)
        assert (one.status_code, two.status_code) == (200, 200), (one.text, two.text)
        assert _without_cursor(one.json) == _without_cursor(two.json)
        return one.json


def _without_cursor(answer: Any) -> Any:
    """The answer with only whether there is a cursor: a number can be spelled in several ways."""
    return {**answer, "next": answer["next"] is not None} if "next" in answer else answer


@contextmanager
def served_on_both(
    sqlite_url: str, postgresql_url: str, build: Build, **config: Any
) -> Iterator[Pair]:
    """Serve what ``build`` makes on both databases."""
    with (
        _served(sqlite_url, build, _traced_sqlite, **config) as one,
        _served(postgresql_url, build, _traced_postgresql, **config) as two,
    ):
        yield Pair(one, two)


@contextmanager
def _served(
    url: str, build: Build, traced: Callable[[list[str]], dict[str, Any]], **config: Any
) -> Iterator[Served]:
    statements: list[str] = []
    engine = sa.create_engine(url, connect_args=traced(statements))
    app = flask.Flask(__name__)
    app.config |= {"SECRET_KEY": "a secret of the tests", **config}
    api = Carboy(app, engine, policy=OPEN)
    try:
        build(api, engine)
        yield Served(engine.dialect.name, app, engine, api, app.test_client(), statements)
    finally:
        engine.dispose()


def _traced_sqlite(statements: list[str]) -> dict[str, Any]:
    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
            statements.append(sql)
            super().execute(sql, parameters)
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

    return {"factory": Connection}


def _traced_postgresql(statements: list[str]) -> dict[str, Any]:
    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Cursor:
            statements.append(str(query))
            super().execute(query, *arguments, **options)
            return self

    return {"cursor_factory": Cursor}
