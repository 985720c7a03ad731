"""The smaller doors, each with the policy that it takes to see whether it is closed."""

from __future__ import annotations

from typing import Any

import flask
import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from carboy import OPEN, Carboy, Policy, role, signed_in

from .conftest import Login
from .world import (
    ANN,
    BOB,
    EVE,
    SECRET,
    Asker,
    Audit,
    Comment,
    Post,
    PostTag,
    Tag,
    Team,
    User,
    token,
)

MODELS = (Team, User, Post, Comment, Tag, PostTag, Audit)


class Things(DeclarativeBase):
    """Models of these tests' own."""


class Person(Things):
    """Has one card."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    card: Mapped[Card | None] = relationship(back_populates="person")


class Card(Things):
    """May be secret."""

    __tablename__ = "cards"

    id: Mapped[int] = mapped_column(primary_key=True)
    secret: Mapped[bool]
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    person: Mapped[Person | None] = relationship(back_populates="card")


def open_but(engine: sa.Engine, policies: dict[type[Any], Policy], **options: Any) -> flask.Flask:
    """An application that is open, but for these policies; ``options`` are for posts."""
    app = flask.Flask("doors")
    app.config |= {"SECRET_KEY": SECRET, "CARBOY_JWT_SECRET": SECRET}
    api = Carboy(app, engine, policy=OPEN)
    for model in MODELS:
        more = options if model is Post else {}
        api.resource(model, policy=policies.get(model), **more)
    app.extensions["test"] = api
    return app


def asker(app: flask.Flask, id_: int | None = ANN, *roles: str) -> Asker:
    """An actor."""
    return Asker(app.test_client(), None if id_ is None else token(id_, *roles))


def every(**rules: Any) -> Policy:
    """Open, but for some rules."""
    return Policy(**{"read": True, "create": True, "update": True, "delete": True, **rules})


def test_a_near_name_is_none_that_may_not_be_read(login: Login) -> None:
    """A misspelt name is no way to learn of a field."""
    assert "did you mean" not in login(ANN).get("posts?select=notes").text
    assert "'note'" in login(EVE, "editor").get("posts?select=notes").text.replace(
        "note?", "'note'"
    )


def test_actors_share_plans_only_where_they_may_read_alike(engine: sa.Engine) -> None:
    """Whoever asks first, and however often: fields and relations are each one's own."""
    app = open_but(engine, {Post: every(fields={"note": role("editor")}),
                            Audit: every(read=role("editor"))})  # fmt: skip
    for _ in range(2):
        for path in ("posts", "users?select=id,posts(*)", "posts?order=id"):
            assert "note" in asker(app, EVE, "editor").get(path).text
            assert "note" not in asker(app).get(path).text
    assert asker(app, EVE, "editor").get("users?select=audits(id)").status_code == 200
    assert asker(app).get("users?select=audits(id)").status_code == 400


def test_a_kept_plan_is_found_by_every_policy_in_it(engine: sa.Engine) -> None:
    """Two who differ in one resource of several."""
    app = open_but(engine, {Comment: every(read=lambda who: who.id == str(EVE))})
    search = "posts?select=id,comments!inner(id)"
    assert asker(app, EVE).get(search).status_code == 200
    assert asker(app).get(search).status_code == 400
    assert asker(app, EVE).get(search).status_code == 200


def test_a_resources_own_order_leaves_out_what_may_not_be_read(engine: sa.Engine) -> None:
    """Fields, and fields of relations."""
    policies = {Post: every(fields={"note": role("editor")}),
                User: every(fields={"email": role("editor")})}  # fmt: skip
    app = open_but(engine, policies, order="note.nullslast,author(email),id.desc")
    assert [row["id"] for row in asker(app).rows("posts")] == [6, 5, 4, 3, 2, 1]
    assert [row["id"] for row in asker(app, EVE, "editor").rows("posts")] == [3, 2, 1, 4, 6, 5]


