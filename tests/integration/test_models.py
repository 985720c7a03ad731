"""Every ordinary kind of mapped class, read and written, with one answer from every database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.declarative import AbstractConcreteBase, ConcreteBase
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from carboy import OPEN, Carboy
from carboy.schema import SchemaError
from tests.conftest import empty_postgresql_database

from . import mapped
from .everywhere import Everywhere, served_everywhere


@pytest.fixture(scope="module")
def readable(
    servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Everywhere]:
    """The classes with their rows, for tests that only read."""
    folder = tmp_path_factory.mktemp("models")
    with served_everywhere(servers, folder, mapped.build) as pair:
        pair.json("/api/person?limit=1")  # a new connection is made ready once
        yield pair


@pytest.fixture
def writable(servers: Mapping[str, str], tmp_path: Any) -> Iterator[Everywhere]:
    """The same for one test alone."""
    with served_everywhere(servers, tmp_path, mapped.build) as pair:
        yield pair


def send(pair: Everywhere, method: str, url: str, body: Any = None, **headers: str) -> Any:
    """The status and JSON that all answer a write with."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answers = []
    for served in pair:
        response = served.client.open(f"/api/{url}", method=method, json=body, headers=named)
        answers.append((response.status_code, response.get_json(silent=True)))
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


READS: list[tuple[str, Any]] = [
    # Joined-table inheritance: the base has its own fields, a subclass all of them.
    (
        "person?name=eq.ada&select=*",
        [{"id": 1, "kind": "engineer", "name": "ada", "email": "ada@x"}
         | {"version": 1, "company_id": 1}],
    ),
    ("engineer?language=eq.py&select=id,kind,name", [{"id": 1, "kind": "engineer", "name": "ada"}]),
    ("engineer?select=name&order=language.desc&limit=2", [{"name": "cyd"}, {"name": "ada"}]),
    (
        "engineer?select=language,count()&order=language&name=neq.cyd",
        [{"language": "c", "count": 1}, {"language": "py", "count": 1}],
    ),
    ("architect?select=name,language", [{"name": "cyd", "language": "sql"}]),
    (
        "engineer?name=eq.bob&select=company(name),machines(name),lead(name)",
        [{"company": {"name": "acme"}, "machines": [{"name": "m2"}], "lead": {"name": "ada"}}],
    ),
    (
        "company?select=people(name),engineers(name,language)",
        [
            {
                "people": [{"name": "ada"}, {"name": "dan"}, {"name": "bob"}],
                "engineers": [{"name": "ada", "language": "py"}, {"name": "bob", "language": "c"}],
            }
        ],
    ),
    (
        "machine?select=name,engineer!inner(name,company(name))&engineer.name=eq.ada",
        [{"name": "m1", "engineer": {"name": "ada", "company": {"name": "acme"}}}],
    ),
    ("person?name=eq.ada&select=engineer(language)", [{"engineer": {"language": "py"}}]),
    ("engineer?select=name&order=company(name).desc,name.desc&limit=1", [{"name": "cyd"}]),
    # Single-table inheritance.
    (
        "keeper?select=animals(name),dogs(name,tricks)",
        [{"animals": [{"name": "cat"}, {"name": "rex"}], "dogs": [{"name": "rex", "tricks": 2}]}],
    ),
    ("dog?select=count()", [{"count": 1}]),
    ("keeper?select=dogs(count())", [{"dogs": [{"count": 1}]}]),
    # Concrete inheritance.
    ("shape", [{"id": 1, "color": "red"}]),
    ("circle", [{"id": 1, "color": "blue", "radius": 2}]),
    # Attributes that are called otherwise than their columns; mixins; types that convert.
    (
        "book?id=eq.1",
        [
            {"id": 1, "title": "a", "group": "a", "pages": 100, "notes": None}
            | {"seen": "2024-05-01T12:00:00.000000Z", "big": "1152921504606846976", "twice": 200}
            | {"author_id": 1, "draft": False, "made": "2024-01-01T00:00:00.000000Z"}
            | {"maker_id": 2}
        ],
    ),
    ("book?notes=eq.long&select=id,notes", [{"id": 2, "notes": "long"}]),
    ("book?group=eq.A&select=id", [{"id": 1}]),
    ("book?group=in.(A,B)&select=id", [{"id": 1}]),
    ("book?seen=eq.2024-05-01T14:00:00%2b02:00&select=id", [{"id": 1}]),
    # Computed fields.
    (
        "author?length=lt.9&order=book_count.desc,id&select=name,length,book_count",
        [
            {"name": "ann", "length": 3, "book_count": 2},
            {"name": "robert", "length": 6, "book_count": 0},
        ],
    ),
    (
        "author?select=book_count.max(),length.sum(),length.avg()",
        [{"max": 2, "sum": 9, "avg": 4.5}],
    ),
    ("profile?select=author(book_count)", [{"author": {"book_count": 2}}]),
    ("profile?select=id&order=author(book_count)", [{"id": 1}]),
    # Relationships.
    (
        "author?id=eq.1&select=drafts(title),grouped(title),streamed(title),written(title)",
        [
            {"drafts": [{"title": "b"}], "grouped": [{"title": "a"}]}
            | {name: [{"title": "a"}, {"title": "b"}] for name in ("streamed", "written")}
        ],
    ),
    ("book?id=eq.1&select=author(name),maker(name)",
     [{"author": {"name": "ann"}, "maker": {"name": "robert"}}]),
    ("book?select=likes(id)&order=id", [{"likes": [{"id": 2}]}, {"likes": []}]),
    ("author?id=eq.1&select=profile(text)", [{"profile": {"text": "hi"}}]),
    ("profile?select=author(name)", [{"author": {"name": "ann"}}]),
    ("book?id=eq.1&select=roles(part,author(name))",
     [{"roles": [{"part": "editor", "author": {"name": "robert"}}]}]),
    ("author?id=eq.2&select=book!role(title)", [{"book": [{"title": "a"}]}]),
    ("region?select=towns(id)", [{"towns": [{"id": 1}]}]),
    ("town?select=region(code)", [{"region": {"code": "by"}}]),
    ("note?select=text,rank,writer(name),lines(text)",
     [{"text": "n", "rank": 1, "writer": {"name": "ann"}, "lines": [{"text": "l"}]}]),
    # Selects and views.
    ("bookstat?select=*,author(name)", [{"author_id": 1, "pages": 500, "author": {"name": "ann"}}]),
    ("bookstat?pages=gt.500", []),
    ("longbook", [{"id": 2, "title": "b"}]),
]  # fmt: skip


