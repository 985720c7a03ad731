"""What policies can be made of, and how a wrong one is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from carboy import OPEN, Actor, Carboy, Policy, PolicyError, SchemaError, role
from tests.databases import count_from

from .world import SECRET, Asker, token

ME = uuid.UUID("8f14e45f-ceea-467f-a0e6-000000000001")


class Base(DeclarativeBase):
    """The models of this module."""


class Doc(Base):
    """A key of two columns, the first of which is a tenant's."""

    __tablename__ = "docs"

    org: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    secret: Mapped[bool] = mapped_column(default=False)


class Ref(Base):
    """Points at a document."""

    __tablename__ = "refs"
    __table_args__ = (ForeignKeyConstraint(["org", "no"], ["docs.org", "docs.no"]),)

    id: Mapped[int] = mapped_column(primary_key=True)
    org: Mapped[int | None]
    no: Mapped[int | None]
    code: Mapped[str | None] = mapped_column(sa.String(20), unique=True)
    owner: Mapped[int | None]
    owner_name: Mapped[str | None] = mapped_column(sa.String(40))
    owner_uuid: Mapped[uuid.UUID | None]


class Animal(Base):
    """In one table with its subclass."""

    __tablename__ = "animals"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    team: Mapped[int]
    toys: Mapped[list[Toy]] = relationship(back_populates="animal")


class Dog(Animal):
    """In the table of animals."""

    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012

    bark: Mapped[str | None] = mapped_column(sa.String(20))


