"""Full-text indexes for ``q=``: without one a search reads every row of its table."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Engine

from ..schema import Resource
from ..sql.dialects.postgresql import search_vector
from ..sql.dialects.sqlite import rowid_name, search_index_name

_LONGEST_NAME = 63
_DEFINITIONS = sa.text(
    "SELECT indexdef FROM pg_indexes WHERE schemaname = :schema AND tablename = :table"
    " AND indexdef LIKE '% USING gin %'"
)


class SearchIndexError(ValueError):
    """The resource can't have a search index; the message says why."""


def create_search_index(engine: Engine, resource: Resource, *, config: str = "simple") -> str:
    """Create or replace the index of a resource's search fields, and answer its name.

    PostgreSQL: a GIN index on the very expression that searches use, in the text search
    configuration ``config`` (CARBOY_SEARCH_CONFIG). SQLite: an FTS5 table that triggers keep up
    to date; servers use it from their next start on. It knows rows by their rowid, which VACUUM
    may change where the key is no single INTEGER: create the index again after one. Raises
    SearchIndexError.
    """
    table = _table(resource)
    if engine.dialect.name == "postgresql":
        name, statements = _postgresql_name(table), _postgresql(resource, table, config)
    elif engine.dialect.name == "sqlite":
        name = search_index_name(resource) or ""
        if not name:
            raise SearchIndexError(f"{table.fullname!r} is in an attached database")
        statements = _sqlite(engine, resource, table, name)
    else:
        raise _no_indexes(engine)
    drop_search_index(engine, resource)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)
    return name


def can_have_index(engine: Engine, resource: Resource) -> bool:
    """Whether ``create_search_index`` could make an index for the resource."""
    if not resource.search or not isinstance(resource.source, sa.Table):
        return False
    if engine.dialect.name == "sqlite":
        return search_index_name(resource) is not None
    return engine.dialect.name == "postgresql"


def has_search_index(engine: Engine, resource: Resource, *, config: str = "simple") -> bool:
    """Whether an index serves the resource's search as it is now; raises SearchIndexError."""
    table = _table(resource)
    names = [field.column.name for field in resource.search]
    if engine.dialect.name == "sqlite":
        inspector, index = sa.inspect(engine), search_index_name(resource) or ""
        found = inspector.get_columns(index) if inspector.has_table(index) else []
        return [column["name"] for column in found] == names
    with engine.connect() as connection:
        schema = table.schema or connection.scalar(sa.text("SELECT current_schema()"))
        values = {"schema": schema, "table": table.name}
        definitions = connection.scalars(_DEFINITIONS, values).all()
    vector = f"to_tsvector('{config}'::regconfig"
    return any(
        vector in text and text.count("COALESCE(") == len(names) and all(n in text for n in names)
        for text in definitions
    )


def drop_search_index(engine: Engine, resource: Resource) -> None:
    """Drop the index, if there is one; restart the servers first on SQLite."""
    table = _table(resource)
    quote = engine.dialect.identifier_preparer.quote
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            schema = f"{quote(table.schema)}." if table.schema else ""
            name = quote(_postgresql_name(table))
            connection.execute(_sql(f"DROP INDEX IF EXISTS {schema}{name}"))
            return
        if engine.dialect.name != "sqlite":
            raise _no_indexes(engine)
        name = search_index_name(resource) or ""
        for event in ("insert", "delete", "update"):
            connection.execute(_sql(f"DROP TRIGGER IF EXISTS {quote(f'{name}_{event}')}"))
        connection.execute(_sql(f"DROP TABLE IF EXISTS {quote(name)}"))


def _no_indexes(engine: Engine) -> SearchIndexError:
    return SearchIndexError(f"there are no search indexes on {engine.dialect.name}")


def _table(resource: Resource) -> sa.Table:
    if not resource.search:
        raise SearchIndexError(f"{resource.name!r} declares no search fields")
    if not isinstance(resource.source, sa.Table):
        raise SearchIndexError(f"{resource.name!r} is no table of its own")
    return resource.source


def _sql(text: str) -> sa.TextClause:
    # Names may hold colons, which mean parameters to text().
    return sa.text(text.replace(":", r"\:"))


def _postgresql_name(table: sa.Table) -> str:
    suffix = "_carboy_search"
    return table.name.encode()[: _LONGEST_NAME - len(suffix)].decode(errors="ignore") + suffix


def _postgresql(resource: Resource, table: sa.Table, config: str) -> Iterator[sa.Executable]:
    # Named parameters leave percent signs alone; text() doubles them where the driver needs it.
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    vector = search_vector([field.column for field in resource.search], config)
    expression = vector.compile(dialect=dialect, compile_kwargs={"include_table": False})
    name = dialect.identifier_preparer.quote(_postgresql_name(table))
    source = dialect.identifier_preparer.format_table(table)
    yield _sql(f"CREATE INDEX {name} ON {source} USING gin (({expression}))")


def _sqlite(
    engine: Engine, resource: Resource, table: sa.Table, name: str
) -> Iterator[sa.Executable]:
    quote = engine.dialect.identifier_preparer.quote

    def literal(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    index, source, rowid = quote(name), quote(table.name), rowid_name(table)
    columns = [quote(field.column.name) for field in resource.search]
    listed = ", ".join(columns)
    yield _sql(
        f"CREATE VIRTUAL TABLE {index} USING fts5({listed}, content={literal(table.name)}, "
        f"content_rowid={literal(rowid)}, tokenize='unicode61 remove_diacritics 0')"
    )
    new = ", ".join(f"new.{column}" for column in (rowid, *columns))
    old = ", ".join(f"old.{column}" for column in (rowid, *columns))
    add = f"INSERT INTO {index} (rowid, {listed}) VALUES ({new});"  # noqa: S608  names of the schema
    remove = f"INSERT INTO {index} ({index}, rowid, {listed}) VALUES ('delete', {old});"  # noqa: S608
    for event, body in (("insert", add), ("delete", remove), ("update", f"{remove} {add}")):
        trigger = quote(f"{name}_{event}")
        yield _sql(f"CREATE TRIGGER {trigger} AFTER {event} ON {source} BEGIN {body} END")
    yield _sql(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")  # noqa: S608
