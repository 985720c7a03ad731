"""Mapped classes of every ordinary kind, with a few rows."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    DynamicMapped,
    Mapped,
    MappedAsDataclass,
    Session,
    WriteOnlyMapped,
    column_property,
    declared_attr,
    mapped_column,
    relationship,
    synonym,
)

from carboy import Carboy


class Base(DeclarativeBase):
    """The classes of these tests."""


# Joined-table inheritance


class Company(Base):
    """Has people, of whom some are engineers."""

    __tablename__ = "company"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    people: Mapped[list[Person]] = relationship(back_populates="company")
    engineers: Mapped[list[Engineer]] = relationship(viewonly=True)


class Person(Base):
    """The base, whose subclasses have tables of their own."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(10))
    name: Mapped[str] = mapped_column(sa.String(20))
    email: Mapped[str | None] = mapped_column(sa.String(20), unique=True)
    version: Mapped[int] = mapped_column()
    company_id: Mapped[int | None] = mapped_column(sa.ForeignKey("company.id"))
    company: Mapped[Company | None] = relationship(back_populates="people")
    __mapper_args__ = {  # noqa: RUF012
        "polymorphic_on": "kind",
        "polymorphic_identity": "person",
        "version_id_col": version,
    }


class Engineer(Person):
    """A subclass with fields and relations of its own."""

    __tablename__ = "engineer"
    id: Mapped[int] = mapped_column(sa.ForeignKey("person.id"), primary_key=True)
    language: Mapped[str] = mapped_column(sa.String(10))
    badge: Mapped[str | None] = mapped_column(sa.String(10), unique=True)
    lead_id: Mapped[int | None] = mapped_column(sa.ForeignKey("engineer.id"))
    machines: Mapped[list[Machine]] = relationship(back_populates="engineer")
    lead: Mapped[Engineer | None] = relationship(remote_side=id, foreign_keys=lead_id)
    __mapper_args__ = {  # noqa: RUF012
        "polymorphic_identity": "engineer",
        "inherit_condition": id == Person.id,
    }


class Architect(Engineer):
    """In the table of its base, which is itself a subclass."""

    __mapper_args__ = {"polymorphic_identity": "architect"}  # noqa: RUF012


class Machine(Base):
    """Points at a subclass."""

    __tablename__ = "machine"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    engineer_id: Mapped[int | None] = mapped_column(sa.ForeignKey("engineer.id"))
    engineer: Mapped[Engineer | None] = relationship(back_populates="machines")


# Single-table inheritance


class Animal(Base):
    """The base of classes in one table."""

    __tablename__ = "animal"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    keeper_id: Mapped[int | None] = mapped_column(sa.ForeignKey("keeper.id"))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012


class Dog(Animal):
    """Has a column in its base's table."""

    tricks: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012


class Keeper(Base):
    """Has animals, and dogs among them."""

    __tablename__ = "keeper"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    animals: Mapped[list[Animal]] = relationship()
    dogs: Mapped[list[Dog]] = relationship(viewonly=True)


# Concrete inheritance


class Shape(Base):
    """A base whose subclass has a table with all columns."""

    __tablename__ = "shape"
    id: Mapped[int] = mapped_column(primary_key=True)
    color: Mapped[str]


class Circle(Shape):
    """Nothing of it is in its base's table."""

    __tablename__ = "circle"
    id: Mapped[int] = mapped_column(primary_key=True)
    color: Mapped[str]
    radius: Mapped[int]
    __mapper_args__ = {"concrete": True}  # noqa: RUF012


# Attributes


class Stamped:
    """A mixin."""

    made: Mapped[dt.datetime] = mapped_column(
        sa.DateTime(timezone=True), server_default=sa.text("'2024-01-01 00:00:00+00:00'")
    )

    @declared_attr
    def maker_id(cls) -> Mapped[int | None]:  # noqa: N805
        """Each class gets a column of its own."""
        return mapped_column(sa.ForeignKey("author.id"))


