"""Two databases that differ only in what an actor may not read answer that actor the same."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from carboy.extension import api_of
from tests.conftest import KINDS, empty_database

from .asking import Ask, Asker
from .two_worlds import ACTORS, SIZES, Key, Maker, Row, Who, World, another, load, make_app
from .world import ANN, BOB, Base, token

EXAMPLES = int(os.environ.get("WORLDS_EXAMPLES", "1500"))
PER_ACTOR = 125
ROUNDS = max(1, round(EXAMPLES / 2 / PER_ACTOR / len(ACTORS)))
FEATURES = (
    "item", "q", "page", "limit", "offset", "count=exact", "count=planned", "count=estimated",
    "embed 1", "embed 2", "embed 3", "inner", "spread", "embed filter", "embed order",
    "embed limit", "embed aggregate", "is.null on an embed", "aggregate", "group",
    "group by relation", "order by relation", "logic", "json path", "hidden field",
    "unknown field", "readable key", "unreadable key", "missing key", "op eq", "op neq", "op gt",
    "op gte", "op lt", "op lte", "op isdistinct", "op in", "op is", "op like", "op ilike",
    "op fts", "op plfts", "op phfts", "op wfts", "op cs", "op cd", "op ov", "op eq(any)",
    "op like(any)", "op ilike(all)", "ETag", "cursor", "POST", "PATCH", "PUT", "DELETE", "upsert",
    "bulk", "on_conflict", "nested", "link", "foreign key", "If-Match", "PATCH by filter",
    "DELETE by filter", "wrong value", "export",
)  # fmt: skip
"""Each of these has to be asked."""
LEAST = {
    "read with rows": 200, "hit": 25,
    "read 404": 15, "read 403": 15, "read 304": 15, "POST 201": 10,
    "PATCH 200": 7, "PATCH 404": 10, "DELETE 204": 3, "PUT 200": 1,
}  # fmt: skip
"""How many of a thousand requests are answered so."""
CACHED = 2
"""Which of a side's applications keeps its answers."""
Answer = tuple[int, list[tuple[str, str]], bytes]


class Side:
    """One world's database, asked in front of Flask's dispatch, through it, and with a cache."""

    def __init__(self, url: str, folder: Path) -> None:
        self.engine = sa.create_engine(url)
        Base.metadata.create_all(self.engine)
        if self.engine.dialect.name == "postgresql":
            with self.engine.begin() as connection:
                # When it runs, statistics change, and estimates with them.
                for table in SIZES:
                    connection.execute(
                        sa.text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
                    )
        apps = [
            make_app(self.engine, CARBOY_DIRECT_READS=1),
            make_app(self.engine, CARBOY_DIRECT_READS=0),
            make_app(self.engine, cache=600, CARBOY_CACHE_FOLDER=str(folder)),
        ]
        self.clients: list[FlaskClient] = [app.test_client() for app in apps]
        with apps[0].app_context():
            self.schema = api_of(apps[0]).schema

    def answer(self, ask: Ask, credential: str | None, client: int) -> Answer:
        """All that is answered."""
        headers = {**ask.headers, "X-Request-ID": "same"}
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        where: dict[str, Any] = {"path": f"/api/{ask.path}?{ask.query}", "method": ask.method}
        if client == CACHED and ask.method == "GET":
            self.clients[client].open(**where, headers=headers)  # the next is kept
        response: TestResponse = self.clients[client].open(**where, headers=headers, json=ask.body)
        return response.status_code, list(response.headers), response.data


class Pair:
    """Two worlds on one kind of database."""

    def __init__(self, sides: list[Side]) -> None:
        self.sides = sides
        self.counts: Counter[str] = Counter()
        self.requests = 0
        self.credential: str | None = None

    def fill(self, worlds: list[World], who: Who) -> None:
        """Load the worlds, and be an actor."""
        for side, world in zip(self.sides, worlds, strict=True):
            load(side.engine, world)
        self.credential = None if who.id is None else token(who.id, *who.roles)

    def same(self, ask: Ask, client: int) -> Answer:
        """What both answer, which has to be the same, and no 500."""
        first, second = (side.answer(ask, self.credential, client) for side in self.sides)
        self.requests += 1
        assert first[0] < 500, f"{ask}\n{first}"
        assert first == second, f"{ask}\n{first}\n{second}"
        self.counts.update(ask.features)
        self.counts[f"{'read' if ask.method in ('GET', 'HEAD') else ask.method} {first[0]}"] += 1
        if ask.method == "GET" and first[0] == 200 and "Accept" not in ask.headers:
            body = json.loads(first[2])
            self.counts["read with rows"] += bool(body.get("data", True))
            self.counts["hit"] += dict(first[1]).get("X-Cache") == "hit"
        return first