def test_nobodys_id_compared_by_is_is_no_null(engine: sa.Engine) -> None:
    """IS NULL would be true of rows; the rule is refused, and nothing shown."""
    rule = every(read=lambda who: Comment.author_id.is_(who.id))
    app = open_but(engine, {Comment: rule})
    with engine.begin() as connection:
        connection.execute(sa.update(Comment).values(author_id=None))
    answer = asker(app, None).get("comments")
    assert (answer.status_code, "nice" in answer.text) == (500, False)


def test_a_view_of_ones_own_shows_what_may_be_read(engine: sa.Engine) -> None:
    """Its rows and those nested in them, unless it says otherwise."""
    app = open_but(
        engine,
        {
            Post: every(read=lambda who: Post.author_id == who.id),
            Comment: every(read=lambda who: Comment.author_id == who.id),
        },
    )
    api = app.extensions["test"]
    app.add_url_rule("/mine", "mine", lambda: api.read(sa.select(Post), "id,comments(id)"))
    app.add_url_rule(
        "/all", "all", lambda: api.read(sa.select(Post), "id,comments(id)", policy=False)
    )
    client, headers = app.test_client(), {"Authorization": f"Bearer {token(ANN)}"}
    mine = client.get("/mine", headers=headers).get_json()
    assert mine == [{"id": 1, "comments": []}, {"id": 2, "comments": []}]
    assert len(client.get("/all", headers=headers).get_json()) == 6


def test_signed_in_is_nobody(engine: sa.Engine) -> None:
    """A rule that only asks for a credential lets nobody in without one."""
    app = open_but(engine, {PostTag: every(create=signed_in)})
    link = {"tags": [{"id": 1}]}
    assert asker(app, None).ask("PATCH", "posts/2", link).status_code == 401
    assert asker(app).ask("PATCH", "posts/2", link).status_code == 200


def test_a_relation_is_written_by_whom_the_rule_says(engine: sa.Engine) -> None:
    """``write_fields`` names relations, too, which have no field."""
    app = open_but(engine, {Post: every(write_fields={"tags": role("editor")})})
    assert asker(app).ask("PATCH", "posts/2", {"tags": [{"id": 1}]}).status_code == 400
    assert asker(app, EVE, "editor").ask("PATCH", "posts/2", {"tags": []}).status_code == 200


def test_nothing_is_nested_in_what_may_not_be_read(engine: sa.Engine) -> None:
    """Its relation is unknown to a body as to a select."""
    app = open_but(engine, {Comment: every(read=role("editor"))})
    nested = {"comments": [{"text": "x"}]}
    refused = asker(app).ask("PATCH", "posts/2", nested)
    assert (refused.status_code, refused.get_json()["errors"][0]["code"]) == (400, "unknown-field")
    assert asker(app, EVE, "editor").ask("PATCH", "posts/2", nested).status_code == 200


def test_an_upsert_writes_what_may_be_written_in_both_ways(engine: sa.Engine) -> None:
    """In a new row and in one that is there; a field that is filled in at updates is neither."""
    app = open_but(engine, {Post: every(set_on_update={"views": lambda who: 7})})
    row = {"id": 1, "title": "x", "author_id": ANN, "views": 1}
    merge = {"Prefer": "resolution=merge-duplicates"}
    assert asker(app).ask("POST", "posts", row, **merge).status_code == 400


def test_a_field_that_the_policy_fills_in_at_an_update(engine: sa.Engine) -> None:
    """Whatever is changed, and by whichever method."""
    app = open_but(engine, {Post: every(set_on_update={"reviewer_id": lambda who: who.id})})
    changed = asker(app, BOB).ask("PATCH", "posts/1", {"title": "x"})
    assert changed.get_json()["reviewer_id"] == BOB
    assert asker(app, BOB).ask("PATCH", "posts/1", {"reviewer_id": 1}).status_code == 400


def test_an_unreadable_name_in_a_body_is_an_unknown_one(engine: sa.Engine) -> None:
    """Where it may neither be read nor written."""
    hidden = every(fields={"note": False}, write_fields={"note": False})
    ask = asker(open_but(engine, {Post: hidden})).ask
    refused, unknown = (ask("PATCH", "posts/1", {name: "x"}) for name in ("note", "nope"))
    assert refused.status_code == 400
    assert refused.text == unknown.text.replace("nope", "note")


