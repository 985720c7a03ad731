"""Applications that are served on every database while one module's tests run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from . import shop as shop_models
from .everywhere import Everywhere, served_everywhere
from .models import Shop, make_shop
from .notes import Notes


@pytest.fixture(scope="module")
def shop(
    servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Everywhere]:
    """The shop."""
    folder = tmp_path_factory.mktemp("shop")
    with served_everywhere(servers, folder, shop_models.build) as pair:
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