class Lower(sa.types.TypeDecorator[str]):
    """Stores lower case."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.lower()


class Utc(sa.types.TypeDecorator[dt.datetime]):
    """Takes only moments with a time zone, as SQLAlchemy's own recipe does."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError("tzinfo is required")
        return value.astimezone(dt.UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.replace(tzinfo=dt.UTC)


book_likes = sa.Table(
    "book_likes",
    Base.metadata,
    sa.Column("book_id", sa.ForeignKey("Book Shelf.ID"), primary_key=True),
    sa.Column("other_id", sa.ForeignKey("Book Shelf.ID"), primary_key=True),
)


class Book(Stamped, Base):
    """Attributes that are called otherwise than their columns, and computed ones."""

    __tablename__ = "Book Shelf"
    id: Mapped[int] = mapped_column("ID", primary_key=True)
    title: Mapped[str] = mapped_column("Full Title")
    group: Mapped[str | None] = mapped_column("order", Lower(20))
    pages: Mapped[int] = mapped_column("select")
    notes: Mapped[str | None] = mapped_column("Some Notes", deferred=True)
    seen: Mapped[dt.datetime | None] = mapped_column(Utc)
    big: Mapped[int | None] = mapped_column(sa.BigInteger, info={"json": "string"})
    twice: Mapped[int] = mapped_column(sa.Computed('"select" * 2', persisted=True))
    author_id: Mapped[int | None] = mapped_column(sa.ForeignKey("author.id"))
    draft: Mapped[bool] = mapped_column(default=False)
    name = synonym("title")
    author: Mapped[Author | None] = relationship(foreign_keys=author_id, back_populates="books")
    maker: Mapped[Author | None] = relationship(foreign_keys="Book.maker_id")
    likes: Mapped[list[Book]] = relationship(
        secondary=book_likes,
        primaryjoin=lambda: Book.id == book_likes.c.book_id,
        secondaryjoin=lambda: Book.id == book_likes.c.other_id,
    )
    roles: Mapped[list[Role]] = relationship(back_populates="book", cascade="all, delete-orphan")
    people: AssociationProxy[list[Any]] = association_proxy("roles", "author")

    @hybrid_property
    def thick(self) -> bool:
        """Left out of the API."""
        return self.pages > 300


class Author(Base):
    """Computed fields, custom joins, and collections of every kind."""

    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20))
    books: Mapped[list[Book]] = relationship(
        foreign_keys=Book.author_id, back_populates="author", lazy="raise"
    )
    drafts: Mapped[list[Book]] = relationship(
        primaryjoin=lambda: sa.and_(Book.author_id == Author.id, Book.draft), viewonly=True
    )
    grouped: Mapped[list[Book]] = relationship(
        primaryjoin=lambda: sa.and_(Book.author_id == Author.id, Book.group.in_(["a", "b"])),
        viewonly=True,
    )
    streamed: DynamicMapped[Book] = relationship(
        foreign_keys=Book.author_id, overlaps="books,author"
    )
    written: WriteOnlyMapped[Book] = relationship(
        foreign_keys=Book.author_id, overlaps="books,author,streamed"
    )
    profile: Mapped[Profile | None] = relationship(back_populates="author")
    length = column_property(sa.func.length(name, type_=sa.Integer))
    book_count = column_property(
        sa.select(sa.func.count()).select_from(Book).where(Book.author_id == id).scalar_subquery()
    )


class Profile(Base):
    """One for each author."""

    __tablename__ = "profile"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("author.id"), unique=True)
    author: Mapped[Author] = relationship(back_populates="profile")


class Role(Base):
    """An association object: a link with a column of its own."""

    __tablename__ = "role"
    book_id: Mapped[int] = mapped_column(sa.ForeignKey("Book Shelf.ID"), primary_key=True)
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("author.id"), primary_key=True)
    part: Mapped[str]
    book: Mapped[Book] = relationship(back_populates="roles")
    author: Mapped[Author] = relationship()


class Region(Base):
    """A key of two columns."""

    __tablename__ = "region"
    country: Mapped[str] = mapped_column(sa.String(2), primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(2), primary_key=True)
    towns: Mapped[list[Town]] = relationship(back_populates="region")


