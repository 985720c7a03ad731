"""Applications that are served on both databases while one module's tests run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import empty_postgresql_database

from . import shop as shop_models
from .models import Shop, make_shop
from .notes import Notes
from .pair import Pair, served_on_both


@pytest.fixture(scope="module")
def shop(postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The shop."""
    file = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    with (
        empty_postgresql_database(postgresql_url) as url,
        served_on_both(f"sqlite:///{file}", url, shop_models.build) as pair,
    ):
        yield pair


@pytest.fixture
def market(database_url: str) -> Iterator[Shop]:
    """An application over an empty database."""
    made = make_shop(database_url)
    yield made
    made.close()


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Notes]:
    """A database with a note, to make applications over."""
    made = Notes(tmp_path)
    yield made
    made.engine.dispose()


@pytest.fixture(params=[1, 0], ids=["direct", "dispatched"])
def way(request: pytest.FixtureRequest) -> int:
    """The setting CARBOY_DIRECT_READS: a test holds on either way of a request."""
    return int(request.param)
