"""What a MariaDB database holds: rows, sequences and definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pymysql.cursors import Cursor

from .manifest import Contents, Table, digest_of
from .programs import Step

TABLES = ("BASE TABLE", "SYSTEM VERSIONED")
_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")
_OTHERS = {
    "trigger": (
        "SELECT trigger_name, event_manipulation, event_object_table, action_timing, "
        "action_statement, sql_mode FROM information_schema.triggers WHERE trigger_schema = %s"
    ),
    "routine": (
        "SELECT CONCAT(LOWER(routine_type), ' ', routine_name), dtd_identifier, "
        "routine_definition, sql_mode, security_type, is_deterministic "
        "FROM information_schema.routines WHERE routine_schema = %s"
    ),
    "event": (
        "SELECT event_name, event_definition, interval_value, interval_field, sql_mode "
        "FROM information_schema.events WHERE event_schema = %s"
    ),
}


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return "`" + name.replace("`", "``") + "`"


def rows(cursor: Cursor, query: str, *values: object) -> Sequence[tuple[Any, ...]]:
    """What a query answers."""
    cursor.execute(query, values)
    return cursor.fetchall()


def relations(cursor: Cursor, database: str) -> Sequence[tuple[str, str, bool]]:
    """Tables, views and sequences: name, type, and whether its engine knows transactions."""
    return rows(
        cursor,
        "SELECT table_name, table_type, table_type = 'VIEW' OR e.transactions = 'YES' "
        "FROM information_schema.tables t LEFT JOIN information_schema.engines e USING (engine) "
        "WHERE table_schema = %s ORDER BY table_name",
        database,
    )


def named(listed: Sequence[tuple[str, str, bool]], *kinds: str) -> list[str]:
    """The names of relations of some kinds."""
    return [name for name, kind, _ in listed if kind in kinds]


def sequences(cursor: Cursor, database: str) -> dict[str, int]:
    """The next values of AUTO_INCREMENT columns and of sequences."""
    found = rows(
        cursor,
        "SELECT table_name, auto_increment FROM information_schema.tables "
        "WHERE table_schema = %s AND auto_increment IS NOT NULL",
        database,
    )
    values = {name: int(value) for name, value in found}
    for name in named(relations(cursor, database), "SEQUENCE"):
        query = f"SELECT next_not_cached_value FROM {quoted(database)}.{quoted(name)}"  # noqa: S608
        values[name] = int(rows(cursor, query)[0][0])
    return values


def contents(cursor: Cursor, database: str, before: dict[str, int], step: Step) -> Contents:
    """What is there now; ``before`` has the sequences as they were before the dump."""
    listed = relations(cursor, database)
    names = named(listed, *TABLES)
    tables: dict[str, Table] = {}
    for number, name in enumerate(names):
        step("compare", number, len(names))
        tables[name] = _hashed(cursor, database, name)
    alembic: list[str] = []
    if "alembic_version" in tables:
        query = f"SELECT version_num FROM {quoted(database)}.alembic_version"  # noqa: S608
        alembic = sorted(row[0] for row in rows(cursor, query))
    after = sequences(cursor, database)
    both = {name: sorted((value, after[name])) for name, value in before.items()}
    return Contents(
        tables=tables,
        schema=dict(sorted(definitions(cursor, database, listed))),
        sequences={name: (least, most) for name, (least, most) in both.items()},
        alembic=alembic,
    )


def _hashed(cursor: Cursor, database: str, table: str) -> Table:
    columns = rows(
        cursor,
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        database,
        table,
    )
    # A hash of each value, so that none of the texts in between is larger than a packet.
    values = ", ".join(f"IFNULL(SHA2(CAST({quoted(n)} AS BINARY), 256), '-')" for (n,) in columns)
    halves = ", ".join(
        f"IFNULL(SUM(CAST(CONV(SUBSTR(h, {start}, 16), 16, 10) AS DECIMAL(20))), 0)"
        for start in (1, 17)
    )
    number, *hashes = rows(
        cursor,
        f"SELECT COUNT(*), {halves} FROM "  # noqa: S608  names of the schema, quoted
        f"(SELECT SHA2(CONCAT_WS(',', {values}), 256) h "
        f"FROM {quoted(database)}.{quoted(table)}) hashes",
    )[0]
    return Table(number, ":".join(map(str, hashes)))


def definitions(
    cursor: Cursor, database: str, listed: Sequence[tuple[str, str, bool]]
) -> Iterator[tuple[str, str]]:
    """Each object of the schema, and a hash of its definition."""
    for name, kind, _ in listed:
        if kind == "SEQUENCE":
            yield f"sequence {name}", ""
            continue
        word = "view" if kind == "VIEW" else "table"
        text = rows(cursor, f"SHOW CREATE {word} {quoted(database)}.{quoted(name)}")[0][1]
        # A scratch database has another name.
        text = _COUNTER.sub("", text).replace(f"{quoted(database)}.", "")
        yield f"{word} {name}", digest_of(text)
    for word, query in _OTHERS.items():
        for name, *parts in rows(cursor, query, database):
            text = "\n".join(map(str, parts)).replace(f"{quoted(database)}.", "")
            yield f"{word} {name}", digest_of(text)
