"""Rows for the tests' schemas, made from a seed: few values, so that ties and matches abound."""

from __future__ import annotations

import datetime as dt
import math
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from tests.databases import in_any_order

from .models import Family, kind_of


@dataclass(frozen=True)
class Json:
    """What a JSON column holds, so that JSON's null is not SQL's."""

    value: Any


Row = dict[str, Any]
Data = Mapping[str, list[Row]]
"""Rows by the table's name, association tables included."""

TEXTS = (
    "", "a", "A", "b", "ab", "aB", "a b", " a", "É", "é", "ß", "Σ", "σ", "ς", "İ", "I", "%", "_",
    "\\", "50%", "a_b", "a\\b", "it's", 'say "x"', "*", "[a]", "a]", "?", "null", "a,b", "(x)",
    "{y}", "☃", "😀", "\t\n", "100%s", ":v0", "\x01\x1f\x7f", "\u2028", "'; --",
    "/", "a//b", "é\n", "..",
)  # fmt: skip
_DAYS = tuple(
    dt.date.fromisoformat(text)
    for text in ("0001-01-01", "1969-12-31", "1970-01-01", "2024-02-29", "2024-03-01", "9999-12-31")
)
_TIMES = (dt.time(), dt.time(12, 30), dt.time(23, 59, 59, 999999), dt.time(0, 0, 0, 1))
_MOMENTS = tuple(dt.datetime.combine(day, time) for day in _DAYS for time in _TIMES)
DOCUMENTS: tuple[Any, ...] = (
    None, 0, 1, 1.5, 1e-7, 1e16, 2**53 + 1, "", "a", "null", 'q"\\', True, False, [], {},
    [1, 2, "x"], [[1], [True]], [None], [{"a": 1}, {"a": 2}], {"a": 1}, {"a": "1"}, {"a": True},
    {"a": None}, {"a": 1.50}, {"a": {"b": [1, {"c": "é☃"}]}}, {"é": "É"}, {"1": "digit", "a": []},
    {"a b": "x", "a.b": 2, "$": 3}, {"a": [1, 2], "b": "\t'"}, {"b": {"a": {"b": 1}}},
    0.1 + 0.2, {"a": 1e16, "b": [1e-7, 1e22]}, [0, [0.1 + 0.2, "é"], {"é": None}],
)  # fmt: skip
VALUES: Mapping[str, tuple[Any, ...]] = {
    "small": (-(2**15), -1, 0, 1, 2, 2**15 - 1),
    "int": (-(2**31), -2, -1, 0, 1, 2, 3, 2**31 - 1),
    "big": (-(2**57), -(2**53) - 1, -1, 0, 1, 2, 3, 4, 5, 2**53, 2**53 + 1, 2**57),
    "float": (0.0, 0.1, 0.2, 0.3, 1 / 3, -2.5, 1e16, 1e-7, 123456789.125),
    "wild": (0.0, 1.0, 1.7976931348623157e308, -1e308, 5e-324, 1e22, float("inf"), float("-inf")),
    "numeric": tuple(
        map(Decimal, ("0.00", "0.10", "0.20", "0.30", "-0.01", "2.25", "99999999.99"))
    ),
    "bool": (True, False),
    "text": TEXTS,
    "date": _DAYS,
    "naive": _MOMENTS,
    "aware": tuple(moment.replace(tzinfo=dt.UTC) for moment in _MOMENTS),
    "uuid": tuple(uuid.UUID(int=n * 0x1234567890ABCDEF1234567) for n in range(40)),
    "json": tuple(map(Json, DOCUMENTS)),
}


def make_data(family: Family, seed: int) -> Data:
    """Every table's rows: some tables are empty, and NULLs are wherever they may be."""
    chance = random.Random(seed)
    data: dict[str, list[Row]] = {}
    for table in family.base.metadata.sorted_tables:
        size = chance.choice((0, 1, 4, 12, 12, 26))
        rows = [_row(table, data, chance) for _ in range(size)]
        data[table.name] = _without_duplicates(table, [row for row in rows if row is not None])
        _point_at_each_other(table, data[table.name], chance)
    return data


def _row(table: sa.Table, data: Data, chance: random.Random) -> Row | None:
    row: Row = {}
    for column in table.columns:
        pool = VALUES.get(kind_of(column)) or tuple(column.type.enum_class)  # type: ignore[attr-defined]
        row[column.key] = chance.choice(pool)
        if column.nullable and chance.random() < 0.3:
            row[column.key] = None
    for constraint in table.foreign_key_constraints:
        targets = [] if constraint.referred_table is table else data[constraint.referred_table.name]
        optional = all(column.nullable for column in constraint.columns)
        target = chance.choice(targets) if targets else None
        if target is None and not optional:
            return None
        if target is None or (optional and chance.random() < 0.25):
            # One NULL in a composite foreign key is enough for it to point nowhere.
            row[constraint.elements[-1].parent.key] = None
            continue
        for element in constraint.elements:
            row[element.parent.key] = target[element.column.key]
    return row


def _point_at_each_other(table: sa.Table, rows: list[Row], chance: random.Random) -> None:
    for constraint in table.foreign_key_constraints:
        if constraint.referred_table is not table:
            continue
        for row in rows:
            target = chance.choice((None, *rows))
            for element in constraint.elements:
                pointer = target[element.column.key] if target else None
                row[element.parent.key] = pointer


def _without_duplicates(table: sa.Table, rows: list[Row]) -> list[Row]:
    keys = [tuple(c.key for c in table.primary_key)]
    keys += [(column.key,) for column in table.columns if column.unique]
    for key in keys:
        seen = {}
        for row in rows:
            value = tuple(row[name] for name in key)
            # A unique column may be NULL in any number of rows.
            seen[id(row) if None in value else value] = row
        rows = list(seen.values())
    return rows


def finite(data: Data) -> Data:
    """The same rows with NULL for infinity, which MariaDB can't store."""
    return {
        name: [
            {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in row.items()}
            for row in rows
        ]
        for name, rows in data.items()
    }


def load(engine: Engine, family: Family, data: Data) -> None:
    """Put the rows, and nothing else, into the database."""
    tables = family.base.metadata.sorted_tables
    with engine.begin() as connection, in_any_order(connection):
        for table in reversed(tables):
            connection.execute(table.delete())
        for table in tables:
            rows = [{k: _stored(value) for k, value in r.items()} for r in data[table.name]]
            if rows:
                connection.execute(table.insert(), rows)


def _stored(value: Any) -> Any:
    if not isinstance(value, Json):
        return value
    return sa.JSON.NULL if value.value is None else value.value
