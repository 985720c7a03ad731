"""One application on every database at once, for tests that ask all of them the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
import psycopg
import pymysql.cursors
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from carboy import OPEN, Carboy
from tests.conftest import empty_databases

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
class Everywhere:
    """The same application on every database."""

    sqlite: Served
    postgresql: Served
    mariadb: Served

    def __iter__(self) -> Iterator[Served]:
        return iter((self.sqlite, self.postgresql, self.mariadb))

    def get(self, url: str, **options: Any) -> list[TestResponse]:
        """Ask all."""
        return [served.get(url, **options) for served in self]

    def json(self, url: str) -> Any:
        """What all answer: a 200, and the same JSON. Each's cursor serves the others."""
        first, *others = self.get(url)
        for answer in (first, *others):
            assert answer.status_code == 200, answer.text
        for answer in others:
            assert _without_cursor(answer.json) == _without_cursor(first.json)
        return first.json


def _without_cursor(answer: Any) -> Any:
    """The answer with only whether there is a cursor: a number can be spelled in several ways."""
    return {**answer, "next": answer["next"] is not None} if "next" in answer else answer


@contextmanager
def served_everywhere(
    servers: Mapping[str, str], folder: Path, build: Build, **config: Any
) -> Iterator[Everywhere]:
    """Serve what ``build`` makes on an empty database of each kind."""
    traced = {
        "sqlite": _traced_sqlite,
        "postgresql": _traced_postgresql,
        "mariadb": _traced_mariadb,
    }
    with ExitStack() as stack:
        urls = stack.enter_context(empty_databases(servers, folder))
        made = {
            name: stack.enter_context(_served(url, build, traced[name], **config))
            for name, url in urls.items()
        }
        yield Everywhere(**made)


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


def _traced_mariadb(statements: list[str]) -> dict[str, Any]:
    class Cursor(pymysql.cursors.Cursor):
        def execute(self, query: Any, args: Any = None) -> int:
            # What makes a new connection ready is none of a request's own.
            if "SET group_concat_max_len" not in str(query):
                statements.append(str(query))
            return super().execute(query, args)

    return {"cursorclass": Cursor}
