"""What reviewers are told of the world's rules is what its API does."""

from __future__ import annotations

from typing import Any

import flask
import pytest
import sqlalchemy as sa

from carboy import OPEN, Actor, Carboy, Policy, role
from carboy.access import ACTIONS, ANONYMOUS, Action
from carboy.extension import built_api
from carboy.ops.review import Answer, Line, Review, ReviewError, Verdict, can, review
from carboy.pipeline import Api

from .world import ANN, BOB, EVE, ROWS, Asker, Comment, Post, make_app, token

ACTORS = (ANONYMOUS, Actor("1"), Actor("2"), Actor("3", frozenset(("editor",))), Actor("9"))


@pytest.fixture
def app(engine: sa.Engine) -> flask.Flask:
    """The world."""
    return make_app(engine)


@pytest.fixture
def api(app: flask.Flask) -> Api:
    """What its requests share."""
    with app.app_context():
        return built_api(app)


def asker(app: flask.Flask, who: Actor) -> Asker:
    """An actor at a client."""
    credential = None if who.is_anonymous else token(who.id, *who.roles)
    return Asker(app.test_client(), credential)


@pytest.mark.parametrize("who", ACTORS, ids=lambda who: f"{who.id}{sorted(who.roles)}")
def test_can_agrees_with_requests(app: flask.Flask, api: Api, who: Actor) -> None:
    """For rows of two resources and each action on them, a dry run is let through as is said."""
    ask = asker(app, who).ask
    for model, body in ((Post, {"title": "x"}), (Comment, {"text": "x"})):
        name = model.__tablename__
        for row in ROWS[model]:
            path = f"{name}/{row['id']}"
            done = {
                "read": ask("GET", path),
                "update": ask("PATCH", path, body, Prefer="tx=rollback"),
                "delete": ask("DELETE", path, Prefer="tx=rollback"),
            }
            for action, response in done.items():
                answer = can(api, who, action, name, str(row["id"]))  # type: ignore[arg-type]
                # 409 is a constraint's answer, to what the policy has let through.
                assert answer.allowed is (response.status_code in (200, 204, 409)), answer


@pytest.mark.parametrize(
    ("who", "action", "name", "key", "expected"),
    [
        (ANONYMOUS, "read", "teams", None, (True, "read", "everybody", None, None)),
        (ANONYMOUS, "update", "teams", None, (False, "update", "role writer or admin", None, None)),
        (Actor(BOB), "delete", "audits", None, (False, "read", "role admin", None, None)),
        (
            Actor(str(BOB)), "read", "posts", "2",
            (
                False, "read", "visible_post",
                "posts.published OR posts.author_id = 2", "it doesn't fulfil the condition",
            ),
        ),
        (
            Actor(str(ANN)), "update", "posts", "2",
            (
                True, "update", "is_author", "posts.author_id = 1",
                "it fulfils the condition",
            ),
        ),
        (
            Actor(str(EVE)), "update", "posts", "1",
            (
                False, "update", "is_author", "posts.author_id = 3",
                "it doesn't fulfil the condition",
            ),
        ),
        (
            Actor(str(ANN)), "read", "posts", "99",
            (
                False, "read", "visible_post", "posts.published OR posts.author_id = 1",
                "there is no such row",
            ),
        ),
        (Actor(EVE), "read", "teams", "1", (True, "read", "everybody", None, "it is there")),
    ],
)  # fmt: skip
def test_an_answer_names_the_rule_and_its_condition(
    api: Api, who: Actor, action: Action, name: str, key: str | None, expected: tuple[Any, ...]
) -> None:
    """Which action's rule decided, the condition with the actor's values, and the row's part."""
    answer: Answer = can(api, who, action, name, key)
    rule = answer.rule.partition(" (")[0]
    # SQLite has no booleans of its own.
    condition = answer.condition and answer.condition.replace(" = 1 OR", " OR")
    assert (answer.allowed, answer.decided_by, rule, condition, answer.row) == expected


