"""Databases that others made, with what real ones have in them, served by reflection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from flask.testing import FlaskClient

from carboy.schema import Kind
from carboy.serve import Target, TargetError, load
from tests.conftest import empty_postgresql_database, served_client

SQLITE = """
CREATE TABLE "Order" (id INTEGER PRIMARY KEY, "select" TEXT, "a.b" TEXT, "per%cent" TEXT,
    untyped, odd STRING, moment DATETIME, day DATE, clock TIME, data BLOB,
    doubled INTEGER GENERATED ALWAYS AS (id * 2) VIRTUAL);
INSERT INTO "Order" VALUES
    (1, 's', 'ab', 'p', 9, 'text', '2013-01-01', '2013-01-01 10:00:00', '10:00', x'00ff'),
    (2, 't', 'cd', 'q', 10, 7, '2013-01-01T12:00:00.123456+01:00', '2013-01-02', '10:00:01', NULL),
    (3, NULL, NULL, NULL, 'ten', NULL, '2013-01-01 23:59:59', NULL, NULL, NULL),
    (9223372036854775807, NULL, NULL, NULL, 2.5, NULL, 'never', NULL, NULL, NULL);
CREATE TABLE kid (id INTEGER PRIMARY KEY, first REFERENCES "ORDER"(ID), second REFERENCES "Order",
    gone REFERENCES missing(id), lost REFERENCES "Order"(nope), parent REFERENCES kid);
INSERT INTO kid VALUES (1, 1, 2, 5, 5, NULL), (2, 2, 2, NULL, NULL, 1);
CREATE TABLE pair (x INT, y INT, z INT, PRIMARY KEY (x, y),
    FOREIGN KEY (y, z) REFERENCES pair (x, y));
