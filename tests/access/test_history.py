"""A row's history shows its reader what the row itself would, and says who wrote."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from carboy import OPEN, Actor, Carboy, Policy
from carboy.ops.api_keys import create_key

from .world import ANN, BOB, EVE, POLICIES, SECRET, Asker, Audit, Base, Post, PostTag, Tag, token

KEEPING = (Post, Audit)
"""The classes whose rows have a history here."""


def logged_in() -> Actor | None:
    """The application's login: a cookie that names a user."""
    name = flask.request.cookies.get("user")
    return Actor(int(name)) if name else None


class World:
    """An application over the world's rows that keeps histories, and its actors."""

    def __init__(
        self, engine: sa.Engine, policies: Mapping[type[Base], Policy], **config: Any
    ) -> None:
        self.app = flask.Flask("histories")
        self.app.config |= {"SECRET_KEY": SECRET, "CARBOY_JWT_SECRET": SECRET, **config}
        self.api = Carboy(self.app, engine, actor=logged_in)
        for model, policy in {**POLICIES, **policies}.items():
            self.api.resource(model, policy=policy, history=model in KEEPING)
        with self.app.app_context():
            assert self.api.schema.exposed()

    def __call__(self, id_: int | None = None, *roles: str) -> Asker:
        """Somebody with a token; without an id nobody in particular."""
        return self.holder(None if id_ is None else token(id_, *roles))

    def holder(self, credential: str | None) -> Asker:
        """Whoever holds a credential."""
        return Asker(self.app.test_client(), credential)

    @property
    def editor(self) -> Asker:
        """An actor who may read all posts, and all of them."""
        return self(EVE, "editor", "writer")


@pytest.fixture
def world(engine: sa.Engine) -> World:
    """The world with the policies that it has."""
    return World(engine, {})


def done(response: TestResponse) -> Any:
    """What a write answers, which has to be a success."""
    assert response.status_code in (200, 201, 204), response.text
    return response.get_json(silent=True)


def write(who: Asker, method: str, path: str, json: Any = None) -> Any:
    """A write that succeeds."""
    return done(who.ask(method, path, json))


def seen(who: Asker, path: str) -> list[Any] | None:
    """The changes that somebody sees, newest first; None where the row isn't there for them."""
    response = who.get(f"{path}/history")
    if response.status_code == 404:
        missing = who.get(path.replace(path.split("/")[1], "99") + "/history")
        assert missing.text.replace("99", path.split("/")[1]) == response.text
        return None
    assert response.status_code == 200, response.text
    return [entry["changes"] for entry in response.get_json()["data"]]


def actors(who: Asker, path: str) -> list[str | None]:
    """Who wrote a row, newest first."""
    return [entry["actor"] for entry in who.rows(f"{path}/history")]


# Which rows


def test_a_history_is_for_whoever_may_read_the_row(world: World) -> None:
    """A draft's author and editors; for all others it is a row that isn't there."""
    write(world(ANN), "PATCH", "posts/2", {"title": "better"})
    renamed = [{"title": ["Ann draft", "better"]}]
    assert seen(world(ANN), "posts/2") == renamed
    assert seen(world.editor, "posts/2") == renamed
    for other in (world(), world(BOB), world(99)):
        assert seen(other, "posts/2") is None


def test_a_history_goes_by_the_row_as_it_is(world: World) -> None:
    """What is published shows how it came about; what was taken back shows nothing any more."""
    write(world(ANN), "PATCH", "posts/2", {"title": "better"})
    write(world.editor, "PATCH", "posts/2", {"published": True})
    public = [{"published": [False, True]}, {"title": ["Ann draft", "better"]}]
    assert seen(world(), "posts/2") == public
    assert seen(world(BOB), "posts/2") == public
    write(world.editor, "PATCH", "posts/2", {"published": False})
    assert seen(world(), "posts/2") is None
    assert seen(world(BOB), "posts/2") is None
    assert seen(world(ANN), "posts/2") == [{"published": [True, False]}, *public]


