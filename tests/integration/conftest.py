"""What the tests of writes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .models import Shop, make_shop


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    """An application over an empty database."""
    made = make_shop(database_url)
    yield made
    made.close()