class Town(Base):
    """Points at a key of two columns."""

    __tablename__ = "town"
    __table_args__ = (
        sa.ForeignKeyConstraint(["country", "region_code"], ["region.country", "region.code"]),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    country: Mapped[str | None] = mapped_column(sa.String(2))
    region_code: Mapped[str | None] = mapped_column(sa.String(2))
    region: Mapped[Region | None] = relationship(back_populates="towns")


class DataBase(MappedAsDataclass, DeclarativeBase):
    """Another registry, of dataclasses."""


class Note(DataBase):
    """A constructor that asks for everything, and a relation to another base's class."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    text: Mapped[str]
    rank: Mapped[int] = mapped_column(server_default="7")
    writer_id: Mapped[int | None]
    writer: Mapped[Author | None] = relationship(
        Author, primaryjoin=lambda: sa.orm.foreign(Note.writer_id) == Author.id
    )
    lines: Mapped[list[Line]] = relationship(cascade="all, delete-orphan")


class Line(DataBase):
    """A part of a note."""

    __tablename__ = "line"
    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    text: Mapped[str]
    note_id: Mapped[int] = mapped_column(sa.ForeignKey("note.id"), init=False)


# What only reads


class BookStat(Base):
    """Mapped to a select with groups."""

    __table__ = (
        sa.select(Book.author_id.label("author_id"), sa.func.sum(Book.pages).label("pages"))
        .where(Book.author_id.is_not(None))
        .group_by(Book.author_id)
        .subquery("book_stat")
    )
    __mapper_args__ = {"primary_key": [__table__.c.author_id]}  # noqa: RUF012
    author: Mapped[Author] = relationship(
        primaryjoin=lambda: sa.orm.foreign(BookStat.__table__.c.author_id) == Author.id,
        viewonly=True,
    )


class LongBook(Base):
    """Mapped to a view."""

    __table__ = sa.Table(
        "long_book",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String),
    )


CLASSES: tuple[Any, ...] = (Company, Person, Engineer, Architect, Machine, Animal, Dog, Keeper)
CLASSES += (Shape, Circle, Book, Author, Profile, Role, Region, Town, Note, Line, BookStat)


def build(api: Carboy, engine: sa.Engine) -> None:
    """Register every class under its own name, and fill the tables."""
    for class_ in CLASSES:
        api.resource(class_, name=class_.__name__.lower())
    api.resource(LongBook, name="longbook", read_only=True)
    Base.metadata.create_all(engine)
    DataBase.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                'CREATE VIEW long_book AS SELECT "ID" AS id, "Full Title" AS title '
                'FROM "Book Shelf" WHERE "select" > 300'.replace(
                    '"', engine.dialect.identifier_preparer.initial_quote
                )
            )
        )
    with Session(engine) as session:
        session.add_all(_rows())
        session.commit()
        session.add(
            Note(text="n", rank=1, writer_id=None, writer=session.get(Author, 1), lines=[Line("l")])
        )
        session.commit()


def _rows() -> list[Any]:
    acme = Company(name="acme")
    ada = Engineer(name="ada", email="ada@x", language="py", badge="1", company=acme)
    bob = Engineer(name="bob", language="c", lead=ada, company=acme)
    cyd = Architect(name="cyd", language="sql", lead=ada)
    machines = [Machine(name="m1", engineer=ada), Machine(name="m2", engineer=bob)]
    keeper = Keeper(name="kim", animals=[Animal(name="cat"), Dog(name="rex", tricks=2)])
    one = Author(name="ann", profile=Profile(text="hi"))
    two = Author(name="robert")
    seen = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    books = [
        Book(title="a", group="A", pages=100, author=one, maker=two, big=2**60, seen=seen),
        Book(title="b", group="C", pages=400, author=one, draft=True, notes="long"),
    ]
    books[0].likes = [books[1]]
    books[0].roles = [Role(author=two, part="editor")]
    region = Region(country="de", code="by", towns=[Town()])
    return [
        acme, ada, bob, cyd, Person(name="dan", company=acme), *machines, keeper,
        Shape(color="red"), Circle(color="blue", radius=2), one, two, *books, region,
    ]  # fmt: skip
