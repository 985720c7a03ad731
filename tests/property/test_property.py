"""Random requests about random rows: every database answers as the oracle does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy.engine import Engine

from carboy import Carboy
from tests.conftest import empty_postgresql_database
from tests.statements import StatementCounter

from .asks import Ask, url
from .data import load, make_data
from .models import FAMILIES, Family
from .oracle import Answer, Oracle, same
from .strategies import asks, is_unordered

EXAMPLES = int(os.environ.get("CARBOY_PROPERTY_EXAMPLES", "2400"))
PER_DATA_SET = 100
ON_DEMAND = "CARBOY_PROPERTY_EXAMPLES" in os.environ
SEEDS = range(max(1, EXAMPLES // PER_DATA_SET // len(FAMILIES)))


class Server:
    """One family's API on one database."""

    def __init__(self, family: Family, database_url: str) -> None:
        self.engine: Engine = sa.create_engine(database_url)
        self.counter = StatementCounter(self.engine)
        family.base.metadata.create_all(self.engine)
        app = flask.Flask("property")
        app.config["CARBOY_MAX_URL_LENGTH"] = 100_000
        app.config["CARBOY_MAX_FILTERS"] = 1000
        api = Carboy(app, self.engine)
        for name, model in family.classes.items():
            api.resource(model, name=name)
        self.client = app.test_client()

    def get(self, target: str, headers: dict[str, str]) -> tuple[int, Any]:
        """Status and JSON; the answer must have taken one statement."""
        before = self.counter.count()
        response = self.client.get(target, headers=headers)
        statements = self.counter.count() - before
        assert response.status_code >= 400 or statements == 1, f"{statements} statements: {target}"
        return response.status_code, json.loads(response.data)


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    """A schema."""
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def servers(
    family: Family, postgresql_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Server]]:
    """The same API on each database."""
    file = tmp_path_factory.mktemp("property") / "test.sqlite"
    with empty_postgresql_database(postgresql_url) as url_:
        made = {"sqlite": Server(family, f"sqlite:///{file}"), "postgresql": Server(family, url_)}
        yield made
        for server in made.values():
            server.engine.dispose()
            server.counter.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_database_answers_as_the_oracle(
    family: Family, servers: dict[str, Server], seed: int
) -> None:
    """One data set and a hundred requests: the same rows, order and numbers everywhere."""
    data = make_data(family, seed)
    for server in servers.values():
        load(server.engine, family, data)
    oracle = Oracle(family, data)

    @settings(
        max_examples=PER_DATA_SET,
        deadline=None,
        database=None,
        derandomize=not ON_DEMAND,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(asks(family, data))
    def check(ask: Ask) -> None:
        check_one(ask, family, oracle, servers)

    check()


def check_one(ask: Ask, family: Family, oracle: Oracle, servers: dict[str, Server]) -> None:
    """Ask every database and the oracle."""
    expected = oracle.answer(ask)
    headers = {"Prefer": "count=exact"} if ask.count else {}
    for name, server in servers.items():
        status, body = server.get(url(ask), headers)
        described = f"{name}: GET {url(ask)}\n{ask}\n{status} {body}\nexpected {expected}"
        unordered = is_unordered(ask.level, family.tables[ask.table])
        assert agrees(ask, expected, status, body, unordered=unordered), described


def agrees(ask: Ask, expected: Answer, status: int, body: Any, *, unordered: bool) -> bool:
    """Whether an answer is the expected one."""
    if ask.key is not None:
        if expected.rows is None:
            return status == 404
        return status == 200 and same(expected.rows, body)
    if status != 200:
        return False
    rows, wanted = body["data"], expected.rows
    if unordered:
        rows, wanted = sorted(rows, key=repr), sorted(wanted, key=repr)
    facts: dict[str, Any] = {}
    if ask.per_page:
        pages = -(-expected.total // ask.per_page)
        facts = {"page": ask.page, "per_page": ask.per_page, "pages": pages}
    if ask.per_page or ask.count:
        facts["total"] = expected.total
    stated = {name: body[name] for name in body if name not in ("data", "next")}
    return same(wanted, rows) and stated == facts and (body["next"] is not None) == expected.more
