"""A filled database of each kind, and an empty place for backups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import empty_mariadb_database, empty_postgresql_database

from .sources import fill

KINDS = ("sqlite", "postgresql", "mariadb")


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shop.sqlite'}"
    elif request.param == "postgresql":
        with empty_postgresql_database(request.getfixturevalue("postgresql_url")) as url:
            yield url
    else:
        with empty_mariadb_database(request.getfixturevalue("mariadb_url")) as url:
            yield url


@pytest.fixture
def source(empty_url: str) -> str:
    """The URL of a filled database of each kind in turn."""
    fill(empty_url)
    return empty_url


@pytest.fixture
def url(source: str) -> sa.URL:
    """The same, as Carboy takes it."""
    return sa.make_url(source)


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A folder for backups, which isn't there yet."""
    return str(tmp_path / "backups")


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CARBOY_")]:
        monkeypatch.delenv(name)
