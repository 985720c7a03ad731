"""A world that is there three times, to find out whether what is hidden shows.

``SEEN`` and ``OTHER`` differ only in rows that are Olga's alone, some of which one of them lacks;
``SEEN`` and ``CHANGED`` only in what the fields ``memo``, ``score`` and ``facts`` hold. Whoever
may not read these has to be answered the same in both, to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import flask
import sqlalchemy as sa
from sqlalchemy import ForeignKey, exists, or_
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from carboy import Actor, Carboy, Policy, role
from tests.databases import count_from, in_any_order

from .world import SECRET

Which: TypeAlias = Literal["seen", "other", "changed"]
WORLDS: tuple[Which, ...] = ("seen", "other", "changed")
AUDIENCE = "vault"
HIDDEN = "HIDDEN"
"""Every value that is hidden from somebody begins with it."""


class Base(DeclarativeBase):
    """The models of this world."""


class Person(Base):
    """Read by people of the same house."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)
    house: Mapped[str] = mapped_column(sa.String(20))
    papers: Mapped[list[Paper]] = relationship(back_populates="owner")


class Paper(Base):
    """Shared, or its owner's alone; some of its fields are nobody's who is ``limited``."""

    __tablename__ = "papers"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(100))
    code: Mapped[str | None] = mapped_column(sa.String(50), unique=True)
    rank: Mapped[int] = mapped_column(default=0)
    data: Mapped[Any] = mapped_column(sa.JSON, default=list)
    shared: Mapped[bool] = mapped_column(default=False)
    memo: Mapped[str | None] = mapped_column(sa.String(100), unique=True)
    score: Mapped[int | None]
    facts: Mapped[Any] = mapped_column(sa.JSON, default=list)
    owner_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("papers.id"))
    owner: Mapped[Person] = relationship(back_populates="papers")
    parent: Mapped[Paper | None] = relationship(remote_side=[id], back_populates="replies")
    replies: Mapped[list[Paper]] = relationship(back_populates="parent")
    remarks: Mapped[list[Remark]] = relationship(back_populates="paper")
    labels: Mapped[list[Label]] = relationship(secondary="paper_labels")


class Remark(Base):
    """Read by who may read the paper, unless it is hidden; and by its author."""

    __tablename__ = "remarks"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.String(100))
    hidden: Mapped[bool] = mapped_column(default=False)
    paper_id: Mapped[int | None] = mapped_column(ForeignKey("papers.id"))
    author_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    paper: Mapped[Paper | None] = relationship(back_populates="remarks")


class Label(Base):
    """Plain, or somebody's own."""

    __tablename__ = "labels"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))


class PaperLabel(Base):
    """That a paper has a label; some of these are known to the paper's owner alone."""

    __tablename__ = "paper_labels"

    paper_id: Mapped[int] = mapped_column(ForeignKey("papers.id"), primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id"), primary_key=True)
    private: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    paper: Mapped[Paper] = relationship(viewonly=True)


class Audit(Base):
    """For the admin's eyes only."""

    __tablename__ = "audits"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.String(50))
    paper_id: Mapped[int] = mapped_column(ForeignKey("papers.id"))


def _housemate(who: Actor) -> Any:
    me = sa.orm.aliased(Person)
    return who.has("admin") or exists().where(me.id == who.id, me.house == Person.house)


def _visible(who: Actor) -> Any:
    return who.has("admin") or or_(Paper.shared, Paper.owner_id == who.id)


def _own(who: Actor) -> Any:
    return who.has("admin") or Paper.owner_id == who.id


def _audible(who: Actor) -> Any:
    below = Paper.id == Remark.paper_id
    seen = exists().where(below, or_(Paper.shared, Paper.owner_id == who.id))
    return who.has("admin") or or_(
        sa.and_(sa.not_(Remark.hidden), seen), Remark.author_id == who.id
    )


def _spoken(who: Actor) -> Any:
    return who.has("admin") or Remark.author_id == who.id


def _labelled(who: Actor) -> Any:
    mine = PaperLabel.paper.has(Paper.owner_id == who.id)
    return who.has("admin") or or_(sa.not_(PaperLabel.private), mine)


def _own_labelled(who: Actor) -> Any:
    return who.has("admin") or PaperLabel.paper.has(Paper.owner_id == who.id)


def _whole(who: Actor) -> bool:
    return not who.is_anonymous and not who.has("limited")


POLICIES: Mapping[type[Base], Policy] = {
    Person: Policy(read=_housemate),
    Paper: Policy(
        read=_visible,
        create=_own,
        update=_own,
        delete=_own,
        fields={"memo": _whole, "score": _whole, "facts": _whole},
        write_fields={"memo": _whole, "score": _whole, "facts": _whole},
        set_on_create={"owner_id": lambda who: who.id},
    ),
    Remark: Policy(
        read=_audible,
        create=_spoken,
        update=_spoken,
        delete=_spoken,
        set_on_create={"author_id": lambda who: who.id},
    ),
    Label: Policy(read=lambda who: or_(Label.owner_id.is_(None), Label.owner_id == who.id)),
    PaperLabel: Policy(
        read=_labelled, create=_own_labelled, update=_own_labelled, delete=_own_labelled
    ),
    Audit: Policy(read=role("admin")),
}