INSERT INTO pair VALUES (1, 2, NULL), (3, 1, 2);
CREATE TABLE wrong (x INT, y INT, FOREIGN KEY (x, y) REFERENCES kid);
CREATE TABLE keyless (a INT, b TEXT);
INSERT INTO keyless VALUES (1, 'x');
CREATE TABLE compact (code TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE follows (one REFERENCES kid, two REFERENCES kid, since TEXT, UNIQUE (one, two));
INSERT INTO follows VALUES (1, 2, NULL);
CREATE TABLE "with/slash" (id INTEGER PRIMARY KEY);
CREATE TABLE "with slash" (id INTEGER PRIMARY KEY);
CREATE TABLE carboy_state (id INTEGER PRIMARY KEY);
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE VIEW tally AS SELECT second AS item, count(*) AS n FROM kid GROUP BY second;
CREATE VIEW broken AS SELECT * FROM nowhere;
CREATE VIRTUAL TABLE words USING fts5 (body);
"""

POSTGRESQL = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN positive AS integer CHECK (value > 0);
CREATE TYPE compound AS (a int, b text);
CREATE TABLE "Order" (id serial PRIMARY KEY, "select" text, "a.b" text, "per%cent" text,
    "co:lon" int, "it's" text, mood mood, moods mood[], amount positive, amounts positive[],
    both_parts compound, numbers int[], moments timestamptz[], span int4range,
    spans int4multirange, times tstzrange, address inet, net cidr, mac macaddr, price money,
    bits bit(3), more_bits bit varying(5), words tsvector, doc xml, place point, shape polygon,
    object oid, class regclass, long interval, zoned timetz, clock time, naive timestamp,
    moment timestamptz, day date, code uuid, data bytea, j json, jb jsonb, path jsonpath,
    position pg_lsn, letter "char", ident name, exact numeric, money numeric(10,2), small real,
    double double precision, yes boolean, short smallint, big bigint, fixed char(4),
    made int GENERATED ALWAYS AS (1 + 1) STORED);
INSERT INTO "Order" ("select", "a.b", "per%cent", "co:lon", "it's", mood, moods, amount, amounts,
    both_parts, numbers, moments, span, spans, times, address, net, mac, price, bits, more_bits,
    words, doc, place, shape, object, class, long, zoned, clock, naive, moment, day, code, data,
    j, jb, path, position, letter, ident, exact, money, small, double, yes, short, big, fixed)
VALUES ('s', 'ab', 'p', 3, 'q', 'sad', '{sad,happy}', 5, '{1}', '(1,x)', '{1,2}', '{2020-01-01}',
    '[1,5)', '{[1,3)}', '[2020-01-01,2021-01-01)', '10.0.0.9', '10.0.0.0/8', '08:00:2b:01:02:03',
    12.5, B'101', B'11', 'a b', '<a/>', '(1,2)', '((0,0),(1,1),(1,0))', 42, 'pg_class', '1 day',
    '12:00+02', '12:00', '2020-01-01', '2020-01-01Z', '2020-01-01',
    '12345678123456781234567812345678', '\\x00ff', '{"a": 1}', '{"a": 1}', '$.a', '0/1', 'c', 'n',
    1.50, 2.5, 1.5, 2.5, true, 1, 5000000000, 'ab');
INSERT INTO "Order" (address) VALUES ('10.0.0.10');
CREATE TABLE kid (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, first int REFERENCES "Order",
    second int REFERENCES "Order", parent int REFERENCES kid);
INSERT INTO kid (first, second, parent) VALUES (1, 2, NULL), (2, 2, 1);
CREATE TABLE pair (x int, y int, z int, PRIMARY KEY (x, y), FOREIGN KEY (y, z) REFERENCES pair);
INSERT INTO pair VALUES (1, 2, NULL), (3, 1, 2);
CREATE TABLE keyless (a int, b text);
INSERT INTO keyless VALUES (1, 'x');
CREATE TABLE follows (one int REFERENCES kid, two int REFERENCES kid, UNIQUE (one, two));
INSERT INTO follows VALUES (1, 2);
CREATE TABLE "with/slash" (id int PRIMARY KEY);
CREATE TABLE "with slash" (id int PRIMARY KEY);
CREATE TABLE carboy_state (id int PRIMARY KEY);
CREATE VIEW tally AS SELECT second AS item, count(*) AS n FROM kid GROUP BY second;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM kid;
CREATE TABLE part (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE SCHEMA other;
CREATE TABLE other.thing (id int PRIMARY KEY, up int REFERENCES other.thing,
    out int REFERENCES kid);
CREATE TABLE abroad (id int PRIMARY KEY, thing int REFERENCES other.thing);
"""


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nasty SQLite file."""
    path = tmp_path_factory.mktemp("reflect") / "nasty ?#%.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SQLITE)
    connection.close()
    return path


@pytest.fixture(scope="module")
def postgresql_database(postgresql_url: str) -> Iterator[str]:
    """The nasty PostgreSQL database."""
    with empty_postgresql_database(postgresql_url) as url:
        plain = url.replace("+psycopg", "")
        with psycopg.connect(plain) as connection:
            connection.execute(POSTGRESQL.encode())
        yield url


@pytest.fixture
def sqlite(sqlite_file: Path) -> Iterator[FlaskClient]:
    """The API of the SQLite file."""
    with served_client(str(sqlite_file)) as client:
        yield client


@pytest.fixture
def postgresql(postgresql_database: str) -> Iterator[FlaskClient]:
    """The API of the PostgreSQL database."""
    with served_client(postgresql_database) as client:
        yield client


@pytest.fixture(params=["sqlite", "postgresql"])
def client(request: pytest.FixtureRequest) -> FlaskClient:
    """Each API in turn, for what both have."""
    client: FlaskClient = request.getfixturevalue(request.param)
    return client


def _names(client: FlaskClient) -> list[str]:
    return [entry["name"] for entry in client.get("/api").get_json()["resources"]]


def _data(client: FlaskClient, url: str) -> list[dict[str, object]]:
    answer = client.get(f"/api/{url}")
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, object]] = answer.get_json()["data"]
    return rows


def test_sqlite_shows_tables_and_views_but_nothing_internal(sqlite: FlaskClient) -> None:
    """Left out are virtual tables and their shadows, SQLite's and Carboy's own, broken views."""
    assert _names(sqlite) == [
        "Order", "compact", "counted", "follows", "keyless", "kid", "pair", "tally",
        "with_slash", "with_slash_2", "wrong",
    ]  # fmt: skip


def test_postgresql_shows_one_schema(postgresql: FlaskClient) -> None:
    """The public schema's tables, partitions, views and materialized views are there."""
    assert _names(postgresql) == [
        "Order", "abroad", "follows", "kept", "keyless", "kid", "pair", "part", "tally",
        "with_slash", "with_slash_2",
    ]  # fmt: skip


def test_another_schema_is_served_alone(postgresql_database: str) -> None:
    """--schema shows that schema; references out of it are columns without a relation."""
    with served_client(postgresql_database, schema="other") as client:
        assert _names(client) == ["thing"]
        assert _data(client, "thing?select=id,up(id)") == []
        assert client.get("/api/thing?select=out(id)").status_code == 400
    with pytest.raises(TargetError, match=r"no schema 'nope'; there are .*other"):
        load(Target(postgresql_database, schema="nope"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('Order?select="select","a.b","per%25cent"&id=eq.1',
         [{"select": "s", "a.b": "ab", "per%cent": "p"}]),
        ('Order?"select"=eq.s&"a.b"=eq.ab&select=id', [{"id": 1}]),
        ("kid?select=id,parent(id),first(id)&order=id",
         [{"id": 1, "parent": None, "first": {"id": 1}},
          {"id": 2, "parent": {"id": 1}, "first": {"id": 2}}]),
        ("Order?select=id,kid!second(id)&id=eq.2", [{"id": 2, "kid": [{"id": 1}, {"id": 2}]}]),
        ("Order?select=id,kid!first(id)&id=eq.2", [{"id": 2, "kid": [{"id": 2}]}]),
        ("kid?select=id,kid!parent(id)&id=eq.1", [{"id": 1, "kid": [{"id": 2}]}]),
        ("kid?select=id,kid!two(id)&id=eq.1", [{"id": 1, "kid": [{"id": 2}]}]),
        ("pair?select=x,pair(x)&x=eq.1", [{"x": 1, "pair": [{"x": 3}]}]),
        ("pair?select=x,z(x,y)&x=eq.3", [{"x": 3, "z": {"x": 1, "y": 2}}]),
        ("keyless", [{"a": 1, "b": "x"}]),
        ("tally?order=n.desc&n=gt.1", [{"item": 2, "n": 2}]),
    ],
)  # fmt: skip
def test_both_answer(client: FlaskClient, query: str, expected: list[dict[str, object]]) -> None:
    """Reserved names, self-references, two keys to one table, composite keys, links and views."""
    assert _data(client, query) == expected


def test_two_keys_to_one_table_need_a_hint(client: FlaskClient) -> None:
    """An ambiguous relation is refused with the hints that tell one from the other."""
    answer = client.get("/api/Order?select=kid(id)")
    assert answer.status_code == 400
    assert "kid!first, kid!second" in answer.get_json()["detail"]


def test_rows_have_an_address_where_there_is_a_key(client: FlaskClient) -> None:
    """Composite keys are written with a comma; tables without a key and views are lists only."""
    assert client.get("/api/pair/3,1").get_json() == {"x": 3, "y": 1, "z": 2}
    assert client.get("/api/keyless/1").status_code == 404
    assert client.get("/api/tally/1").status_code == 404


def test_writable_leaves_out_what_has_no_key(sqlite_file: Path, postgresql_database: str) -> None:
    """With --writable tables take writes, but neither views nor tables without a key do."""
    for target in (str(sqlite_file), postgresql_database):
        with served_client(target, writable=True) as client:
            writable = {
                e["name"]: e["writable"] for e in client.get("/api").get_json()["resources"]
            }
            assert writable["Order"]
            assert not writable["keyless"]
            assert not writable["tally"]


def test_sqlite_integers_have_64_bits(sqlite: FlaskClient) -> None:
    """INTEGER is what other databases call bigint."""
    assert _data(sqlite, "Order?id=eq.9223372036854775807&select=id") == [
        {"id": 9223372036854775807}
    ]


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("moment=eq.2013-01-01T00:00:00Z", [1]),
        ("moment=eq.2013-01-01T11:00:00.123456Z", [2]),
        ("moment=gt.2013-01-01T11:00:00.123455Z&moment=lt.2014-01-01", [2, 3]),
        ("day=eq.2013-01-01", [1]),
        ("clock=eq.10:00:00", [1]),
        ("clock=gt.10:00", [2]),
        ("moment=in.(2013-01-01,2013-01-01T23:59:59Z)", [1, 3]),
        ("untyped=gt.9", [2, 3]),
        ("untyped=eq.10", [2]),
        ("untyped=eq.ten", [3]),
        ("untyped=lt.9.5&id=lt.100", [1]),
    ],
)
def test_sqlite_compares_whatever_the_spelling(
    sqlite: FlaskClient, condition: str, ids: list[int]
) -> None:
    """Dates and times in several spellings, and numbers in columns without a type."""
    assert [r["id"] for r in _data(sqlite, f"Order?{condition}&select=id&order=id")] == ids


