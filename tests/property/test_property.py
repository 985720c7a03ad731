"""Random requests about random rows: every database answers as the oracle does."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.conftest import empty_databases

from .asks import Ask, url
from .data import finite, load, make_data
from .models import FAMILIES, Family
from .oracle import Answer, Oracle, same
from .server import Server
from .strategies import asks, is_unordered

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "800"))
PER_DATA_SET = 100
ON_DEMAND = "PROPERTY_EXAMPLES" in os.environ
# JSON containment, which MariaDB's functions don't decide as PostgreSQL's do.
_LACKING = re.compile(r"[=.](cs|cd|ov)(\(|%28|\.)")
SEEDS = range(max(1, EXAMPLES // PER_DATA_SET // len(FAMILIES)))


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    """A schema."""
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def apis(
    family: Family, servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Server]]:
    """The same API on each database."""
    with empty_databases(servers, tmp_path_factory.mktemp("property")) as urls:
        made = {name: Server(family, url_) for name, url_ in urls.items()}
        yield made
        for server in made.values():
            server.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_database_answers_as_the_oracle(
    family: Family, apis: dict[str, Server], seed: int
) -> None:
    """One data set and a hundred requests: the same rows, order and numbers everywhere."""
    data = make_data(family, seed)
    oracles = {}
    for name, server in apis.items():
        stored = finite(data) if name == "mariadb" else data
        load(server.engine, family, stored)
        oracles[name] = Oracle(family, stored)

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
        check_one(ask, family, oracles, apis)

    check()


def check_one(
    ask: Ask, family: Family, oracles: dict[str, Oracle], apis: dict[str, Server]
) -> None:
    """Ask every database and its oracle."""
    headers = {"Prefer": "count=exact"} if ask.count else {}
    for name, server in apis.items():
        expected = oracles[name].answer(ask)
        status, body = server.get(url(ask), headers)
        if name == "mariadb" and _LACKING.search(url(ask)):
            assert status == 400, (url(ask), body)
            assert body["detail"].endswith("isn't available on MariaDB"), body
            continue
        if ask.follow and status == 200:
            follow(server, ask, body)
        described = f"{name}: GET {url(ask)}\n{ask}\n{status} {body}\nexpected {expected}"
        unordered = is_unordered(ask.level, family.tables[ask.table])
        assert agrees(ask, expected, status, body, unordered=unordered), described


def follow(server: Server, ask: Ask, body: Any) -> None:
    """Add the rows of all the pages that follow to the first page's."""
    while body["next"] is not None:
        status, page = server.get(f"{url(ask)}&after={body['next']}", {})
        assert status == 200, f"{url(ask)} after {body}: {page}"
        assert page["data"], f"{url(ask)}: an empty page after {body}"
        body["data"] += page["data"]
        body["next"] = page["next"]


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
