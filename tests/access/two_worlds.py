"""Two databases that differ only in what an actor may not read.

What the actor may read is said here once more, in Python over plain rows, so that the policies'
SQL isn't its own judge.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy import ForeignKey, ForeignKeyConstraint, exists, or_
from sqlalchemy.orm import Mapped, aliased, mapped_column, relationship

from carboy import Actor, Carboy, Policy, role, signed_in
from tests.databases import in_any_order

from .world import ANN, BOB, EVE, POLICIES, SEARCH, SECRET, Base, User, restart_keys


class Stage(enum.Enum):
    """How far a project is."""

    IDEA = "idea"
    OPEN = "open"
    DONE = "done"


class Project(Base):
    """Secret ones are their team's; it has a key of two parts, and may be part of another."""

    __tablename__ = "projects"
    __table_args__ = (
        ForeignKeyConstraint(["team_id", "part_of"], ["projects.team_id", "projects.number"]),
    )

    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(sa.String(50))
    stage: Mapped[Stage]
    begins: Mapped[dt.date | None]
    facts: Mapped[Any] = mapped_column(sa.JSON, default=dict)
    budget: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    secret: Mapped[bool] = mapped_column(default=False)
    part_of: Mapped[int | None]
    tasks: Mapped[list[Task]] = relationship(back_populates="project")


class Task(Base):
    """Private ones are their owner's; its code nobody reads."""

    __tablename__ = "tasks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["team_id", "project_number"], ["projects.team_id", "projects.number"]
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int]
    project_number: Mapped[int]
    text: Mapped[str] = mapped_column(sa.String(50))
    due: Mapped[dt.datetime | None]
    weight: Mapped[float] = mapped_column(default=0.5)
    details: Mapped[Any] = mapped_column(sa.JSON, default=list)
    private: Mapped[bool] = mapped_column(default=False)
    code: Mapped[str] = mapped_column(sa.String(50), default="none")
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    project: Mapped[Project] = relationship(back_populates="tasks")
    owner: Mapped[User | None] = relationship()


def team_project(who: Actor) -> Any:
    """What isn't secret, and one's own team's."""
    me = aliased(User)
    own = exists().where(me.id == who.id, me.team_id == Project.team_id)
    return who.has("admin") or or_(sa.not_(Project.secret), own)


ALL_POLICIES: Mapping[type[Base], Policy] = {
    **POLICIES,
    Project: Policy(
        read=team_project,
        create=signed_in,
        update=True,
        delete=signed_in,
        fields={"budget": role("admin")},
    ),
    Task: Policy(
        read=lambda who: who.has("admin") or or_(sa.not_(Task.private), Task.owner_id == who.id),
        create=signed_in,
        update=lambda who: Task.owner_id == who.id,
        delete=signed_in,
        write_fields={"private": role("admin", "editor")},
        set_on_create={"owner_id": lambda who: who.id},
    ),
}
HIDDEN = {"users": ("password_hash",), "tasks": ("code",)}
"""What nobody reads."""
RULED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "users": {"email": ("admin",)},
    "posts": {"note": ("editor", "admin"), "reviewer_id": ("editor", "admin")},
    "projects": {"budget": ("admin",)},
}
"""What the roles read."""
ORDERS = {"projects": "budget.desc,title", "posts": "note.desc,reviewer(name),title"}


def make_app(engine: sa.Engine, *, cache: int = 0, **config: Any) -> flask.Flask:
    """The API over both kinds of models."""
    app = flask.Flask("two worlds")
    app.config |= {"SECRET_KEY": SECRET, "CARBOY_JWT_SECRET": SECRET, **config}
    api = Carboy(app, engine)
    for model, policy in ALL_POLICIES.items():
        name = model.__tablename__
        api.resource(
            model,
            policy=policy,
            search=("text",) if model is Task else SEARCH.get(model, ()),
            hidden=HIDDEN.get(name, ()),
            order=ORDERS.get(name),
            cache=cache,
        )
    return app


# Worlds

