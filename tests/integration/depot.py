"""A depot: what the shop lacks and bad writes run into, each rule once."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from carboy import Carboy
from tests.databases import count_from

from . import shop

HIDDEN = ("secret", "supplier", "suppliers", *shop.HIDDEN)


class Base(DeclarativeBase):
    """The depot's tables."""


class Supplier(Base):
    """Not exposed."""

    __tablename__ = "suppliers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Crate(Base):
    """Every rule that a column can have."""

    __tablename__ = "crates"
    __table_args__ = (sa.CheckConstraint("size >= 0", name="size_floor"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(5), unique=True)
    size: Mapped[int]
    note: Mapped[str | None] = mapped_column(sa.String(10))
    total: Mapped[int] = mapped_column(server_default="1")
    double: Mapped[int] = mapped_column(sa.Computed("size * 2", persisted=True))
    labels: Mapped[list[int] | None] = mapped_column(
        sa.ARRAY(sa.Integer).with_variant(sa.JSON(), "sqlite", "mariadb")
    )
    stamp: Mapped[bytes | None] = mapped_column(sa.LargeBinary(4))
    secret: Mapped[str | None]
    supplier_id: Mapped[int | None] = mapped_column(sa.ForeignKey("suppliers.id"))
    supplier: Mapped[Supplier | None] = relationship()
    parts: Mapped[list[Part]] = relationship(back_populates="crate")
    lid: Mapped[Lid | None] = relationship(back_populates="crate")


class Part(Base):
    """It can't be without its crate."""

    __tablename__ = "parts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(10))
    crate_id: Mapped[int] = mapped_column(sa.ForeignKey("crates.id"))
    crate: Mapped[Crate] = relationship(back_populates="parts")


class Lid(Base):
    """Its key is its crate's."""

    __tablename__ = "lids"
    crate_id: Mapped[int] = mapped_column(sa.ForeignKey("crates.id"), primary_key=True)
    color: Mapped[str]
    crate: Mapped[Crate] = relationship(back_populates="lid")


class Node(Base):
    """A tree, to be nested as deep as one likes."""

    __tablename__ = "nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("nodes.id"))
    nodes: Mapped[list[Node]] = relationship()


class Safe(Base):
    """It changes only under If-Match."""

    __tablename__ = "safes"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[Decimal] = mapped_column(sa.Numeric(6, 2))


log = sa.Table("log", Base.metadata, sa.Column("line", sa.String(20)))


def build(api: Carboy, engine: sa.Engine) -> None:
    """Make and expose the shop and the depot."""
    shop.build(api, engine)
    crate = ["code", "size", "note", "labels", "stamp"]
    api.resource(Crate, hidden=["secret", "supplier_id"], writable=crate)
    api.resource(Part)
    api.resource(Lid)
    api.resource(Node)
    api.resource(Safe, require_match=True)
    api.resource(log)
    api.resource(shop.Tag, name="shown", read_only=True)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Crate(id=1, code="a", size=1, secret="x", parts=[Part(id=1, name="bolt")]))
        session.add(Crate(id=2, code="b", size=2, lid=Lid(color="red")))
        session.add_all([Node(id=1, name="root"), Safe(id=1, amount=Decimal(5))])
        session.execute(sa.insert(log).values(line="x"))
        session.commit()
        tables = ["crates", "parts", "nodes", "safes", "items", "users", "tags"]
        count_from(session.connection(), 101, tables)
        session.commit()