@pytest.mark.parametrize(
    ("action", "name", "key", "message"),
    [
        ("read", "post", None, "there is no resource 'post'; there is posts"),
        ("create", "posts", "1", "create takes no key"),
        ("read", "posts", "x", "has no row 'x'"),
        ("update", "posts", "1,2", "give as many values"),
        ("delete", "posts", ",", "empty part"),
    ],
)
def test_what_cant_be_asked_is_said(
    api: Api, action: Action, name: str, key: str | None, message: str
) -> None:
    """A fault in the question is none in the rules."""
    with pytest.raises(ReviewError, match=message):
        can(api, Actor("1", frozenset(("editor",))), action, name, key)


def line_of(found: Review, name: str, action: str, field: str | None = None) -> Line:
    """One line of a review."""
    resource = next(r for r in found.resources if r.name == name)
    return next(line for line in resource.lines if (line.action, line.field) == (action, field))


def test_the_table_has_every_resource_action_and_role(api: Api) -> None:
    """Roles are those that rules name and those that functions ask for, and those given."""
    found = review(api, ["robot"])
    roles = ("role admin", "role editor", "role robot", "role writer")
    assert found.actors == ("anonymous", "signed in", *roles)
    assert [r.name for r in found.resources] == sorted(r.name for r in api.schema.exposed())
    for resource in found.resources:
        assert tuple(line.action for line in resource.lines[:4]) == ACTIONS
        assert all(len(line.verdicts) == len(found.actors) for line in resource.lines)


def test_the_table_shows_conditions_and_fields(api: Api) -> None:
    """An id in a condition is ``:id``; fields have lines where something limits them."""
    found = review(api)
    read = line_of(found, "posts", "read").verdicts
    shown = [(v.allowed, v.condition and v.condition.replace(" = 1 OR", " OR")) for v in read]
    assert shown == [
        ("some rows", "posts.published OR posts.author_id = NULL"),
        ("some rows", "posts.published OR posts.author_id = :id"),
        ("yes", None),
        ("yes", None),
        ("some rows", "posts.published OR posts.author_id = :id"),
    ]
    signed_in = line_of(found, "users", "read").verdicts[1].condition
    assert signed_in == (
        "EXISTS (SELECT * FROM users AS users_1 "
        "WHERE users_1.id = :id AND users_1.team_id = users.team_id)"
    )
    email = line_of(found, "users", "read", "email")
    assert (email.rule, [v.allowed for v in email.verdicts]) == (
        "role admin", ["no", "no", "yes", "no", "no"],
    )  # fmt: skip
    assert line_of(found, "users", "read", "password_hash").rule == "hidden"
    assert line_of(found, "posts", "create", "author_id").rule == "set by the policy"
    assert line_of(found, "posts", "write", "reviewer_id").rule == "role editor"


def test_a_faulty_rule_is_told_and_the_table_goes_on(engine: sa.Engine) -> None:
    """In the table in its place; asked for alone, as the reason why nobody can tell."""
    app = flask.Flask("faulty")
    policy = Policy(
        read=lambda who: 1 / 0,  # type: ignore[arg-type,return-value]
        fields={"title": lambda who: who.nothing},  # type: ignore[attr-defined]
        update=role("boss"),
    )
    carboy = Carboy(app, engine)
    carboy.resource(Post, policy=policy)
    carboy.resource(Comment, policy=OPEN, read_only=True)
    with app.app_context():
        api = built_api(app)
    found = review(api)
    assert set(line_of(found, "posts", "read").verdicts) == {
        Verdict("fault", "ZeroDivisionError: division by zero")
    }
    assert line_of(found, "posts", "read", "title").verdicts[0].allowed == "fault"
    boss = found.actors.index("role boss")
    assert line_of(found, "posts", "update").verdicts[boss] == Verdict("yes")
    assert line_of(found, "comments", "create").rule == "the resource is read-only"
    assert line_of(found, "comments", "create").verdicts[0].allowed == "no"
    with pytest.raises(ReviewError, match="ZeroDivisionError"):
        can(api, ANONYMOUS, "read", "posts")
