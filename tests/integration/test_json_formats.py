"""The table of formats in docs/reference/json.md: every kind of value, alike on every database."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from msgspec import Struct

from carboy import OPEN, Carboy

from .everywhere import Everywhere, served_everywhere

UTC = dt.UTC
LONG = bytes(range(256))


class Plain(enum.Enum):
    """Values that differ from their names, and from their names' order."""

    SMALL = "z-small"
    LARGE = "a large"


class Numbered(enum.IntEnum):
    """Whole numbers as values."""

    LOW = 1
    HIGH = 10


class Case(Struct, frozen=True):
    """A column type, the values stored in it, and what JSON shows for each, in rising order.

    NULL comes last. ``filters`` says whether a filter takes the same text as JSON shows.
    """

    type: Any
    rows: tuple[tuple[Any, Any], ...]
    info: dict[str, str] = {}
    ordered: bool = True
    grouped: bool = True
    filters: bool = True


def _aware(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def _naive(*parts: int) -> dt.datetime:
    return dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001  naive columns


def _same(*values: Any) -> tuple[tuple[Any, Any], ...]:
    return tuple((value, value) for value in values)


CASES = {
    "integers": Case(sa.Integer(), _same(-(2**31), -1, 0, 1, 2**31 - 1)),
    "smalls": Case(sa.SmallInteger(), _same(-(2**15), 0, 2**15 - 1)),
    "bigs": Case(sa.BigInteger(), _same(-(2**63), 0, 2**53 + 1, 2**63 - 1)),
    "big_strings": Case(
        sa.BigInteger(),
        tuple((n, str(n)) for n in (-(2**63), 0, 2**53 + 1, 2**63 - 1)),
        info={"json": "string"},
    ),
    "floats": Case(
        sa.Float(),
        _same(-1e308, -0.5, 0.0, 5e-324, 0.1, 0.1 + 0.2, 1.0, 123456789.123456789, 1e22, 1.7e308),
    ),
    "numerics": Case(
        sa.Numeric(14, 4),
        (
            (Decimal("-99999.9999"), "-99999.9999"),
            (Decimal(0), "0.0000"),
            (Decimal("0.1"), "0.1000"),
            (Decimal("19.99"), "19.9900"),
            (Decimal("9999999999.9999"), "9999999999.9999"),
        ),
    ),
    "whole_numerics": Case(
        sa.Numeric(10, 0), ((Decimal(-5), "-5"), (Decimal(0), "0"), (Decimal(1200), "1200"))
    ),
    "free_numerics": Case(
        sa.Numeric(),
        (
            (Decimal("-2.5"), "-2.5"),
            (Decimal("0.0000001"), "0.0000001"),
            (Decimal("1.50"), "1.5"),
            (Decimal(100), "100"),
        ),
    ),
    "booleans": Case(sa.Boolean(), _same(False, True)),
    "texts": Case(
        sa.Text(),
        _same(
            "",
            "\x01\x1f\x7f",
            " ",
            '"quoted"',
            "'; --",
            "1",
            "\\n",
            "a\nb\tc",
            "null",
            "x" * 5000,
            "é",
            "日本",
            "😀\u200d",
        ),
    ),
    "enums": Case(sa.Enum(Plain), ((Plain.SMALL, "z-small"), (Plain.LARGE, "a large"))),
    "number_enums": Case(sa.Enum(Numbered), ((Numbered.LOW, 1), (Numbered.HIGH, 10))),
    "value_enums": Case(
        sa.Enum(Plain, values_callable=lambda e: [m.value for m in e], name="by_value"),
        ((Plain.SMALL, "z-small"), (Plain.LARGE, "a large")),
    ),
    "text_enums": Case(
        sa.Enum("it's", "b", "a b", name="text_enum", native_enum=False),
        _same("it's", "b", "a b"),
    ),
    "aware": Case(
        sa.DateTime(timezone=True),
        (
            (_aware(1, 1, 1), "0001-01-01T00:00:00.000000Z"),
            (_aware(1969, 12, 31, 23, 59, 59, 999999), "1969-12-31T23:59:59.999999Z"),
            (_aware(2024, 2, 29, 12, 30), "2024-02-29T12:30:00.000000Z"),
            (_aware(2024, 2, 29, 12, 30, 0, 1), "2024-02-29T12:30:00.000001Z"),
            (_aware(9999, 12, 31, 23, 59, 59, 999999), "9999-12-31T23:59:59.999999Z"),
        ),
    ),
    "naive": Case(
        sa.DateTime(),
        (
            (_naive(1, 1, 1), "0001-01-01T00:00:00.000000Z"),
            (_naive(1969, 7, 20, 20, 17, 40), "1969-07-20T20:17:40.000000Z"),
            (_naive(9999, 12, 31, 23, 59, 59, 999999), "9999-12-31T23:59:59.999999Z"),
        ),
    ),
    "dates": Case(
        sa.Date(),
        tuple((dt.date.fromisoformat(d), d) for d in ("0001-01-01", "1969-07-20", "9999-12-31")),
    ),
    "times": Case(
        sa.Time(),
        (
            (dt.time(), "00:00:00.000000"),
            (dt.time(12, 30), "12:30:00.000000"),
            (dt.time(23, 59, 59, 999999), "23:59:59.999999"),
        ),
    ),
    "intervals": Case(
        sa.Interval(),
        (
            (dt.timedelta(days=-2, microseconds=1), -172799.999999),
            (dt.timedelta(0), 0),
            (dt.timedelta(microseconds=1), 0.000001),
            (dt.timedelta(hours=36, milliseconds=500), 129600.5),
            (dt.timedelta(days=20000, microseconds=1), 1728000000.000001),
        ),
    ),
    "uuids": Case(sa.Uuid(), tuple((u, str(u)) for u in (uuid.UUID(int=0), uuid.UUID("f" * 32)))),
    "text_uuids": Case(
        sa.Uuid(native_uuid=False),
        tuple((u, str(u)) for u in (uuid.UUID(int=1), uuid.UUID("0123456789abcdef" * 2))),
    ),
    "bytes": Case(
        sa.LargeBinary(),
        (
            (b"", ""),
            (b"\x00\xff", "AP8="),
            (b"text", "dGV4dA=="),
            (b"z" * 120, "enp6" * 40),
        ),
    ),
    "documents": Case(
        sa.JSON(none_as_null=True),
        _same(
            {"ü": ["\u2028", '"', "\\", "\n", "😀"], "n": None},
            {"deep": {"a": [[[{"b": [1, 2.5, True, False, "x"]}]]]}},
            [],
            {},
            "text",
            "",
            0,
            1.5,
            -1e300,
            2**60,
            True,
            False,
        ),
        ordered=False,
        grouped=False,
        filters=False,
    ),
}


def _build(api: Carboy, engine: sa.Engine) -> None:
    """One table a case: each row's number and value, and at the end NULL."""
    metadata = sa.MetaData()
    for name, case in CASES.items():
        table = sa.Table(
            name,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("value", case.type, info=case.info),
        )
        api.resource(table)
    metadata.create_all(engine)
    with engine.begin() as connection:
        for name, case in CASES.items():
            values = [stored for stored, _ in case.rows]
            rows = [{"id": i, "value": v} for i, v in enumerate([*values, None])]
            connection.execute(metadata.tables[name].insert(), rows)


@pytest.fixture(scope="module")
def kinds(
    servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Everywhere]:
    """A table for each case."""
    folder = tmp_path_factory.mktemp("kinds")
    with served_everywhere(servers, folder, _build) as pair:
        yield pair


def _shown(name: str) -> list[Any]:
    return [*(shown for _, shown in CASES[name].rows), None]


def _ids(name: str) -> list[int]:
    return list(range(len(CASES[name].rows) + 1))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _typed(value: Any) -> Any:
    """With the type beside it, since 1 equals True in Python."""
    return (isinstance(value, bool), isinstance(value, str), value)


@pytest.mark.parametrize("name", CASES)
def test_a_value_has_one_format(kinds: Everywhere, name: str) -> None:
    """A list shows each value as the table of formats says, and NULL as null."""
    data = kinds.json(f"/api/{name}?order=id")["data"]
    assert [_typed(row["value"]) for row in data] == [_typed(v) for v in _shown(name)]


@pytest.mark.parametrize("name", CASES)
def test_an_item_shows_the_same(kinds: Everywhere, name: str) -> None:
    """An item's value is the one in the list."""
    for id_, shown in zip(_ids(name), _shown(name), strict=True):
        assert kinds.json(f"/api/{name}/{id_}") == {"id": id_, "value": shown}


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].filters])
def test_what_is_shown_can_be_filtered_by(kinds: Everywhere, name: str) -> None:
    """eq, in and isdistinct take the text that JSON shows."""
    rows = len(CASES[name].rows)
    for id_, shown in enumerate(_shown(name)[:-1]):
        text = quote(_text(shown), safe="")
        assert kinds.json(f"/api/{name}?select=id&value=eq.{text}")["data"] == [{"id": id_}]
        quoted = quote('"' + _text(shown).replace("\\", "\\\\").replace('"', '\\"') + '"')
        assert kinds.json(f"/api/{name}?select=id&value=in.({quoted})")["data"] == [{"id": id_}]
        others = kinds.json(f"/api/{name}?select=id&value=isdistinct.{text}")["data"]
        assert len(others) == rows