@pytest.mark.parametrize(("url", "rows"), READS, ids=[url for url, _ in READS])
def test_a_list(readable: Everywhere, url: str, rows: Any) -> None:
    """Fields, filters, orders, groups and relations of a class, in one statement."""
    assert readable.json(f"/api/{url}")["data"] == rows
    assert [len(served.statements) for served in readable] == [1, 1, 1]


@pytest.mark.parametrize(
    "item", ["engineer/3", "architect/4", "author/1", "bookstat/1", "longbook/2"]
)
def test_an_item(readable: Everywhere, item: str) -> None:
    """A row has an address and an ETag, which says when it hasn't changed."""
    readable.json(f"/api/{item}")
    for served in readable:
        etag = served.get(f"/api/{item}").headers["ETag"]
        assert served.get(f"/api/{item}", headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("left_out", ["name", "thick", "people"])
def test_what_has_no_column_is_no_field(readable: Everywhere, left_out: str) -> None:
    """Synonyms, hybrids and association proxies are unknown."""
    assert [r.status_code for r in readable.get(f"/api/book?select={left_out}")] == [400, 400, 400]


WRITES: list[tuple[str, str, Any, Any]] = [
    (
        "POST",
        "engineer?select=kind,name,machines(name),company(name),version",
        {"name": "eve", "language": "go", "machines": [{"name": "m"}], "company": {"id": 1}},
        {"kind": "engineer", "name": "eve", "machines": [{"name": "m"}]}
        | {"company": {"name": "acme"}, "version": 1},
    ),
    ("POST", "architect?select=kind", {"name": "a", "language": "b"}, {"kind": "architect"}),
    (
        "PATCH",
        "engineer/1?select=name,language,version",
        {"name": "ADA", "language": "c"},
        {"name": "ADA", "language": "c", "version": 2},
    ),
    (
        "PATCH",
        "engineer?language=eq.c&select=name,badge",
        {"badge": "b"},
        {"data": [{"name": "bob", "badge": "b"}]},
    ),
    (
        "PUT",
        "engineer/3?select=kind,name,language,lead_id,company_id",
        {"name": "b", "language": "d"},
        {"kind": "engineer", "name": "b", "language": "d", "lead_id": None, "company_id": None},
    ),
    ("PATCH", "person/3?select=name,version", {"name": "b"}, {"name": "b", "version": 2}),
    (
        "POST",
        "engineer?on_conflict=badge&select=id,name,language",
        {"name": "up", "language": "x", "badge": "1"},
        {"id": 1, "name": "up", "language": "x"},
    ),
    ("PATCH", "circle/1", {"radius": 9}, {"id": 1, "color": "blue", "radius": 9}),
    ("PATCH", "dog/2?select=name,tricks", {"tricks": 3}, {"name": "rex", "tricks": 3}),
    (
        "PATCH",
        "book/2?select=seen,group,twice",
        {"seen": "2024-06-01T12:00:00+02:00", "group": "HELLO", "pages": 7},
        {"seen": "2024-06-01T10:00:00.000000Z", "group": "hello", "twice": 14},
    ),
    (
        "POST",
        "book?select=id,big,made,draft",
        {"title": "c", "pages": 3, "big": "99"},
        {"id": 3, "big": "99", "made": "2024-01-01T00:00:00.000000Z", "draft": False},
    ),
    ("PATCH", "author/1?select=name,length", {"name": "annette"}, {"name": "annette", "length": 7}),
    (
        "PATCH",
        "author/2?select=book_count,books(title)",
        {"books": [{"title": "n", "pages": 1}]},
        {"book_count": 1, "books": [{"title": "n"}]},
    ),
    (
        "POST",
        "author?select=profile(text)",
        {"name": "new", "profile": {"text": "p"}},
        {"profile": {"text": "p"}},
    ),
    (
        "PATCH",
        "book/1?select=likes(id),roles(part)",
        {"likes": [], "roles": [{"author_id": 1, "part": "x"}]},
        {"likes": [], "roles": [{"part": "x"}]},
    ),
    (
        "POST",
        "town?select=region(code)",
        {"region": {"country": "de", "code": "by"}},
        {"region": {"code": "by"}},
    ),
    (
        "POST",
        "note?select=text,rank,writer_id,lines(text)",
        {"text": "x", "lines": [{"text": "q"}], "writer": {"id": 1}},
        {"text": "x", "rank": 7, "writer_id": 1, "lines": [{"text": "q"}]},
    ),
]


@pytest.mark.parametrize(("method", "url", "body", "answer"), WRITES, ids=[w[1] for w in WRITES])
def test_a_write(writable: Everywhere, method: str, url: str, body: Any, answer: Any) -> None:
    """A write goes through the class, and answers what is then there."""
    status, json = send(writable, method, url, body)
    assert status in (200, 201)
    assert json == answer


@pytest.mark.parametrize(
    ("method", "url", "body", "status", "fault"),
    [
        ("PATCH", "author/1", {"length": 3}, 400, "length can't be written"),
        ("PATCH", "book/1", {"twice": 3}, 400, "twice can't be written"),
        ("PATCH", "author/1", {"streamed": []}, 400, "streamed can only be read here"),
        ("PATCH", "author/1", {"written": []}, 400, "written can only be read here"),
        ("PATCH", "company/1", {"engineers": []}, 400, "engineers can only be read here"),
        ("PATCH", "bookstat/1", {"pages": 3}, 405, "'bookstat' takes GET, HEAD, OPTIONS here"),
        ("PATCH", "architect/1", {"name": "x"}, 404, "'architect' has no row '1'"),
    ],
)
def test_what_cannot_be_written_is_refused(
    readable: Everywhere, method: str, url: str, body: Any, status: int, fault: str
) -> None:
    """Computed fields, collections that can't be replaced, selects, and other classes' rows."""
    found, json = send(readable, method, url, body)
    assert (found, json["detail"]) == (status, fault)


def test_each_table_of_a_subclass_is_looked_at_for_duplicates(writable: Everywhere) -> None:
    """What is taken is told of both tables at once, and nothing that isn't."""
    body = {"name": "eve", "language": "go", "badge": "1", "email": "ada@x"}
    status, json = send(writable, "POST", "engineer", body)
    assert status == 409
    assert [e["pointer"] for e in json["errors"]] == ["/email", "/badge"]
    status, json = send(writable, "POST", "engineer", {**body, "badge": "new"})
    assert [e["pointer"] for e in json["errors"]] == ["/email"]
    status, json = send(writable, "POST", "engineer", {"name": "e", "language": "x", "lead_id": 99})
    assert [e["pointer"] for e in json["errors"]] == ["/lead_id"]


def test_a_row_is_deleted_from_all_its_tables(writable: Everywhere) -> None:
    """By the base's resource or the subclass's."""
    assert send(writable, "DELETE", "person/3")[0] == 204
    assert send(writable, "DELETE", "architect/4")[0] == 204
    assert writable.json("/api/engineer?select=id")["data"] == [{"id": 1}]
    for served in writable:
        with served.engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM engineer")) == 1


@pytest.mark.parametrize("item", ["engineer/1", "author/1"])
def test_if_match_is_about_the_row_itself(writable: Everywhere, item: str) -> None:
    """It holds until a column of either table changes, whatever computed fields do."""
    for served in writable:
        url = f"/api/{item}"
        etag = served.get(url).headers["ETag"]
        served.client.post("/api/book", json={"title": "x", "pages": 1, "author_id": 1})
        changed = served.client.patch(url, json={"name": "x"}, headers={"If-Match": etag})
        assert changed.status_code == 200, changed.text
        again = served.client.patch(url, json={"name": "y"}, headers={"If-Match": etag})
        assert again.status_code == 412


def test_a_class_that_loads_its_subclasses(database_url: str) -> None:
    """With with_polymorphic the resource still has the class's own fields, and writes."""

    class Base(DeclarativeBase):
        pass

    class Part(Base):
        __tablename__ = "part"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {  # noqa: RUF012
            "polymorphic_on": "kind",
            "polymorphic_identity": "part",
            "with_polymorphic": "*",
        }

    class Wheel(Part):
        __tablename__ = "wheel"
        id: Mapped[int] = mapped_column(sa.ForeignKey("part.id"), primary_key=True)
        size: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "wheel"}  # noqa: RUF012

    client, engine = _served(database_url, Base, Part, Wheel)
    assert client.post("/api/wheel", json={"size": 3}).json == {"id": 1, "kind": "wheel", "size": 3}
    assert client.get("/api/part/1").json == {"id": 1, "kind": "wheel"}
    assert client.patch("/api/wheel/1?select=size", json={"size": 4}).json == {"size": 4}
    assert client.patch("/api/part/1", json={"kind": "wheel"}).status_code == 200
    assert client.delete("/api/part/1").status_code == 204
    engine.dispose()