def test_sqlite_shows_values_in_one_spelling(sqlite: FlaskClient) -> None:
    """However a timestamp is stored it's shown in UTC; what is none is shown as it is."""
    rows = _data(sqlite, "Order?select=moment,day,clock,untyped,odd,data&order=id")
    assert [row["moment"] for row in rows] == [
        "2013-01-01T00:00:00.000000Z",
        "2013-01-01T11:00:00.123456Z",
        "2013-01-01T23:59:59.000000Z",
        "never",
    ]
    assert (rows[0]["day"], rows[0]["clock"], rows[0]["data"]) == (
        "2013-01-01", "10:00:00.000000", "AP8=",
    )  # fmt: skip
    assert [row["untyped"] for row in rows] == [9, 10, "ten", 2.5]
    assert [row["odd"] for row in rows] == ["text", "7", None, None]


def test_a_cursor_walks_through_untyped_values(sqlite: FlaskClient) -> None:
    """Numbers come before text, as SQLite sorts them, and none is skipped or repeated."""
    found, after = [], ""
    while True:
        page = sqlite.get(f"/api/Order?select=untyped&order=untyped&limit=1{after}").get_json()
        found += [row["untyped"] for row in page["data"]]
        if not page["next"]:
            break
        after = f"&after={page['next']}"
    assert found == [2.5, 9, 10, "ten"]