@pytest.mark.parametrize("name", CASES)
def test_null_is_found(kinds: Everywhere, name: str) -> None:
    """is.null finds the one NULL, and not.is.null the rest."""
    *some, none = _ids(name)
    assert kinds.json(f"/api/{name}?select=id&value=is.null")["data"] == [{"id": none}]
    found = kinds.json(f"/api/{name}?select=id&value=not.is.null&order=id")["data"]
    assert [row["id"] for row in found] == some


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].ordered])
def test_order_is_the_values_own(kinds: Everywhere, name: str) -> None:
    """Rising, NULL last; falling, NULL first; and either place on demand."""
    ids = _ids(name)
    for order, expected in (
        ("value", ids),
        ("value.desc", ids[::-1]),
        ("value.nullsfirst", [ids[-1], *ids[:-1]]),
        ("value.desc.nullslast", [*ids[-2::-1], ids[-1]]),
    ):
        found = kinds.json(f"/api/{name}?select=id&order={order}")["data"]
        assert [row["id"] for row in found] == expected


@pytest.mark.parametrize("direction", ["", ".desc", ".nullsfirst", ".desc.nullslast"])
@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].ordered])
def test_a_cursor_goes_through_every_kind(kinds: Everywhere, name: str, direction: str) -> None:
    """Page after page of one row gives each row once, in order."""
    url = f"/api/{name}?select=id&order=value{direction}"
    whole = [row["id"] for row in kinds.json(url)["data"]]
    found, after = [], ""
    for _ in whole:
        page = kinds.json(f"{url}&limit=1{after}")
        found += [row["id"] for row in page["data"]]
        after = f"&after={page['next']}"
    assert found == whole
    assert page["next"] is None


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].ordered and CASES[n].filters])
def test_comparisons_agree_with_the_order(kinds: Everywhere, name: str) -> None:
    """gt finds the rows after, lte the others; a kind without an order is a 400 for both."""
    ids = _ids(name)[:-1]
    for id_, shown in enumerate(_shown(name)[:-1]):
        text = quote(_text(shown), safe="")
        statuses = [r.status_code for r in kinds.get(f"/api/{name}?value=gt.{text}")]
        if name == "bytes":
            assert set(statuses) == {400}
            continue
        after = kinds.json(f"/api/{name}?select=id&value=gt.{text}&order=id")["data"]
        before = kinds.json(f"/api/{name}?select=id&value=lte.{text}&order=id")["data"]
        assert [row["id"] for row in after] == ids[id_ + 1 :]
        assert [row["id"] for row in before] == ids[: id_ + 1]


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].grouped])
def test_groups_show_the_same(kinds: Everywhere, name: str) -> None:
    """A grouped value has the same format."""
    data = kinds.json(f"/api/{name}?select=value,count()")["data"]
    assert all(row["count"] == 1 for row in data)
    assert [row["value"] for row in data] == _shown(name)