def test_a_concrete_base_shows_the_rows_of_its_own_table(database_url: str) -> None:
    """The ORM loads it only from its union with the subclasses, so it can't be written."""

    class Base(DeclarativeBase):
        pass

    class Vehicle(ConcreteBase, Base):
        __tablename__ = "vehicle"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        __mapper_args__ = {"polymorphic_identity": "vehicle", "concrete": True}  # noqa: RUF012

    class Car(Vehicle):
        __tablename__ = "car"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        doors: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "car", "concrete": True}  # noqa: RUF012

    client, engine = _served(database_url, Base, Vehicle, Car)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO vehicle (id, name) VALUES (1, 'v')"))
        connection.execute(sa.text("INSERT INTO car (id, name, doors) VALUES (1, 'c', 2)"))
    assert client.get("/api/vehicle").json["data"] == [{"id": 1, "name": "v"}]
    assert client.get("/api/car/1").json == {"id": 1, "name": "c", "doors": 2}
    assert client.patch("/api/vehicle/1", json={"name": "w"}).status_code == 405
    engine.dispose()


def test_an_abstract_concrete_base_is_refused() -> None:
    """It has no table, so its subclasses are what can be registered."""

    class Base(DeclarativeBase):
        pass

    class Ship(AbstractConcreteBase, Base):
        strict_attrs = True

    with pytest.raises(SchemaError, match=r"Ship.*register its subclasses"):
        Carboy(policy=OPEN).resource(Ship)


