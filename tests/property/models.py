"""Two schemas that hold every kind of field and relation, and what the oracle knows of them.

``league`` is a schema as people write them; in ``odd`` every name needs quotes somewhere.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapper, RelationshipDirection, relationship


@dataclass(frozen=True)
class Column:
    """``choices`` are an enum's members in order; ``wild`` floats are too large to be added."""

    name: str
    kind: str
    nullable: bool
    unique: bool
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Link:
    """A relationship: pairs of the parent's and the target's fields, or both with a table's."""

    name: str
    target: str
    many: bool
    pairs: tuple[tuple[str, str], ...]
    through: str | None = None
    far_pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """A mapped class in plain words; ``name`` is the resource's, ``source`` the table's."""

    name: str
    source: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    links: Mapping[str, Link]


@dataclass(frozen=True)
class Family:
    """A set of classes that refer to one another."""

    name: str
    base: type[DeclarativeBase]
    classes: Mapping[str, type]
    tables: Mapping[str, Table]


class Role(enum.Enum):
    """Neither the names nor the values are in the order in which they are declared."""

    KEEPER = "keeper"
    BACK = "back"
    WING = "a wing"


class Grade(enum.Enum):
    """Shown as numbers."""

    HIGH = 3
    LOW = 1
    MIDDLE = 2


class League(DeclarativeBase):
    """The base of the first schema."""


_skilled = sa.Table(
    "player_skills",
    League.metadata,
    sa.Column("player_id", sa.ForeignKey("players.id"), primary_key=True),
    sa.Column("skill_id", sa.ForeignKey("skills.id"), primary_key=True),
)


class Team(League):
    """A plain table that others point at, with two keys in ``Match``."""

    __table__ = sa.Table(
        "teams",
        League.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("motto", sa.Text),
        sa.Column("founded", sa.Date),
        sa.Column("rank", sa.SmallInteger),
        sa.Column("budget", sa.Numeric(10, 2), nullable=False),
    )
    players = relationship("Player", back_populates="team")
    home_matches = relationship("Match", foreign_keys="Match.home_id", back_populates="home")
    away_matches = relationship("Match", foreign_keys="Match.away_id", back_populates="away")