@pytest.mark.parametrize(
    "name", ["integers", "floats", "numerics", "texts", "aware", "naive", "dates", "times"]
)
def test_extremes_show_the_same(kinds: Everywhere, name: str) -> None:
    """min() and max() have the value's own format."""
    answer = kinds.json(f"/api/{name}?select=low:value.min(),high:value.max()")
    shown = _shown(name)
    assert answer["data"] == [{"low": shown[0], "high": shown[-2]}]


# What is stored by raw SQL, and what JSON shows for it.
POSTGRESQL = [
    ("TIMESTAMPTZ", sa.DateTime(timezone=True), "'infinity'", None),
    ("TIMESTAMPTZ", sa.DateTime(timezone=True), "'-infinity'", None),
    ("TIMESTAMP", sa.DateTime(), "'infinity'", None),
    ("TIMESTAMP", sa.DateTime(), "'0044-03-15 12:00 BC'", "0044-03-15T12:00:00.000000Z BC"),
    ("TIMESTAMP", sa.DateTime(), "'20000-01-01'", "20000-01-01T00:00:00.000000Z"),
    (
        "TIMESTAMPTZ",
        sa.DateTime(timezone=True),
        "'2024-01-01 00:00+05:30'",
        "2023-12-31T18:30:00.000000Z",
    ),
    ("DATE", sa.Date(), "'infinity'", None),
    ("DATE", sa.Date(), "'-infinity'", None),
    ("DATE", sa.Date(), "'0044-03-15 BC'", "0044-03-15 BC"),
    ("DATE", sa.Date(), "'20000-01-01'", "20000-01-01"),
    ("TIMETZ", sa.Time(timezone=True), "'12:00:00+02'", "12:00:00+02"),
    ("INTERVAL", sa.Interval(), "'1 day 00:00:01.5'", 86401.5),
    ("INTERVAL", sa.dialects.postgresql.INTERVAL(), "'-1 second'", -1),
    ("FLOAT8", sa.Float(), "'NaN'", None),
    ("FLOAT8", sa.Float(), "'-Infinity'", None),
    ("REAL", sa.REAL(), "0.1", 0.1),
    ("NUMERIC", sa.Numeric(), "'NaN'", None),
    ("NUMERIC", sa.Numeric(), "'Infinity'", None),
    (
        "NUMERIC(60,10)",
        sa.Numeric(60, 10),
        "12345678901234567890123456789.0123456789",
        "12345678901234567890123456789.0123456789",
    ),
    ("NUMERIC", sa.Numeric(), "100.500", "100.5"),
    ("JSONB", sa.dialects.postgresql.JSONB(), """'{"a": [1, null]}'""", {"a": [1, None]}),
    ("JSON", sa.JSON(), "'null'", None),
    ("INTEGER[]", sa.ARRAY(sa.Integer), "'{1,NULL,3}'", [1, None, 3]),
    ("INTEGER[]", sa.ARRAY(sa.Integer), "'{{1,2},{3,4}}'", [[1, 2], [3, 4]]),
    ("TEXT[]", sa.ARRAY(sa.Text), """'{"a,b","\\"",""}'""", ["a,b", '"', ""]),
    ("TEXT[]", sa.ARRAY(sa.Text), "'{}'", []),
    ("INET", sa.dialects.postgresql.INET(), "'10.0.0.1/8'", "10.0.0.1/8"),
    ("CIDR", sa.dialects.postgresql.CIDR(), "'10.0.0.0/8'", "10.0.0.0/8"),
    ("MACADDR", sa.dialects.postgresql.MACADDR(), "'08:00:2b:01:02:03'", "08:00:2b:01:02:03"),
    ("INT4RANGE", sa.dialects.postgresql.INT4RANGE(), "'[1,5)'", "[1,5)"),
    ("BIT(3)", sa.dialects.postgresql.BIT(3), "'101'", "101"),
    ("POINT", sa.types.NullType(), "'(1,2)'", "(1,2)"),
    ("XML", sa.types.NullType(), "'<a/>'", "<a/>"),
    ("MONEY", sa.types.NullType(), "1.5", "$1.50"),
    ("CHAR(5)", sa.CHAR(5), "'ab'", "ab   "),
    ("BYTEA", sa.LargeBinary(), "decode(repeat('ab', 100), 'hex')", "q6ur" * 33 + "qw=="),
]


