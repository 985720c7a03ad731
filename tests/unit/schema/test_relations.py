"""Relations from relationships and foreign keys, and the names that they get."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from carboy.schema import Registration, Schema, SchemaError, build_schema, default_name, subject_of

metadata = MetaData()
people = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("boss_id", ForeignKey("people.id")),
)
letters = Table(
    "letters",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sender_id", ForeignKey("people.id")),
    Column("receiver_id", ForeignKey("people.id")),
)
badges = Table(
    "badges",
    metadata,
    Column("person_id", ForeignKey("people.id"), primary_key=True),
)
clubs = Table("clubs", metadata, Column("id", Integer, primary_key=True))
members = Table(
    "members",
    metadata,
    Column("club_id", ForeignKey("clubs.id"), primary_key=True),
    Column("person_id", ForeignKey("people.id"), primary_key=True),
)


def schema_of(*subjects: object) -> Schema:
    """The schema of classes or tables with no options."""
    found = [subject_of(subject) for subject in subjects]
    return build_schema([Registration(s, default_name(s)) for s in found])


def relations(schema: Schema, resource: str) -> set[tuple[str, str, bool, str | None]]:
    """Name, target, whether many, and link table."""
    return {
        (r.name, r.target, r.many, r.link.name if isinstance(r.link, Table) else None)
        for named in schema.resources[resource].relations.values()
        for r in named
    }


def test_foreign_keys_are_relations_both_ways() -> None:
    """To one by column or target, to many by source, through a link, and back to the same table."""
    schema = schema_of(people, letters, badges, clubs, members)
    assert relations(schema, "letters") == {
        ("people", "people", False, None),
        ("sender", "people", False, None),
        ("sender_id", "people", False, None),
        ("receiver", "people", False, None),
        ("receiver_id", "people", False, None),
    }
    assert relations(schema, "people") == {
        ("boss", "people", False, None),
        ("boss_id", "people", False, None),
        ("people", "people", True, None),
        ("letters", "letters", True, None),
        ("badges", "badges", False, None),
        ("members", "members", True, None),
        ("clubs", "clubs", True, "members"),
    }


def test_two_keys_to_one_table_need_a_hint_that_exists() -> None:
    """Each of the two has a hint of its own."""
    both = schema_of(people, letters).resources["people"].relations["letters"]
    assert [relation.hints[0] for relation in both] == ["receiver_id", "sender_id"]


class Base(DeclarativeBase):
    """The classes of this module."""


class Author(Base):
    """One of the two classes."""

    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list[Book]] = relationship(back_populates="writer")


class Book(Base):
    """The other."""

    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    writer: Mapped[Author] = relationship(back_populates="books")


def test_a_relationships_name_means_itself() -> None:
    """Where a foreign key suggests the same name, the relationship has it."""
    schema = schema_of(Author, Book)
    (books,) = schema.resources["authors"].relations["books"]
    assert books.attribute == "books"
    assert {r.name for named in schema.resources["books"].relations.values() for r in named} == {
        "writer", "author", "author_id", "authors",
    }  # fmt: skip


def test_classes_that_are_not_registered_are_there_but_not_exposed() -> None:
    """The application's own code may name them; a URL may not."""
    schema = schema_of(Book)
    assert [r.name for r in schema.exposed()] == ["books"]
    assert schema.of_mapper(sa.inspect(Author)) is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": ("passwort",)}, "hidden='passwort' is no column; it has author_id, id"),
        ({"search": ("title",)}, "search='title' is no column"),
        ({"readable": ("writer",)}, "readable='writer' is no column"),
        ({"name": "a/b"}, "can't stand in a URL"),
    ],
)
def test_a_wrong_option_is_named_with_what_there_is(options: dict, message: str) -> None:  # type: ignore[type-arg]
    """The message names the resource, the option and the columns."""
    with pytest.raises(SchemaError, match=message):
        Registration(**{"subject": subject_of(Book), "name": "books", **options})


def test_two_resources_of_one_name_are_refused() -> None:
    """One of them needs a name of its own."""
    registration = Registration(subject_of(Book), "books")
    with pytest.raises(SchemaError, match="two resources are called 'books'"):
        build_schema([registration, registration])
