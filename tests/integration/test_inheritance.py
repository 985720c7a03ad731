"""Classes that share a table, read and written under their own resources."""

from __future__ import annotations

import flask
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import OPEN, Carboy


class Base(DeclarativeBase):
    """The classes of these tests."""


class Animal(Base):
    """The class of the table itself, with a version of its rows and a constructor of its own."""

    __tablename__ = "animals"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(10))
    kind: Mapped[str] = mapped_column(sa.String(10))
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {  # noqa: RUF012
        "polymorphic_on": "kind",
        "polymorphic_identity": "animal",
        "version_id_col": version,
    }

    def __init__(self, name: str) -> None:
        self.name = name.title()


class Dog(Animal):
    """A subclass in the same table."""

    tricks: Mapped[str | None] = mapped_column(sa.String(10))
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012


def test_a_class_of_single_table_inheritance_has_only_its_rows(database_url: str) -> None:
    """Reads and writes of a subclass leave the others' rows alone."""
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    app = flask.Flask("animals")
    api = Carboy(app, engine, policy=OPEN)
    api.resource(Animal, writable=["name"])
    api.resource(Dog, name="dogs", writable=["name", "tricks"])
    client = app.test_client()
    cat = client.post("/api/animals", json={"name": "cat"})
    assert cat.json == {"id": 1, "name": "Cat", "kind": "animal", "version": 1}
    dog = client.post("/api/dogs?select=id,name,kind", json={"name": "rex", "tricks": "sit"})
    assert dog.json == {"id": 2, "name": "Rex", "kind": "dog"}
    names = client.get("/api/dogs?select=name").json
    assert names is not None
    assert names["data"] == [{"name": "Rex"}]
    assert client.patch("/api/dogs/1", json={"name": "x"}).status_code == 404
    replaced = client.put("/api/dogs/2?select=tricks,version", json={"name": "max"})
    assert replaced.json == {"tricks": None, "version": 2}
    assert client.delete("/api/dogs?id=gt.0").headers["Affected-Rows"] == "1"
    assert client.get("/api/animals/1").status_code == 200
    engine.dispose()
