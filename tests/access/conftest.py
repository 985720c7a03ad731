"""The world on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from .world import Asker, fill, make_app, token


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """A database with the world's rows."""
    engine = sa.create_engine(database_url)
    fill(engine)
    yield engine
    engine.dispose()


Login = Callable[..., Asker]


@pytest.fixture
def login(engine: sa.Engine) -> Login:
    """Makes an actor from an id and roles; without an id nobody in particular."""
    app = make_app(engine)

    def make(id_: int | str | None = None, *roles: str) -> Asker:
        return Asker(app.test_client(), None if id_ is None else token(id_, *roles))

    return make