def test_where_nothing_may_be_read_there_is_no_history(world: World) -> None:
    """Without credentials a 401, with them a 403, for rows that are there and that aren't."""
    write(world(), "POST", "audits", {"text": "seen"})
    for key in (1, 99):
        path = f"audits/{key}/history"
        assert world().get(path).status_code == 401
        assert world().get(path).headers["WWW-Authenticate"] == "Bearer"
        assert world(ANN).get(path).status_code == 403
    assert world(ANN, "admin").get("audits/1/history").status_code == 200


def test_a_deleted_rows_history_is_for_who_may_read_all_rows(world: World) -> None:
    """Not even its author sees it, as it can't be told any more whose the row was."""
    write(world(EVE), "PATCH", "posts/6", {"title": "late"})
    write(world.editor, "DELETE", "posts/6")
    for other in (world(), world(EVE), world(BOB)):
        assert seen(other, "posts/6") is None
    found = seen(world.editor, "posts/6")
    assert found is not None
    assert [changes["title"] for changes in found] == [["late", None], ["Eve draft", "late"]]


def test_a_key_given_to_another_row_shows_nothing_from_before(
    world: World, engine: sa.Engine
) -> None:
    """To who may not read all rows; and what the new row went through is all there."""
    write(world(EVE), "PATCH", "posts/6", {"title": "secret plan"})
    write(world.editor, "DELETE", "posts/6")
    with engine.begin() as connection:
        row = {"id": 6, "title": "new", "published": True, "author_id": ANN}
        connection.execute(sa.insert(Post).values(row))
    assert seen(world(), "posts/6") == []
    write(world(ANN), "PATCH", "posts/6", {"title": "newer"})
    for reader in (world(), world(ANN), world(EVE)):
        assert seen(reader, "posts/6") == [{"title": ["new", "newer"]}]
    assert len(seen(world.editor, "posts/6") or ()) == 3


# What of them


def test_fields_that_are_kept_from_a_reader_are_in_no_version(world: World) -> None:
    """Not when the row was made, not when it was changed, not when there was nothing else."""
    made = write(world(ANN), "POST", "posts", {"title": "t", "note": "hush-1"})
    path = f"posts/{made['id']}"
    write(world(ANN), "PATCH", path, {"note": "hush-2"})
    write(world.editor, "PATCH", path, {"title": "u", "note": "hush-3", "reviewer_id": EVE})
    own = world(ANN).get(f"{path}/history")
    assert "hush" not in own.text
    assert "note" not in own.text
    assert "reviewer" not in own.text
    changed, created = (entry["changes"] for entry in own.get_json()["data"])
    assert changed == {"title": ["t", "u"]}
    assert created["title"] == [None, "t"]
    notes = [changes["note"] for changes in seen(world.editor, path) or ()]
    assert notes == [["hush-2", "hush-3"], ["hush-1", "hush-2"], [None, "hush-1"]]
    write(world.editor, "PATCH", path, {"published": True})
    assert "note" not in world().get(f"{path}/history").text


TAGS = {"tags": {"added": ["2"], "removed": ["1"]}}


@pytest.mark.parametrize(
    ("policies", "shown"),
    [
        ({}, []),
        ({Tag: OPEN}, []),
        ({PostTag: OPEN}, []),
        ({Tag: Policy(read=False), PostTag: OPEN}, []),
        ({Tag: OPEN, PostTag: Policy(read=False)}, []),
        ({Tag: OPEN, PostTag: OPEN}, [TAGS]),
    ],
    ids=["some of both", "some links", "some tags", "no tags", "no links", "all"],
)
def test_links_are_told_where_both_their_ends_may_be_read(
    engine: sa.Engine, policies: Mapping[type[Base], Policy], shown: list[Any]
) -> None:
    """All tags and all links, or none: an entry holds keys of rows that can't be read."""
    editor = World(engine, {PostTag: OPEN}).editor
    write(editor, "PATCH", "posts/3", {"tags": [{"id": 2}]})
    assert seen(editor, "posts/3") == [TAGS]
    assert seen(World(engine, policies)(ANN), "posts/3") == shown