class Player(League):
    """A self reference, a to-one, a to-many, a one-to-one and a many-to-many."""

    __table__ = sa.Table(
        "players",
        League.metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("team_id", sa.ForeignKey("teams.id")),
        sa.Column("captain_id", sa.ForeignKey("players.id", deferrable=True, initially="DEFERRED")),
        sa.Column("shirt", sa.Integer),
        sa.Column("salary", sa.Numeric(10, 2)),
        sa.Column("height", sa.Double),
        sa.Column("active", sa.Boolean),
        sa.Column("joined", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired", sa.DateTime(timezone=True)),
        sa.Column("role", sa.Enum(Role)),
        sa.Column("notes", sa.JSON(none_as_null=True)),
    )
    team = relationship(Team, back_populates="players")
    captain = relationship("Player", remote_side=__table__.c.id, back_populates="followers")
    followers = relationship("Player", back_populates="captain")
    passport = relationship("Passport", back_populates="player", uselist=False)
    skills = relationship("Skill", secondary=_skilled, back_populates="players")
    goals = relationship("Goal", back_populates="scorer")


class Passport(League):
    """The other end of a one-to-one, keyed by it."""

    __table__ = sa.Table(
        "passports",
        League.metadata,
        sa.Column("player_id", sa.ForeignKey("players.id"), primary_key=True),
        sa.Column("number", sa.String(20), unique=True, nullable=False),
        sa.Column("expires", sa.Date),
    )
    player = relationship(Player, back_populates="passport")


class Skill(League):
    """A table with a UUID for a key."""

    __table__ = sa.Table(
        "skills",
        League.metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("label", sa.Text, unique=True),
        sa.Column("weight", sa.Double, nullable=False),
    )
    players = relationship(Player, secondary=_skilled, back_populates="skills")


class Match(League):
    """Two foreign keys to one table, one of them in a composite key."""

    __table__ = sa.Table(
        "matches",
        League.metadata,
        sa.Column("home_id", sa.ForeignKey("teams.id"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("away_id", sa.ForeignKey("teams.id")),
        sa.Column("played", sa.Boolean, nullable=False),
        sa.Column("crowd", sa.BigInteger),
    )
    home = relationship(Team, foreign_keys=[__table__.c.home_id], back_populates="home_matches")
    away = relationship(Team, foreign_keys=[__table__.c.away_id], back_populates="away_matches")
    goals = relationship("Goal", back_populates="match")


class Goal(League):
    """A composite foreign key that may be NULL."""

    __table__ = sa.Table(
        "goals",
        League.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("match_home", sa.Integer),
        sa.Column("match_day", sa.Date),
        sa.Column("scorer_id", sa.ForeignKey("players.id")),
        sa.Column("minute", sa.Integer),
        sa.ForeignKeyConstraint(["match_home", "match_day"], ["matches.home_id", "matches.day"]),
    )
    match = relationship(Match, back_populates="goals")
    scorer = relationship(Player, back_populates="goals")


class Odd(DeclarativeBase):
    """The base of the second schema."""


_friends = sa.Table(
    "odd friends",
    Odd.metadata,
    sa.Column("one's", sa.ForeignKey('the "odd" ones.the key'), primary_key=True),
    sa.Column("other%s", sa.ForeignKey('the "odd" ones.the key'), primary_key=True),
)


class Strange(Odd):
    """Names with everything that SQL, drivers, JSON and the query string treat specially."""

    __table__ = sa.Table(
        'the "odd" ones',
        Odd.metadata,
        sa.Column("the key", sa.Uuid, primary_key=True),
        sa.Column("order", sa.Integer, nullable=False),
        sa.Column("select", sa.Text),
        sa.Column("we're", sa.Text),
        sa.Column("100%", sa.Double, info={"kind": "wild"}),
        sa.Column("a:b", sa.Boolean),
        sa.Column("back\\slash", sa.Date),
        sa.Column("naïve ☃", sa.DateTime),
        sa.Column("group", sa.Enum(Grade)),
        sa.Column("json->data", sa.JSON(none_as_null=True)),
        sa.Column('"big"', sa.BigInteger),
        sa.Column("MONEY.count()", sa.Numeric(10, 2)),
        sa.Column("%s", sa.Enum(Role, native_enum=False), nullable=False),
        sa.Column(
            "parent?",
            sa.ForeignKey('the "odd" ones.the key', deferrable=True, initially="DEFERRED"),
        ),
    )


_strange = Strange.__table__
Strange.parent = relationship(Strange, remote_side=_strange.c["the key"], back_populates="children")
Strange.children = relationship(Strange, back_populates="parent")
Strange.friends = relationship(
    Strange,
    secondary=_friends,
    primaryjoin=_strange.c["the key"] == _friends.c["one's"],
    secondaryjoin=_strange.c["the key"] == _friends.c["other%s"],
)


class Leaf(Odd):
    """A composite key of text and number, and a self reference by it."""

    __table__ = sa.Table(
        "Leaf",
        Odd.metadata,
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("no", sa.Integer, primary_key=True),
        sa.Column("not", sa.Integer),
        sa.Column("limit", sa.Text, nullable=False),
        sa.Column("row_index", sa.Integer),
        sa.Column("sort_1", sa.Text, nullable=False),
        sa.Column("odd", sa.ForeignKey('the "odd" ones.the key')),
        sa.Column("up_code", sa.Text),
        sa.Column("up_no", sa.Integer),
        sa.ForeignKeyConstraint(
            ["up_code", "up_no"], ["Leaf.code", "Leaf.no"], deferrable=True, initially="DEFERRED"
        ),
    )
    owner = relationship(Strange, backref="leaves")


_leaf = Leaf.__table__
Leaf.up = relationship(Leaf, remote_side=[_leaf.c.code, _leaf.c.no], backref="downs")


_KINDS: tuple[tuple[type[Any], str], ...] = (
    (sa.Enum, "enum"),
    (sa.Boolean, "bool"),
    (sa.SmallInteger, "small"),
    (sa.BigInteger, "big"),
    (sa.Integer, "int"),
    (sa.Float, "float"),
    (sa.Numeric, "numeric"),
    (sa.JSON, "json"),
    (sa.String, "text"),
    (sa.Date, "date"),
    (sa.Uuid, "uuid"),
)


def kind_of(column: sa.Column[Any]) -> str:
    """What a column holds, in one word."""
    if isinstance(column.type, sa.DateTime):
        return "aware" if column.type.timezone else "naive"
    found = next(name for class_, name in _KINDS if isinstance(column.type, class_))
    return str(column.info.get("kind", found))


def _column(column: sa.Column[Any]) -> Column:
    members: tuple[Any, ...] = ()
    if isinstance(column.type, sa.Enum):
        assert column.type.enum_class is not None
        members = tuple(column.type.enum_class)
    return Column(column.key, kind_of(column), bool(column.nullable), bool(column.unique), members)


def _link(prop: Any, names: Mapping[Any, str]) -> Link:
    target = names[prop.mapper]
    many = prop.direction is not RelationshipDirection.MANYTOONE and prop.uselist
    if prop.secondary is None:
        pairs = tuple((near.key, far.key) for near, far in prop.local_remote_pairs)
        return Link(prop.key, target, many, pairs)
    near = tuple((own.key, link.key) for own, link in prop.synchronize_pairs)
    far = tuple((own.key, link.key) for own, link in prop.secondary_synchronize_pairs)
    return Link(prop.key, target, many, near, prop.secondary.name, far)


def _family(name: str, base: type[DeclarativeBase], classes: Mapping[str, type]) -> Family:
    base.registry.configure()
    mappers: dict[str, Mapper[Any]] = {n: sa.inspect(c) for n, c in classes.items()}
    names = {mapper: n for n, mapper in mappers.items()}
    tables = {
        n: Table(
            n,
            mapper.local_table.name,  # type: ignore[attr-defined]
            {c.key: _column(c) for c in mapper.columns},
            tuple(str(c.key) for c in mapper.primary_key),
            {p.key: _link(p, names) for p in mapper.relationships},
        )
        for n, mapper in mappers.items()
    }
    return Family(name, base, classes, tables)


FAMILIES = {
    "league": _family(
        "league",
        League,
        {
            "teams": Team,
            "players": Player,
            "passports": Passport,
            "skills": Skill,
            "matches": Match,
            "goals": Goal,
        },
    ),
    "odd": _family("odd", Odd, {"odd ones": Strange, "leaf": Leaf}),
}