def _stored(pair_engine: sa.Engine, definition: str, literal: str) -> None:
    with pair_engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS raw_values")
        connection.exec_driver_sql(f"CREATE TABLE raw_values (id int PRIMARY KEY, v {definition})")
        connection.exec_driver_sql(f"INSERT INTO raw_values VALUES (1, {literal}), (2, NULL)")


def _serve_raw(type_: Any, engine: sa.Engine) -> Any:
    import flask

    app = flask.Flask(__name__)
    api = Carboy(app, engine, policy=OPEN)
    table = sa.Table(
        "raw_values",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("v", type_),
    )
    api.resource(table)
    return app.test_client()


def _assert_survives(client: Any, shown: Any) -> None:
    """Whatever else is asked about the value, nothing breaks."""
    answer = client.get("/api/raw_values?order=id")
    assert answer.status_code == 200, answer.text
    assert answer.json["data"] == [{"id": 1, "v": shown}, {"id": 2, "v": None}]
    assert client.get("/api/raw_values/1").json == {"id": 1, "v": shown}
    for query in (
        "order=v",
        "order=v.desc&limit=1",
        "select=v,count()",
        "select=v.min()",
        "v=is.null",
        "v=eq.x",
        "v=eq.1",
        "v=in.(1,2)",
        "v=like.*",
        "v=cs.{1}",
        "v=gt.1",
        "v=isdistinct.1",
        "v->>a=eq.1",
    ):
        assert client.get(f"/api/raw_values?{query}").status_code in (200, 400), query