def test_postgresql_shows_every_type(postgresql: FlaskClient) -> None:
    """Types without a JSON form of their own are text; all appear, and none is refused."""
    row = postgresql.get("/api/Order/1").get_json()
    assert {name: row[name] for name in ("span", "address", "price", "place", "both_parts")} == {
        "span": "[1,5)",
        "address": "10.0.0.9/32",
        "price": "$12.50",
        "place": "(1,2)",
        "both_parts": "(1,x)",
    }
    assert (row["amount"], row["mood"], row["moods"], row["numbers"], row["zoned"]) == (
        5, "sad", ["sad", "happy"], [1, 2], "12:00:00+02",
    )  # fmt: skip


def test_postgresql_filters_orders_and_groups_every_type(postgresql: FlaskClient) -> None:
    """What a field shows finds its row again; every type but JSON and arrays has an order."""
    with postgresql.application.app_context():
        schema = postgresql.application.extensions["carboy"].carboy.schema
    row = postgresql.get("/api/Order/1").get_json()
    for field in schema.resources["Order"].fields.values():
        name = quote(f'"{field.name}"')
        assert _data(postgresql, f"Order?select={name},count()"), field.name
        if field.type.kind in (Kind.JSON, Kind.ARRAY):
            continue
        shown = row[field.name]
        text = quote(str(shown).lower() if isinstance(shown, bool) else str(shown))
        found = _data(postgresql, f"Order?{name}=eq.{text}&select={name}&order={name}")
        assert {field.name: shown} in found


def test_postgresql_orders_addresses_as_addresses(postgresql: FlaskClient) -> None:
    """10.0.0.10 comes after 10.0.0.9, which text would turn round."""
    rows = _data(postgresql, "Order?select=address&address=gt.10.0.0.9&order=address")
    assert rows == [{"address": "10.0.0.10/32"}]