SEARCH: Mapping[type[Base], Sequence[str]] = {Paper: ("title", "memo"), Remark: ("text",)}


def make_app(engine: sa.Engine) -> flask.Flask:
    """The vault's API, with views of the application's own."""
    app = flask.Flask("vault", static_folder=None)
    app.config |= {
        "SECRET_KEY": SECRET,
        "CARBOY_JWT_SECRET": SECRET,
        "CARBOY_JWT_AUDIENCE": AUDIENCE,
    }
    api = Carboy(app, engine)
    for model, policy in POLICIES.items():
        order = "memo,id" if model is Paper else None
        api.resource(model, policy=policy, search=SEARCH.get(model, ()), order=order)
    shape = "id,title,owner(name),remarks(id,text),labels(id,name)"

    @app.get("/own")
    def read() -> flask.Response:
        return api.read(sa.select(Paper).order_by(Paper.id), shape, page=1)

    @app.post("/own")
    def create() -> flask.Response:
        return api.create(Paper, shape)

    @app.patch("/own/<int:key>")
    def update(key: int) -> flask.Response:
        return api.update(Paper, key, shape)

    @app.delete("/own/<int:key>")
    def delete(key: int) -> flask.Response:
        return api.delete(Paper, key, shape)

    return app


def _paper(id_: int, title: str, owner_id: int, **rest: Any) -> dict[str, Any]:
    blank: dict[str, Any] = {
        "code": None,
        "rank": 0,
        "data": [],
        "shared": False,
        "memo": None,
        "parent_id": None,
    }
    return {
        "id": id_,
        "title": title,
        "owner_id": owner_id,
        "score": 0,
        "facts": [],
        **blank,
        **rest,
    }


OLGA, OMAR, RITA, HARRY, ADAM = 1, 2, 3, 7, 9
"""Olga and Harry are of one house; everybody else is of their own."""


def rows(which: Which) -> Mapping[type[Base], Sequence[dict[str, Any]]]:
    """What is in a world."""
    other, changed = which == "other", which == "changed"
    word = f"{HIDDEN}-other" if other else HIDDEN
    memo, score = (f"{HIDDEN}-changed", 5) if changed else (f"{HIDDEN}-memo yeast", 77)
    people = [(OLGA, "olga", "red"), (OMAR, "omar", "blue"), (RITA, "rita", "green")]
    people += [(HARRY, f"{word}-harry", "red"), (ADAM, "adam", "grey")]
    inside = {"memo": memo, "score": score, "facts": [memo]}
    secret = {"rank": 3 if other else 77, "data": [f"{word}-data"], "code": f"{word}-code"}
    papers = [
        _paper(10, "open yeast", OLGA, shared=True, code="open", rank=1, **inside),
        _paper(11, f"{word}-title" + ("" if other else " yeast"), OLGA, parent_id=10, **secret),
        _paper(13, "blue", OMAR, shared=True, rank=2),
        _paper(14, "blue private", OMAR, rank=2),
        _paper(15, "of harry", HARRY, shared=True),
        _paper(19, "child", OMAR, shared=True, parent_id=11, rank=4),
    ]
    remarks = [
        {"id": 1, "text": "fine", "hidden": False, "paper_id": 10, "author_id": OMAR},
        {"id": 2, "text": f"{word}-remark", "hidden": True, "paper_id": 10, "author_id": OLGA},
        {"id": 4, "text": f"{word}-under", "hidden": False, "paper_id": 11, "author_id": OLGA},
        {"id": 9, "text": "last", "hidden": False, "paper_id": 13, "author_id": OMAR},
    ]
    links = [{"paper_id": 10, "label_id": 1, "private": False}]
    links += [{"paper_id": 10, "label_id": 2, "private": False}]
    if not other:
        papers.insert(3, _paper(12, f"{HIDDEN}-extra", OLGA, shared=False, parent_id=13))
        remarks.insert(2, {**remarks[1], "id": 3, "paper_id": 13})
        links.append({"paper_id": 10, "label_id": 3, "private": True})
    labels = [(1, "plain", None), (2, f"{word}-label", OLGA), (3, "third", None)]
    return {
        Person: [{"id": id_, "name": name, "house": house} for id_, name, house in people],
        Paper: papers,
        Remark: remarks,
        Label: [{"id": id_, "name": name, "owner_id": owner} for id_, name, owner in labels],
        PaperLabel: links,
        Audit: [{"id": 1, "text": f"{word}-audit", "paper_id": 10}],
    }


def fill(engine: sa.Engine, which: Which) -> None:
    """Make the world as it was: its tables, its rows, and the next keys."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection, in_any_order(connection):
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(sa.delete(table))
        for model, content in rows(which).items():
            connection.execute(sa.insert(model), content)
    restart(engine)


def restart(engine: sa.Engine) -> None:
    """Let new rows have keys from 1001 on; a ROLLBACK doesn't take numbers back."""
    tables = [table.name for table in Base.metadata.tables.values() if "id" in table.columns]
    with engine.begin() as connection:
        count_from(connection, 1001, tables)