def test_links_to_what_is_not_exposed_are_not_told(engine: sa.Engine) -> None:
    """Its policy would be anybody's guess."""
    write(World(engine, {PostTag: OPEN}).editor, "PATCH", "posts/3", {"tags": [{"id": 2}]})
    app = flask.Flask("posts only")
    Carboy(app, engine, policy=OPEN).resource(Post, history=True)
    assert seen(Asker(app.test_client(), None), "posts/3") == []


# Who wrote


def test_an_entry_names_who_wrote_however_they_proved_it(world: World, engine: sa.Engine) -> None:
    """An API key's id, a token's, the login's; nobody for who proved nothing."""
    key = create_key(engine, "importer", ["editor", "writer"])
    write(world.holder(key), "PATCH", "posts/1", {"views": 1})
    write(world(ANN), "PATCH", "posts/1", {"views": 2})
    browser = world.app.test_client()
    browser.set_cookie("user", str(ANN))
    origin = {"Origin": "http://localhost"}
    done(browser.patch("/api/posts/1", json={"views": 3}, headers=origin))
    assert actors(world(), "posts/1") == ["1", "1", "importer"]
    write(world(), "POST", "audits", {"text": "new"})
    (made,) = world(ANN, "admin").rows("audits?text=eq.new")
    assert actors(world(ANN, "admin"), f"audits/{made['id']}") == [None]


def test_all_rows_of_a_write_name_who_wrote(world: World) -> None:
    """Of an array, of what a filter matches, of an upsert, and of a delete."""
    made = write(world(BOB), "POST", "posts", [{"title": "a"}, {"title": "b"}])["data"]
    write(world(BOB), "PATCH", "posts?author_id=eq.2", {"views": 9})
    for row in made:
        assert actors(world(BOB), f"posts/{row['id']}") == ["2", "2"]
    assert actors(world(BOB), "posts/3") == ["2"]
    assert actors(world(BOB), "posts/4") == ["2"]
    write(world(ANN), "POST", "posts?on_conflict=slug", [{"slug": "ann-1", "title": "up"}])
    assert actors(world(), "posts/1") == ["1"]
    write(world.editor, "DELETE", "posts?author_id=eq.2&title=in.(a,b)")
    assert actors(world.editor, f"posts/{made[0]['id']}") == ["3", "2", "2"]


def test_a_refused_write_leaves_no_entry(world: World) -> None:
    """Neither one that the policy refuses before, nor one that it refuses after the flush."""
    assert world(BOB).ask("PATCH", "posts/1", {"title": "mine"}).status_code == 403
    assert world(ANN).ask("PATCH", "posts/1", {"author_id": BOB}).status_code == 403
    assert seen(world.editor, "posts/1") == []


# The answer


def test_both_ways_of_a_request_answer_the_same(engine: sa.Engine) -> None:
    """In front of Flask's dispatch and behind it, for every actor, with every header."""
    ways = [World(engine, {}, CARBOY_DIRECT_READS=number) for number in (1, 0)]
    write(ways[0](ANN), "PATCH", "posts/2", {"title": "better", "note": "hush"})
    paths = [f"{key}/history" for key in ("posts/2", "posts/99", "audits/1", "tags/1")]
    for id_, roles in ((None, ()), (ANN, ()), (BOB, ()), (EVE, ("editor",))):
        for method, path in product(("GET", "HEAD", "OPTIONS"), paths):
            direct, dispatched = (way(id_, *roles).ask(method, path) for way in ways)
            assert direct.status_code == dispatched.status_code
            assert direct.data == dispatched.data
            assert _without_id(direct) == _without_id(dispatched)


def _without_id(answer: TestResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "X-Request-ID"}


def test_a_history_is_cached_as_its_row_is(world: World) -> None:
    """Nobody's answer is kept for somebody else."""
    for who in (world(), world(ANN)):
        row, history = who.get("posts/1"), who.get("posts/1/history")
        for name in ("Cache-Control", "Vary"):
            assert history.headers[name] == row.headers[name]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PURGE"])
def test_a_history_can_only_be_read(world: World, method: str) -> None:
    """Not by an editor either."""
    response = world.editor.ask(method, "posts/1/history", {})
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
