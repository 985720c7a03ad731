"""Applications that are served on both databases while one module's tests run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import empty_postgresql_database

from . import shop as shop_models
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