Row = dict[str, Any]
Key = tuple[int, ...]
World = dict[str, dict[Key, Row]]
TABLES: Mapping[str, sa.Table] = {
    table.name: table for table in Base.metadata.sorted_tables if table.name != "carboy_idempotency"
}
SIZES = {
    "teams": 3, "users": 8, "posts": 18, "comments": 24, "tags": 6, "post_tags": 24,
    "audits": 6, "projects": 12, "tasks": 20,
}  # fmt: skip
LAST = 900
"""The key of the last row of a table, which stays: the database counts new keys on from it."""
WORDS = ("ann", "bob", "red", "draft", "secret", "plan", "merger", "é", "a b", "")
DOCUMENTS: tuple[Any, ...] = (
    {}, {"a": 1}, {"a": {"b": "x"}}, {"a": "x", "c": [1, 2]}, [1, "x"], [], None, "x",
)  # fmt: skip


def key_of(table: str, row: Row) -> Key:
    """A row's primary key."""
    return tuple(row[column.name] for column in TABLES[table].primary_key)


def references(table: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The foreign keys of a table: their columns, and where they lead."""
    for constraint in TABLES[table].foreign_key_constraints:
        yield tuple(constraint.column_keys), constraint.referred_table.name


def pointed_at(row: Row, columns: tuple[str, ...]) -> Key | None:
    """The key that a row's foreign key holds."""
    key = tuple(row[name] for name in columns)
    return None if None in key else key


class Maker:
    """Makes rows with values that collide often, but never where they must be unique."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.world: World = {name: {} for name in SIZES}
        self._number = 0

    def fill(self) -> World:
        """A whole world."""
        for table, size in SIZES.items():
            made = 0
            while made < size:
                made += self.add(table, last=made == size - 1)
        return self.world

    def add(self, table: str, *, last: bool = False) -> bool:
        """Add a row, if its key is free."""
        row: Row = {}
        for column in TABLES[table].columns:
            row[column.name] = self.value(table, column.name, row)
        if "id" in row:
            taken = len(self.world[table])
            # Ann, Bob and Eve are among the users.
            row["id"] = taken + 1 if table == "users" and taken < 3 else self.rng.randint(1, 60)
            row["id"] = LAST if last else row["id"]
        for columns, target in references(table):
            self.point(row, table, columns, target)
        key = key_of(table, row)
        if key in self.world[table] or not self.holds(table, row):
            return False
        self.world[table][key] = row
        return True

    def holds(self, table: str, row: Row) -> bool:
        """Whether the row points at rows that are there, and none in a circle."""
        for columns, target in references(table):
            key = pointed_at(row, columns)
            if key is not None and key not in self.world[target]:
                return False
            if key is not None and target == table and key >= key_of(table, row):
                return False
        return True

    def point(self, row: Row, table: str, columns: tuple[str, ...], target: str) -> None:
        """Let a foreign key point at some row, or at none."""
        nullable = [name for name in columns if TABLES[table].columns[name].nullable]
        keys = list(self.world[target])
        if table == target:
            keys = [k for k in keys if k < key_of(table, row)]
        if table == "projects" and target == table:
            keys = [k for k in keys if k[0] == row["team_id"]]
        if not keys or (nullable and self.rng.random() < 0.4):
            row |= dict.fromkeys(nullable)
            return
        row |= dict(zip(columns, self.rng.choice(keys), strict=True))

    def value(self, table: str, name: str, row: Row) -> Any:
        """A value for a column that is no foreign key."""
        rng, type_ = self.rng, TABLES[table].columns[name].type
        match type_:
            case sa.Enum():
                return rng.choice(list(Stage))
            case sa.Boolean():
                return rng.random() < 0.4
            case sa.JSON():
                return rng.choice(DOCUMENTS)
            case sa.Date():
                return rng.choice((None, dt.date(2024, 1, rng.randint(1, 4))))
            case sa.DateTime():
                return rng.choice((None, dt.datetime(2024, 1, rng.randint(1, 4), 12)))  # noqa: DTZ001
            case sa.Numeric(asdecimal=True):
                return rng.choice((None, Decimal(rng.randint(1, 5)) / 2))
            case sa.Float():
                return rng.randint(0, 4) / 2
            case sa.String():
                return self.text(table, name)
        return row.get(name, rng.randint(1, 9))

    def text(self, table: str, name: str) -> str | None:
        """Words; with a number where they have to be unique."""
        column = TABLES[table].columns[name]
        if column.nullable and self.rng.random() < 0.3:
            return None
        text = " ".join(self.rng.choice(WORDS) for _ in range(2))
        if column.unique:
            self._number += 1
            return f"{text} {self._number}{self.rng.choice('xyz')}"
        return text


# Who reads what


@dataclass(frozen=True)
class Who:
    """An actor; without an id nobody in particular."""

    id: int | None
    roles: tuple[str, ...] = ()

    def has(self, *roles: str) -> bool:
        """Whether one of the roles is among the actor's."""
        return any(name in self.roles for name in roles)


ACTORS = (
    Who(None), Who(ANN), Who(BOB, ("writer",)), Who(EVE, ("editor",)), Who(ANN, ("admin",)),
    Who(77),
)  # fmt: skip


def _own_team(world: World, who: Who) -> Any:
    me = world["users"].get((who.id or 0,))
    return me["team_id"] if me else object()


def _post(world: World, row: Row, who: Who) -> bool:
    return who.has("editor", "admin") or row["published"] or row["author_id"] == who.id


def _comment(world: World, row: Row, who: Who) -> bool:
    post = world["posts"][(row["post_id"],)]
    under = post["published"] or (who.id is not None and post["author_id"] == who.id)
    own = who.id is not None and row["author_id"] == who.id
    return who.has("admin") or (not row["hidden"] and under) or own


READS: Mapping[str, Callable[[World, Row, Who], bool]] = {
    "teams": lambda world, row, who: True,
    "users": lambda world, row, who: who.has("admin") or row["team_id"] == _own_team(world, who),
    "posts": _post,
    "comments": _comment,
    "tags": lambda world, row, who: who.has("editor", "admin") or not row["secret"],
    "post_tags": lambda world, row, who: who.has("editor", "admin") or not row["private"],
    "audits": lambda world, row, who: who.has("admin"),
    "projects": lambda world, row, who: (
        who.has("admin") or not row["secret"] or row["team_id"] == _own_team(world, who)
    ),
    "tasks": lambda world, row, who: (
        who.has("admin") or not row["private"] or (who.id is not None and row["owner_id"] == who.id)
    ),
}


def hidden_fields(table: str, who: Who) -> set[str]:
    """The columns that the actor reads in no row."""
    ruled = {name for name, roles in RULED.get(table, {}).items() if not who.has(*roles)}
    return {*ruled, *HIDDEN.get(table, ())}


def seen(world: World, who: Who) -> World:
    """The rows and fields that the actor reads."""
    return {
        table: {
            key: {n: v for n, v in row.items() if n not in hidden_fields(table, who)}
            for key, row in rows.items()
            if READS[table](world, row, who)
        }
        for table, rows in world.items()
    }


def another(world: World, who: Who, rng: Random) -> World:
    """A world in which the actor reads the same, and nearly all of the rest is different."""
    maker = Maker(rng)
    maker.world = {table: {k: dict(r) for k, r in rows.items()} for table, rows in world.items()}
    maker._number = 10_000
    before = seen(world, who)
    for _ in range(500):
        kept = {t: {k: dict(r) for k, r in rows.items()} for t, rows in maker.world.items()}
        if not (_change(maker, before, who, rng) and seen(maker.world, who) == before):
            maker.world = kept
    return maker.world


def _change(maker: Maker, before: World, who: Who, rng: Random) -> bool:
    """One change at random; false where the database would refuse it."""
    table = rng.choice(list(SIZES))
    rows = maker.world[table]
    kind = rng.choice(("add", "remove", "change", "change", "hide", "hide"))
    if kind == "add":
        return maker.add(table)
    key = rng.choice(list(rows))
    if kind == "remove":
        del rows[key]
        left = ((t, row) for t, found in maker.world.items() for row in found.values())
        return LAST not in key and all(maker.holds(t, row) for t, row in left)
    keys = {c.name for c in TABLES[table].primary_key}
    names = [n for n in rows[key] if n not in keys]
    if kind == "hide" or key in before[table]:
        names = [n for n in names if n in hidden_fields(table, who)]
    if not names:
        return False
    row, name = rows[key], rng.choice(names)
    row[name] = maker.value(table, name, row)
    for columns, target in references(table):
        if name in columns:
            maker.point(row, table, columns, target)
    return key == key_of(table, row) and maker.holds(table, row)


def load(engine: sa.Engine, world: World) -> None:
    """Make a database hold just this world."""
    with engine.begin() as connection:
        with in_any_order(connection):
            for table in reversed(list(TABLES.values())):
                connection.execute(table.delete())
            for name, rows in world.items():
                if rows:
                    # In the keys' order, since rows point at earlier ones of their table.
                    connection.execute(TABLES[name].insert(), [rows[key] for key in sorted(rows)])
        restart_keys(connection, ALL_POLICIES)
