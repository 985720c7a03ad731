"""How many rows the exposed tables have, what they take, and which indexes are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Engine

EXACT_BELOW = 64 * 2**20
"""Bytes up to which rows are counted one by one."""


class TableFigures(Struct, frozen=True):
    """A table: bytes are None where the database doesn't tell them.

    ``rows`` are counted, or estimated where ``exact`` is false; None where nobody has estimated
    them, which ANALYZE does.
    """

    table: str
    rows: int | None
    exact: bool
    bytes: int | None
    index_bytes: int | None


class IndexFigures(Struct, frozen=True):
    """An index; ``scans`` since the database's statistics began, None where it doesn't count."""

    index: str
    table: str
    bytes: int | None
    scans: int | None


class Figures(Struct, frozen=True):
    """A database: ``bytes`` are its whole size."""

    bytes: int | None
    tables: tuple[TableFigures, ...]
    indexes: tuple[IndexFigures, ...]


class _Found(Struct, frozen=True):
    """What the database's catalogue says of a table; ``rows`` is its estimate, if there is one."""

    name: str
    rows: int | None
    bytes: int | None
    index_bytes: int | None
    size: int
    """What counting reads, in bytes."""


_Find = Callable[
    [sa.Connection, Sequence[sa.Table]], tuple[int | None, list[_Found], list[IndexFigures]]
]


def figures(engine: Engine, tables: Sequence[sa.Table], exact_below: int = EXACT_BELOW) -> Figures:
    """The figures of a database and some of its tables; raises SQLAlchemyError.

    Tables below ``exact_below`` bytes are counted, others estimated; views are left out.
    """
    named = {table.fullname: table for table in tables}
    with engine.connect() as connection:
        size, found, indexes = _FIND[engine.dialect.name](connection, tables)
        counted = [_figures(connection, named, each, exact_below) for each in found]
    return Figures(
        bytes=size,
        tables=tuple(sorted(counted, key=lambda each: each.table)),
        indexes=tuple(sorted(indexes, key=lambda each: (each.table, each.index))),
    )


def _figures(
    connection: sa.Connection, tables: Mapping[str, sa.Table], found: _Found, exact_below: int
) -> TableFigures:
    exact = found.size < exact_below
    rows = found.rows
    if exact:
        rows = connection.scalar(sa.select(sa.func.count()).select_from(tables[found.name]))
    return TableFigures(found.name, rows, exact, found.bytes, found.index_bytes)


# --- PostgreSQL ---

# A partitioned table has nothing of its own: its partitions' rows and bytes are added up.
_POSTGRESQL_TABLES = """
SELECT wanted.name,
       CASE c.relkind WHEN 'p' THEN parts.rows ELSE nullif(c.reltuples, -1) END,
       CASE c.relkind WHEN 'p' THEN parts.bytes ELSE pg_table_size(c.oid) END,
       CASE c.relkind WHEN 'p' THEN parts.index_bytes ELSE pg_indexes_size(c.oid) END
FROM unnest(CAST(:names AS text[]), CAST(:quoted AS text[])) AS wanted(name, quoted)
JOIN pg_class c ON c.oid = to_regclass(wanted.quoted) AND c.relkind IN ('r', 'p', 'm')
LEFT JOIN LATERAL (
    SELECT sum(nullif(p.reltuples, -1)) AS rows,
           sum(pg_table_size(p.oid)) AS bytes, sum(pg_indexes_size(p.oid)) AS index_bytes
    FROM pg_partition_tree(c.oid) tree JOIN pg_class p ON p.oid = tree.relid
    WHERE c.relkind = 'p' AND tree.isleaf
) parts ON true
"""
_POSTGRESQL_INDEXES = """
SELECT i.relname, wanted.name, pg_relation_size(i.oid), s.idx_scan
FROM unnest(CAST(:names AS text[]), CAST(:quoted AS text[])) AS wanted(name, quoted)
JOIN pg_index x ON x.indrelid = to_regclass(wanted.quoted)
JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = x.indexrelid
"""


def _postgresql(
    connection: sa.Connection, tables: Sequence[sa.Table]
) -> tuple[int | None, list[_Found], list[IndexFigures]]:
    preparer = connection.dialect.identifier_preparer
    names = {
        "names": [table.fullname for table in tables],
        "quoted": [preparer.format_table(table) for table in tables],
    }
    found = [
        _Found(name, _whole(rows), _whole(size), _whole(index_size), _whole(size) or 0)
        for name, rows, size, index_size in connection.execute(sa.text(_POSTGRESQL_TABLES), names)
    ]
    indexes = [
        IndexFigures(*row) for row in connection.execute(sa.text(_POSTGRESQL_INDEXES), names)
    ]
    size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
    return size, found, indexes


# --- SQLite ---


def _sqlite(
    connection: sa.Connection, tables: Sequence[sa.Table]
) -> tuple[int | None, list[_Found], list[IndexFigures]]:
    """It knows the size of the whole file only."""
    size = _pragma(connection, "page_count") * _pragma(connection, "page_size")
    schema = connection.execute(sa.text("SELECT type, name, tbl_name FROM sqlite_schema")).all()
    names = {name for _, name, _ in schema}
    estimates: dict[str, int] = {}
    if "sqlite_stat1" in names:
        # The first number of `stat` is the table's.
        stat = sa.text("SELECT tbl, max(CAST(stat AS INTEGER)) FROM sqlite_stat1 GROUP BY tbl")
        estimates = {row[0]: row[1] for row in connection.execute(stat)}
    here = {str(table.name): str(table.fullname) for table in tables if table.name in names}
    found = [_Found(here[name], estimates.get(name), None, None, size) for name in here]
    indexes = [
        IndexFigures(name, here[table], None, None)
        for type_, name, table in schema
        if type_ == "index" and table in here
    ]
    return size, found, indexes


def _pragma(connection: sa.Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


# --- MariaDB ---

_MARIADB_TABLES = """
SELECT table_name, table_rows, data_length, index_length FROM information_schema.tables
WHERE table_schema = coalesce(:schema, database()) AND table_type = 'BASE TABLE'
"""
_MARIADB_INDEXES = """
SELECT DISTINCT index_name, table_name FROM information_schema.statistics
WHERE table_schema = coalesce(:schema, database())
"""
_MARIADB_SIZE = """
SELECT sum(data_length + index_length) FROM information_schema.tables
WHERE table_schema = database()
"""


def _mariadb(
    connection: sa.Connection, tables: Sequence[sa.Table]
) -> tuple[int | None, list[_Found], list[IndexFigures]]:
    found: list[_Found] = []
    indexes: list[IndexFigures] = []
    for schema in {table.schema for table in tables}:
        here = {str(table.name): str(table.fullname) for table in tables if table.schema == schema}
        of = {"schema": schema}
        found += [
            _Found(here[name], rows, size, index_size, size or 0)
            for name, rows, size, index_size in connection.execute(sa.text(_MARIADB_TABLES), of)
            if name in here
        ]
        indexes += [
            IndexFigures(name, here[table], None, None)
            for name, table in connection.execute(sa.text(_MARIADB_INDEXES), of)
            if table in here
        ]
    return _whole(connection.scalar(sa.text(_MARIADB_SIZE))), found, indexes


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


_FIND: Mapping[str, _Find] = {
    "postgresql": _postgresql,
    "sqlite": _sqlite,
    "mysql": _mariadb,
    "mariadb": _mariadb,
}