def test_tables_of_several_schemas(postgresql_url: str) -> None:
    """Relations lead from one schema of PostgreSQL to another."""

    class Base(DeclarativeBase):
        pass

    class Owner(Base):
        __tablename__ = "order"
        __table_args__ = {"schema": "Sales"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(unique=True)
        houses: Mapped[list[House]] = relationship(back_populates="owner")

    class House(Base):
        __tablename__ = "order"
        __table_args__ = {"schema": "estate"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list[str]] = mapped_column(sa.ARRAY(sa.String))
        data: Mapped[Any] = mapped_column(postgresql.JSONB)
        owner_id: Mapped[int] = mapped_column(sa.ForeignKey("Sales.order.id"))
        owner: Mapped[Owner] = relationship(back_populates="houses")

    Owner.registry._class_registry["House"] = House
    with empty_postgresql_database(postgresql_url) as url:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text('CREATE SCHEMA "Sales"'))
            connection.execute(sa.text("CREATE SCHEMA estate"))
        client, same = _served(engine, Base, Owner, House)
        body = {"name": "o", "houses": [{"tags": ["a"], "data": {"x": 1}}]}
        made = client.post("/api/owner?select=name,houses(tags,data)", json=body)
        assert made.json == body
        assert client.post("/api/owner", json={"name": "o"}).json["errors"][0]["pointer"] == "/name"
        asked = "select=id,owner!inner(name)&tags=cs.{a}&data->>x=eq.1"
        found = client.get(f"/api/house?{asked}")
        assert found.status_code == 200, found.text
        assert found.json["data"] == [{"id": 1, "owner": {"name": "o"}}]
        assert client.patch("/api/house/1?select=tags", json={"tags": []}).json == {"tags": []}
        same.dispose()