@pytest.mark.parametrize(("definition", "type_", "literal", "shown"), POSTGRESQL)
def test_what_only_postgresql_has(
    kinds: Everywhere, definition: str, type_: Any, literal: str, shown: Any
) -> None:
    """Types of its own are text, arrays are arrays, and what JSON can't say is null."""
    _stored(kinds.postgresql.engine, definition, literal)
    _assert_survives(_serve_raw(type_, kinds.postgresql.engine), shown)


SQLITE = [
    (sa.Text(), "x'00ff'", "AP8="),
    (sa.Text(), "5", "5"),
    (sa.Integer(), "'five'", "five"),
    (sa.Integer(), "x'ff'", "/w=="),
    (sa.BigInteger(), "1.5", 1.5),
    (sa.Float(), "'much'", "much"),
    (sa.Float(), "x'ff'", "\ufffd"),
    (sa.Float(), "9e999", None),
    (sa.Numeric(10, 2), "'much'", "much"),
    (sa.Numeric(10, 2), "1.005", "1.01"),
    (sa.Boolean(), "'yes'", False),
    (sa.Boolean(), "7", True),
    (sa.Boolean(), "x'01'", False),
    (sa.DateTime(), "'not a date'", "not a date"),
    (sa.DateTime(), "'2024-01-01'", "2024-01-01T00:00:00.000000Z"),
    (sa.DateTime(), "'2024-01-01T10:00:00Z'", "2024-01-01T10:00:00.000000Z"),
    (sa.DateTime(), "'2024-01-01 10:00:00+02:00'", "2024-01-01T08:00:00.000000Z"),
    (sa.DateTime(), "'2024-01-01 10:00:00.25'", "2024-01-01T10:00:00.250000Z"),
    (sa.DateTime(), "x'ff'", "/w=="),
    (sa.Date(), "'2024-01-01 10:00:00'", "2024-01-01"),
    (sa.Date(), "x'ff'", "/w=="),
    (sa.Time(), "'10:00:00'", "10:00:00.000000"),
    (sa.Time(), "x'ff'", "/w=="),
    (sa.Interval(), "'x'", None),
    (sa.Interval(), "x'ff'", None),
    (sa.Uuid(), "'not a uuid'", "not a uuid"),
    (sa.Uuid(), "x'ff'", "/w=="),
    (sa.Enum(Plain), "'other'", "other"),
    (sa.Enum(Plain), "x'ff'", "/w=="),
    (sa.LargeBinary(), "'text'", "dGV4dA=="),
    (sa.LargeBinary(), "5", "NQ=="),
    (sa.JSON(), "'{broken'", "{broken"),
    (sa.JSON(), "x'ff'", "/w=="),
    (sa.JSON(), "'[1'", "[1"),
    (sa.JSON(), "5", 5),
    (sa.types.NullType(), "x'ff'", "/w=="),
    (sa.types.NullType(), "7", 7),
    (sa.types.NullType(), "'a'", "a"),
]


@pytest.mark.parametrize(("type_", "literal", "shown"), SQLITE)
def test_what_sqlite_lets_into_any_column(
    kinds: Everywhere, type_: Any, literal: str, shown: Any
) -> None:
    """A value of another type than its column's is shown as it is, a BLOB as base64."""
    definition = type_.compile(kinds.sqlite.engine.dialect) if literal == "5" else ""
    _stored(kinds.sqlite.engine, definition, literal)
    _assert_survives(_serve_raw(type_, kinds.sqlite.engine), shown)


@pytest.mark.parametrize("width", [1, 44, 45, 46, 51, 91, 131, 400])
def test_a_table_may_be_wide(servers: Mapping[str, str], tmp_path: Path, width: int) -> None:
    """Functions take a limited number of arguments; an object has as many keys as it needs."""
    table = sa.Table(
        "wide",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(f"c'{i}", sa.Text) for i in range(width)),
    )
    row = {"id": 1} | {f"c'{i}": f"v{i},}}" for i in range(width)}

    def build(api: Carboy, engine: sa.Engine) -> None:
        api.resource(table)
        table.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(table.insert(), row)

    with served_everywhere(servers, tmp_path, build) as pair:
        assert pair.json("/api/wide") == {"data": [row], "next": None}
        assert pair.json("/api/wide/1") == row
