"""Databases for tests: each test that asks for one gets an empty one of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg import sql
from sqlalchemy import make_url

from carboy.serve import Target, load
from tools.servers import mariadb, postgresql, redis

from . import mariadb as mariadb_types

assert mariadb_types.__doc__, "its rules hold from its import on"


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of a PostgreSQL cluster that lives as long as the tests."""
    with postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """The URL of a MariaDB that lives as long as the tests."""
    with mariadb() as url:
        yield url


@pytest.fixture(scope="session")
def servers(postgresql_url: str, mariadb_url: str) -> Mapping[str, str]:
    """The URLs of both servers, for tests that ask all databases the same."""
    return {"postgresql": postgresql_url, "mariadb": mariadb_url}


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis that lives as long as the tests; what is in it is all tests' together."""
    with redis() as url:
        yield url


@contextmanager
def empty_postgresql_database(server_url: str) -> Iterator[str]:
    """A new database on the server, as its URL; dropped at the end, whoever is connected."""
    name = f"test_{secrets.token_hex(6)}"
    url = make_url(server_url)
    with psycopg.connect(_without_driver(server_url), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


@contextmanager
def empty_mariadb_database(server_url: str) -> Iterator[str]:
    """A new database on the server, as its URL; dropped at the end."""
    name = f"test_{secrets.token_hex(6)}"
    url = make_url(server_url)
    with closing(
        pymysql.connect(
            host=url.host or "",
            port=url.port or 0,
            user=url.username,
            password=url.password or "",
            autocommit=True,
            ssl_disabled=True,
        )
    ) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name}")
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.cursor().execute(f"DROP DATABASE {name}")


@pytest.fixture(scope="module")
def shared_postgresql_url(postgresql_url: str) -> Iterator[str]:
    """The URL of a PostgreSQL database that the tests of a module empty for one another."""
    with empty_postgresql_database(postgresql_url) as url:
        yield url


KINDS = ("sqlite", "postgresql", "mariadb")


@contextmanager
def empty_database(request: pytest.FixtureRequest, kind: str, file: Path) -> Iterator[str]:
    """A new database of a kind, as its URL; SQLite's is the file."""
    if kind == "sqlite":
        yield f"sqlite:///{file}"
        return
    empty = {"postgresql": empty_postgresql_database, "mariadb": empty_mariadb_database}
    with empty[kind](request.getfixturevalue(f"{kind}_url")) as url:
        yield url


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind in turn."""
    with empty_database(request, request.param, tmp_path / "test.sqlite") as url:
        yield url


@contextmanager
def empty_databases(servers: Mapping[str, str], folder: Path) -> Iterator[dict[str, str]]:
    """A new database of each kind, by name."""
    with (
        empty_postgresql_database(servers["postgresql"]) as postgresql_,
        empty_mariadb_database(servers["mariadb"]) as mariadb_,
    ):
        yield {
            "sqlite": f"sqlite:///{folder / 'test.sqlite'}",
            "postgresql": postgresql_,
            "mariadb": mariadb_,
        }


@contextmanager
def served_client(target: str, **options: Any) -> Iterator[FlaskClient]:
    """A client of the API that ``carboy serve`` makes of a database, without a server."""
    served = load(Target(target, **options))
    assert isinstance(served.wsgi, Flask)
    try:
        yield served.wsgi.test_client()
    finally:
        served.close()


def _without_driver(url: str) -> str:
    plain = make_url(url).set(drivername="postgresql")
    return plain.render_as_string(hide_password=False)