def test_a_class_is_registered_before_what_it_relates_to_exists(database_url: str) -> None:
    """Relationships are resolved when the API is built."""
    app = flask.Flask("late")
    engine = sa.create_engine(database_url)
    api = Carboy(app, engine, policy=OPEN)

    class Base(DeclarativeBase):
        pass

    class Parent(Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        children: Mapped[list[Any]] = relationship("LateChild")

    api.resource(Parent)

    class LateChild(Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(sa.ForeignKey("parent.id"))

    api.resource(LateChild)
    Base.metadata.create_all(engine)
    assert app.test_client().get("/api/parent?select=id,children(id)").status_code == 200
    engine.dispose()


def test_a_resource_that_comes_too_late_is_refused() -> None:
    """After the first request of any application, a resource would be missing there."""
    engine = sa.create_engine("sqlite://")
    api = Carboy(policy=OPEN)
    first, second = flask.Flask("first"), flask.Flask("second")
    api.init_app(first, engine)
    api.init_app(second, engine)
    api.resource(mapped.Region)
    assert first.test_client().get("/api").status_code == 200
    with pytest.raises(SchemaError, match="'town' is registered after the API was first used"):
        api.resource(mapped.Town)
    engine.dispose()


def _served(source: str | sa.Engine, base: type[DeclarativeBase], *classes: type[Any]) -> Any:
    """A client and the engine of an application with these classes, under their own names."""
    engine = source if isinstance(source, sa.Engine) else sa.create_engine(source)
    app = flask.Flask("models")
    api = Carboy(app, engine, policy=OPEN)
    for class_ in classes:
        api.resource(class_, name=class_.__name__.lower())
    base.metadata.create_all(engine)
    return app.test_client(), engine