class Puppy(Animal):
    """In a table of its own, joined to that of animals."""

    __tablename__ = "puppies"
    __mapper_args__ = {"polymorphic_identity": "puppy"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(ForeignKey("animals.id"), primary_key=True)
    weeks: Mapped[int]


class Toy(Base):
    """Points at an animal."""

    __tablename__ = "toys"

    id: Mapped[int] = mapped_column(primary_key=True)
    animal_id: Mapped[int | None] = mapped_column(ForeignKey("animals.id"))
    animal: Mapped[Animal | None] = relationship(back_populates="toys")


Make = Callable[..., Callable[..., Asker]]


@pytest.fixture
def make(database_url: str) -> Iterator[Make]:
    """Makes an API of policies by model, and then actors."""
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    animals: Any = Animal.__table__
    puppies: Any = Puppy.__table__
    rows: dict[Any, list[dict[str, Any]]] = {
        Doc: [{"org": 1, "no": 1}, {"org": 1, "no": 2, "secret": True}],
        Ref: [{"id": 1, "org": 1, "no": 1, "code": "a", "owner": 1, "owner_name": "1"}],
        animals: [
            {"id": 1, "kind": "animal", "team": 2, "bark": None},
            {"id": 2, "kind": "dog", "team": 1, "bark": "wow"},
        ],
    }
    with engine.begin() as connection:
        for model, content in rows.items():
            for row in content:
                connection.execute(
                    sa.insert(model).values(
                        row | ({"secret": row.get("secret", False)} if model is Doc else {})
                    )
                )
        connection.execute(sa.insert(animals).values(id=3, kind="puppy", team=1))
        connection.execute(sa.insert(puppies).values(id=3, weeks=9))
        connection.execute(sa.insert(Toy).values(id=1, animal_id=1))
        connection.execute(sa.insert(Toy).values(id=2, animal_id=2))
        connection.execute(sa.update(Ref).values(owner_uuid=ME))
        count_from(connection, 100, ["refs", "animals", "toys"])

    def api(policies: dict[Any, Policy | None], **options: Any) -> Callable[..., Asker]:
        app = flask.Flask("rules")
        app.config["CARBOY_JWT_SECRET"] = SECRET
        carboy = Carboy(app, engine, **options)
        for model, policy in policies.items():
            carboy.resource(model, policy=policy, name=f"{model.__name__.lower()}s")

        def login(id_: Any = None, *roles: str) -> Asker:
            return Asker(app.test_client(), None if id_ is None else token(id_, *roles))

        return login

    yield api
    engine.dispose()


def _ids(asker: Asker, path: str) -> list[int]:
    return [row["id"] for row in asker.rows(path)]


def test_part_of_a_foreign_key_that_the_policy_completes_is_held_against_it(make: Make) -> None:
    """A hidden document of the tenant is answered like one that isn't there."""
    login = make(
        {
            Doc: Policy(read=lambda who: sa.not_(Doc.secret)),
            Ref: Policy(read=True, create=True, set_on_create={"org": lambda who: 1}),
        }
    )
    assert login(1).ask("POST", "refs", {"no": 1}).status_code == 201
    hidden, missing = (login(1).ask("POST", "refs", {"no": n}) for n in (2, 7))
    assert (hidden.status_code, hidden.text) == (409, missing.text)


def test_an_upsert_sets_no_field_that_may_not_be_written(make: Make) -> None:
    """A field that on_conflict names is for finding rows, and a new row can't have it."""
    policy = Policy(read=True, create=True, update=True, write_fields={"code": role("editor")})
    login = make({Doc: OPEN, Ref: policy})
    refused = login(1).ask("POST", "refs?on_conflict=code", {"code": "new"})
    assert refused.status_code == 400
    assert login(1).ask("POST", "refs?on_conflict=code", {"code": "a"}).status_code == 200
    made = login(1, "editor").ask("POST", "refs?on_conflict=code", {"code": "new"})
    assert made.status_code == 201


@pytest.mark.parametrize("field", ["owner", "owner_name", "owner_uuid"])
def test_ids_that_come_as_text_are_compared_as_the_column_has_them(make: Make, field: str) -> None:
    """With integers, text and UUIDs; an id that can't be one matches no row, and is no error."""
    column = getattr(Ref, field)
    login = make({Ref: Policy(read=lambda who: column == who.id)})
    known = str(ME) if field == "owner_uuid" else "1"
    assert _ids(login(known), "refs") == [1]
    for unknown in ("nobody", "2", str(uuid.UUID(int=5)), "9" * 12, "9" * 30):
        assert _ids(login(unknown), "refs") == []
    assert _ids(login(), "refs") == []


def test_who_asks_fills_columns_of_any_type_or_is_refused(make: Make) -> None:
    """An id that the column can't hold is a 403, and nobody a 401."""
    policy = Policy(read=True, create=True, set_on_create={"owner": lambda who: who.id})
    login = make({Ref: policy})
    assert login("7").ask("POST", "refs", {"code": "x"}).get_json()["owner"] == 7
    refused = login("robot").ask("POST", "refs", {"code": "y"})
    assert refused.status_code == 403
    assert "'owner' is set to who asks, and can't hold their id" in refused.text
    assert login().ask("POST", "refs", {"code": "z"}).status_code == 401
    assert login("7").ask("POST", "refs", {"owner": 1}).status_code == 400


RULES: dict[str, Callable[[Actor], Any]] = {
    "has": lambda who: Toy.animal.has(Animal.team == who.id),
    "in_ subquery": lambda who: Toy.animal_id.in_(
        sa.select(Animal.id).where(Animal.team == who.id)
    ),
    "in_ list": lambda who: Toy.animal_id.in_([2, 5]) if who.id == "1" else Toy.id < 0,
    "exists": lambda who: sa.exists().where(Animal.id == Toy.animal_id, Animal.team == who.id),
    "scalar": lambda who: (
        sa.select(Animal.team).where(Animal.id == Toy.animal_id).scalar_subquery() == who.id
    ),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_may_look_at_other_tables(make: Make, rule: Callable[[Actor], Any]) -> None:
    """For reads and for writes, before and after."""
    login = make({Animal: OPEN, Toy: Policy(read=rule, update=rule, create=rule, delete=rule)})
    one = login("1")
    assert _ids(one, "toys") == [2]
    assert one.get("toys/1").status_code == 404
    assert one.ask("PATCH", "toys/2", {"animal_id": 1}).status_code == 403
    assert one.ask("POST", "toys", [{"animal_id": 2}, {"animal_id": 1}]).status_code == 403
    assert _ids(one, "toys") == [2]
    assert one.ask("POST", "toys", {"animal_id": 2}).status_code == 201
    assert one.ask("DELETE", "toys/2").status_code == 204
    assert _ids(login(), "toys") == []


def test_a_rule_may_look_at_the_row_s_own_table(make: Make) -> None:
    """By an alias, and by a subquery that says that it isn't correlated."""
    other = sa.orm.aliased(Animal)
    mine = sa.select(Animal.team).where(Animal.id == 2).correlate(None).scalar_subquery()
    by_alias = Policy(read=lambda who: sa.exists().where(other.id == 2, other.team == Animal.team))
    assert _ids(make({Animal: by_alias})(1), "animals") == [2, 3]
    assert _ids(make({Animal: Policy(read=lambda who: Animal.team == mine)})(1), "animals") == [
        2,
        3,
    ]


def test_subclasses_have_policies_of_their_own(make: Make) -> None:
    """In the base's table and in one that is joined, on columns of either."""
    login = make(
        {
            Dog: Policy(read=lambda who: Dog.bark == "wow", update=lambda who: Dog.team == who.id),
            Puppy: Policy(read=lambda who: sa.and_(Puppy.weeks > 8, Puppy.team == who.id)),
            Animal: Policy(read=lambda who: Animal.team == 2),
            Toy: OPEN,
        }
    )
    assert _ids(login(1), "dogs") == [2]
    assert (_ids(login(1), "puppys"), _ids(login(2), "puppys")) == ([3], [])
    assert _ids(login(1), "animals") == [1]
    assert login(1).ask("PATCH", "dogs/2", {"team": 3}).status_code == 403
    assert login(2).ask("PATCH", "dogs/2", {"bark": "wuff"}).status_code == 403
    # The foreign key is to an animal, whichever class was registered first.
    hidden, missing = (login(1).ask("POST", "toys", {"animal_id": n}) for n in (2, 77))
    assert (hidden.status_code, hidden.text) == (409, missing.text)


WRONG: dict[str, tuple[Callable[[Actor], Any], str]] = {
    "none": (lambda who: None, "the rule for read answered None; it must be True, False or an SQL"),
    "text": (lambda who: "yes", "the rule for read answered 'yes'; it must be True, False or"),
    "stranger": (lambda who: Animal.team == 1, "a rule of its policy compares columns of"),
    "is": (lambda who: Ref.owner.is_(who.id), "compares who.id by IS; compare it by =="),
}


@pytest.mark.parametrize(("rule", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_rule_is_a_500_that_the_log_explains(
    make: Make, caplog: pytest.LogCaptureFixture, rule: Callable[[Actor], Any], message: str
) -> None:
    """The client learns nothing of it."""
    response = make({Ref: Policy(read=rule)})().get("refs")
    assert response.status_code == 500
    assert "polic" not in response.text
    error = caplog.records[0].exc_info
    assert error is not None
    assert isinstance(error[1], PolicyError)
    assert message in str(error[1])


@pytest.mark.parametrize("option", ["fields", "write_fields", "set_on_create", "set_on_update"])
def test_a_policy_that_names_no_field_is_refused(make: Make, option: str) -> None:
    """When the API is built, with the names that there are."""
    named: dict[str, Any] = {option: {"nope": lambda who: True}}
    policy = Policy(**named)
    app = flask.Flask("wrong")
    api = Carboy(app, sa.create_engine("sqlite://"))
    api.resource(Toy, policy=policy)
    with app.app_context(), pytest.raises(SchemaError, match=f"{option} names 'nope'.*animal_id"):
        _ = api.schema


def test_a_policy_can_t_hide_a_key() -> None:
    """URLs and cursors hold it."""
    app = flask.Flask("wrong")
    api = Carboy(app, sa.create_engine("sqlite://"))
    api.resource(Toy, policy=Policy(fields={"id": False}))
    with app.app_context(), pytest.raises(SchemaError, match="can't hide 'id'"):
        _ = api.schema


def test_without_a_policy_everything_is_closed(make: Make) -> None:
    """Reading takes a credential, writing a role; ``policy=`` of the extension changes it."""
    closed = make({Ref: None})
    assert closed().get("refs").status_code == 401
    assert closed(5).get("refs").status_code == 200
    assert closed(5).ask("PATCH", "refs/1", {"code": "b"}).status_code == 403
    assert closed(5, "writer").ask("PATCH", "refs/1", {"code": "b"}).status_code == 200
    assert make({Ref: None}, policy=OPEN)().ask("DELETE", "refs/1").status_code == 204


def test_public_read_opens_reading_alone(make: Make, database_url: str) -> None:
    """And goes with no policy beside it."""
    app = flask.Flask("public")
    app.config["CARBOY_JWT_SECRET"] = SECRET
    engine = sa.create_engine(database_url)
    api = Carboy(app, engine)
    api.resource(Ref, public="read")
    nobody = Asker(app.test_client(), None)
    assert nobody.get("refs").status_code == 200
    assert nobody.ask("DELETE", "refs/1").status_code == 401
    assert Asker(app.test_client(), token(1)).ask("DELETE", "refs/1").status_code == 403
    with pytest.raises(SchemaError, match="give one of the two"):
        Carboy(flask.Flask("x"), engine).resource(Ref, public="read", policy=OPEN)
    engine.dispose()