# MariaDB has the matrix in each run, and this one on demand.
ASKED = KINDS if "WORLDS_EXAMPLES" in os.environ else ("sqlite", "postgresql")


@pytest.fixture(params=ASKED)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Two empty databases of a kind."""
    with ExitStack() as stack:
        files = [tmp_path / name for name in ("one", "other")]
        new = [empty_database(request, request.param, file) for file in files]
        sides = [Side(stack.enter_context(url), tmp_path) for url in new]
        yield Pair(sides)
        for side in sides:
            side.engine.dispose()


def test_two_worlds_answer_the_same(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """Status, headers and bytes, whatever is asked; and what is asked is of every kind."""
    for seed in range(ROUNDS):
        for who in ACTORS:
            rng = Random(f"{seed} {who}")
            world = Maker(rng).fill()
            worlds = [world, another(world, who, rng)]
            assert worlds[0] != worlds[1]
            pair.fill(worlds, who)
            asker = Asker(rng, pair.sides[0].schema, worlds, who)
            for _ in range(PER_ACTOR):
                _ask(pair, asker.ask(), rng)
    _require_teeth(pair, capsys)


def _ask(pair: Pair, ask: Ask, rng: Random) -> None:
    """Ask, and go on with what the answer gives: an ETag, a cursor."""
    client = rng.choice((0, 0, 1, 1, CACHED))
    status, headers, body = pair.same(ask, client)
    if ask.method != "GET" or status != 200 or "Accept" in ask.headers:
        return
    etag = dict(headers)["ETag"]
    if rng.random() < 0.1:
        again = {**ask.headers, "If-None-Match": etag}
        assert pair.same(replace(ask, headers=again, features=("ETag",)), client)[0] == 304
    if "data" in (found := json.loads(body)) and found["next"] and rng.random() < 0.5:
        rest = "&".join(p for p in ask.query.split("&") if not p.startswith(("page=", "per_page=",
                        "offset=")))  # fmt: skip
        query = f"{rest}&after={found['next']}"
        pair.same(replace(ask, query=query, features=("cursor",)), client)


def _require_teeth(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """Much is answered, and every kind of question is asked."""
    share = pair.requests / 1000
    with capsys.disabled():
        print(f"\n{pair.requests} requests: {dict(sorted(pair.counts.items()))}")  # noqa: T201
    assert [name for name in FEATURES if not pair.counts[name]] == []
    wanting = {n: pair.counts[n] for n, least in LEAST.items() if pair.counts[n] < least * share}
    assert not wanting, f"{wanting} of {pair.requests}"


def test_what_is_told_all_the_same(pair: Pair) -> None:
    """The exceptions: a value that is taken, and a row that is still pointed at."""
    who = Who(ANN, ("writer",))
    teams: dict[Key, Row] = {(n,): {"id": n, "name": f"team {n}"} for n in (1, 2)}
    names = {ANN: "ann", BOB: "bob"}
    users: dict[Key, Row] = {
        (n,): {"id": n, "name": name, "email": name, "password_hash": "", "team_id": n}
        for n, name in names.items()
    }
    draft = {"id": 1, "title": "x", "slug": "taken", "published": False, "author_id": BOB}
    one: World = {"teams": teams, "users": {(ANN,): users[ANN,]}}
    other: World = {"teams": teams, "users": users, "posts": {(1,): draft}}
    pair.fill([one, other], who)
    back = {"Prefer": "tx=rollback, return=minimal"}
    taken = Ask("POST", "posts", headers=back, body={"title": "x", "slug": "taken"})
    free = Ask("POST", "posts", headers=back, body={"title": "x", "slug": "free"})
    pointed_at = Ask("DELETE", "teams/2", headers=back)
    for ask, expected in ((taken, [201, 409]), (pointed_at, [204, 409]), (free, [201, 201])):
        answers = [side.answer(ask, pair.credential, 0) for side in pair.sides]
        assert [status for status, _, _ in answers] == expected, answers
