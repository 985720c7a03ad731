"""A read is one statement, counted where it reaches the driver, whatever it asks for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.conftest import KINDS, empty_database
from tests.property.data import load, make_data
from tests.property.models import FAMILIES
from tests.property.server import Server

LEAGUE = FAMILIES["league"]
DATA = make_data(LEAGUE, 5)

READS = (
    "/api/teams",
    "/api/teams?select=id,name&order=name.desc&limit=3&offset=2",
    "/api/teams?page=2&per_page=3",
    "/api/teams?select=count(),rank&page=1&per_page=2",
    "/api/teams?select=id,players(id)",
    "/api/teams?select=*,players!inner(*,captain(name))&players.limit=2",
    "/api/players?select=*,team(*),captain(*),followers(*),passport(*),skills(*),goals(*)",
    "/api/players?select=*,team(home_matches(away(players(name))))&page=1&per_page=5",
    "/api/players?select=*,skills(label,players(name,team(name,players(count()))))",
    "/api/players?select=name,...team(team:name),...skills(labels:label)&order=team(name),id",
    "/api/players?or=(team_id.is.null,and(active.is.true,role.in.(keeper,back)))",
    "/api/players?select=team(name),n:count(),salary.avg()&order=n.desc",
    f"/api/teams/{DATA['teams'][0]['id']}?select=*,players(*,skills(*))",
    "/api/teams/77",
)


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """The league on each database."""
    file = tmp_path_factory.mktemp("one") / "test.sqlite"
    with empty_database(request, request.param, file) as url:
        served = Server(LEAGUE, url)
        load(served.engine, LEAGUE, DATA)
        yield served
        served.close()


@pytest.mark.parametrize("count", [None, "count=exact"])
@pytest.mark.parametrize("target", READS)
def test_a_read_is_one_statement(server: Server, target: str, count: str | None) -> None:
    """Depth, pages, counts and aggregates don't add to it, and no BEGIN or COMMIT does."""
    headers = {"Prefer": count} if count else {}
    server.client.get("/api/teams?limit=1")  # a new connection is made ready once
    before = server.counter.count()
    response = server.client.get(target, headers=headers)
    assert response.status_code in (200, 404), response.text
    assert server.counter.count() - before == 1


def test_the_next_page_is_one_statement(server: Server) -> None:
    """A cursor takes no look at the page before."""
    cursor = server.client.get("/api/players?limit=1").get_json()["next"]
    before = server.counter.count()
    assert server.client.get(f"/api/players?limit=1&after={cursor}").status_code == 200
    assert server.counter.count() - before == 1


def test_the_counter_counts(server: Server) -> None:
    """What counts must be able to count to more than one."""
    with server.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        before = server.counter.count()
        connection.execute(sa.text("SELECT 1"))
        connection.execute(sa.text("SELECT 2"))
        assert server.counter.count() - before == 2