def test_an_array_answers_only_rows_that_may_be_read(engine: sa.Engine) -> None:
    """One may write more than one sees."""
    app = open_but(engine, {Comment: every(read=lambda who: sa.not_(Comment.hidden))})
    rows = [{"text": "a", "post_id": 1}, {"text": "b", "post_id": 1, "hidden": True}]
    made = asker(app).ask("POST", "comments?select=text", rows)
    assert made.get_json()["data"] == [{"text": "a"}]
    one = asker(app).ask("POST", "comments?select=text", rows[1])
    assert (one.status_code, one.text) == (201, "")


def test_leaving_out_rows_takes_a_foreign_key_that_may_be_written(engine: sa.Engine) -> None:
    """A reply that a list leaves out has no parent any more."""
    app = open_but(engine, {Post: every(write_fields={"parent_id": role("editor")})})
    assert asker(app).ask("PATCH", "posts/3", {"replies": []}).status_code == 400
    assert asker(app, EVE, "editor").ask("PATCH", "posts/3", {"replies": []}).status_code == 200


def test_a_single_unreadable_row_is_not_replaced(engine: sa.Engine) -> None:
    """Where there is room for one, it stays, and nothing takes its place."""
    Things.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Person), [{"id": 1}, {"id": 2}])
        rows = [{"id": n, "secret": n == 1, "person_id": n} for n in (1, 2)]
        connection.execute(sa.insert(Card), rows)
    app = flask.Flask("cards")
    app.config["CARBOY_JWT_SECRET"] = SECRET
    api = Carboy(app, engine, policy=OPEN)
    api.resource(Person)
    api.resource(Card, policy=every(read=lambda _: sa.not_(Card.secret)))
    assert asker(app).ask("PATCH", "people/1", {"card": None}).status_code == 403
    assert asker(app).ask("PATCH", "people/2", {"card": None}).status_code == 200


def test_a_create_rule_is_asked_of_the_row_as_it_became(engine: sa.Engine) -> None:
    """At the root, in a nested row, and in a new row of an upsert."""
    rule = every(create=lambda who: Comment.author_id == who.id)
    ask = asker(open_but(engine, {Comment: rule})).ask
    other, own = ({"text": "x", "author_id": id_} for id_ in (BOB, ANN))
    assert ask("POST", "comments", {**other, "post_id": 1}).status_code == 403
    assert ask("PATCH", "posts/2", {"comments": [other]}).status_code == 403
    merge = {"Prefer": "resolution=merge-duplicates"}
    upsert = ask("POST", "comments", {**other, "post_id": 1}, **merge)
    assert upsert.status_code == 403
    assert ask("PATCH", "posts/2", {"comments": [own]}).status_code == 200


def test_what_the_policy_fills_in_is_known(engine: sa.Engine) -> None:
    """Nobody's id can't be written, whatever else the policy lets them do."""
    app = open_but(engine, {Post: every(set_on_create={"author_id": lambda who: who.id})})
    assert asker(app, None).ask("POST", "posts", {"title": "x"}).status_code == 401
    # Before anything is said of the body.
    assert asker(app, None).ask("POST", "posts", {"nope": "x"}).status_code == 401
    assert asker(app).ask("POST", "posts", {"title": "x"}).status_code == 201


def test_a_conflict_is_told_without_a_field_that_nobody_may_know(engine: sa.Engine) -> None:
    """What the policy fills in may be taken, too."""
    closed = every(
        fields={"email": False},
        write_fields={"email": False},
        set_on_create={"email": lambda who: "bob@mail.test"},
    )
    user = {"name": "x", "team_id": 1}
    answer = asker(open_but(engine, {User: closed})).ask("POST", "users", user)
    assert (answer.status_code, "email" in answer.text) == (409, False)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_404_is_a_404_to_every_method(login: Login, method: str) -> None:
    """What may not be read may not be told from what isn't there."""
    missing = login(ANN).ask(method, "comments/99", {"text": "x"})
    hidden = login(ANN).ask(method, "comments/3", {"text": "x"})
    assert (missing.status_code, hidden.status_code) == (404, 404)
    assert hidden.text == missing.text.replace("99", "3")
