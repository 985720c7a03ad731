"""Checks that ask the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause

from ..schema import Relation
from ..sql.dialects.postgresql import PREPARE_THRESHOLD, is_pooled
from .api_keys import list_keys
from .checked import Checked, Fault, listed
from .connections import room
from .search_index import can_have_index, has_search_index

# Other kinds of index don't find rows by equality.
_ORDERED = ("btree", "hash")


def unreachable(app: Checked) -> Iterator[Fault]:
    """Nothing else can be asked."""
    try:
        app.engine.connect().close()
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        yield Fault(
            f"{app.engine.url.set(query={})!r} can't be reached: {reason}",
            "start it, or correct the URL",
        )


def replica(app: Checked) -> Iterator[Fault]:
    """Every read goes to the primary, and writes wait in vain."""
    if app.replica is None or app.engine.dialect.name != "postgresql":
        return
    fix = "correct CARBOY_REPLICA_URL, or leave it out"
    try:
        with app.replica.connect() as connection:
            if connection.scalar(sa.text("SELECT pg_is_in_recovery()")):
                return
        yield Fault(f"CARBOY_REPLICA_URL: {app.replica.url.host} is no replica", fix)
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        yield Fault(f"CARBOY_REPLICA_URL can't be reached: {reason}", f"start it, or {fix}")


def tables(app: Checked) -> Iterator[Fault]:
    """Each request to the resource is a 500."""
    inspector = sa.inspect(app.engine)
    for resource in app.schema.exposed():
        for table in resource.tables:
            if not inspector.has_table(table.name, table.schema):
                yield Fault(
                    f"resource {resource.name!r}: the database has no table {table.fullname!r}",
                    "create it, or correct the database's URL",
                )


def max_connections(app: Checked) -> Iterator[Fault]:
    """The database refuses the connections that are too many."""
    most = room(app.engine) if app.connections is not None else None
    if most is None or app.connections is None:
        return
    if app.workers * app.connections > most:
        yield Fault(
            f"{app.workers} workers with pools of {app.connections} connections may open "
            f"{app.workers * app.connections}; the database has room for {most}",
            "lower pool_size and max_overflow, or the workers; or raise max_connections",
        )


def prepared_statements(app: Checked) -> Iterator[Fault]:
    """The server doesn't know a statement that was prepared on another of its connections."""
    if app.engine.driver != "psycopg":
        return
    with app.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        threshold = driver.prepare_threshold
        if threshold not in (None, PREPARE_THRESHOLD) and is_pooled(driver):
            yield Fault(
                f"a pooler such as PgBouncer is in front of PostgreSQL, and prepare_threshold is "
                f"{threshold}: where it pools transactions, statements fail",
                "leave prepare_threshold out of the engine's connect_args, unless the pooler "
                "keeps prepared statements (PgBouncer's max_prepared_statements)",
            )


def api_keys(app: Checked) -> Iterator[Fault]:
    """A key that has leaked is good for ever."""
    names = [
        f"{key.prefix} ({key.name})"
        for key in list_keys(app.engine)
        if key.status == "active" and key.expires_at is None
    ]
    if names:
        yield Fault(
            f"API keys that never expire: {listed(names)}",
            "make others with carboy keys create --expires, and revoke these",
        )


def search_index(app: Checked) -> Iterator[Fault]:
    """A search reads every row."""
    config = app.settings.search_config
    for resource in app.schema.exposed():
        if can_have_index(app.engine, resource) and not has_search_index(
            app.engine, resource, config=config
        ):
            names = ", ".join(field.name for field in resource.search)
            yield Fault(
                f"resource {resource.name!r}: no index serves the search in {names}",
                "create it: carboy.ops.search_index.create_search_index(engine, "
                f"api.schema.resources[{resource.name!r}], config={config!r})",
            )


def relation_index(app: Checked) -> Iterator[Fault]:
    """Each row of a list that embeds the relation makes the database read the whole table."""
    indexed = _Indexed(app.engine)
    exposed = {resource.name: resource for resource in app.schema.exposed()}
    seen: set[tuple[sa.Column[object], ...]] = set()
    quote = app.engine.dialect.identifier_preparer.quote
    for resource in exposed.values():
        for relation in (r for named in resource.relations.values() for r in named):
            columns = _far_columns(relation) if relation.target in exposed else []
            key = tuple(columns)
            if not columns or key in seen or indexed.serves(columns):
                continue
            seen.add(key)
            table, names = columns[0].table, [column.name for column in columns]
            yield Fault(
                f"{resource.name}.{relation.name}: no index of {table.fullname!r} begins with "
                f"{listed(names)}, so each row of a list scans it",
                f"index=True for the column, or: CREATE INDEX "
                f"{quote('_'.join(['ix', table.name, *names]))} ON "
                f"{app.engine.dialect.identifier_preparer.format_table(table)} "
                f"({', '.join(map(quote, names))})",
            )


def _far_columns(relation: Relation) -> list[sa.Column[object]]:
    """The columns by which the database finds a row's related ones, or their links."""
    found: dict[sa.Column[object], None] = {}
    for element in visitors.iterate(relation.condition):
        if not isinstance(element, ColumnClause):
            continue
        column = element._deannotate()
        is_far = (
            "remote" in element._annotations
            if relation.link is None
            else column.table is relation.link
        )
        if is_far:
            # A subclass's rows come from a subquery; the index is its table's.
            found |= dict.fromkeys(c for c in column.base_columns if isinstance(c, sa.Column))
    return list(found)


class _Indexed:
    """The columns that indexes begin with, asked of the database once for each table."""

    def __init__(self, engine: sa.Engine) -> None:
        self._inspector = sa.inspect(engine)
        self._first: dict[sa.FromClause, frozenset[str] | None] = {}

    def serves(self, columns: list[sa.Column[object]]) -> bool:
        """Whether an index begins with one of the columns; views, which have none, don't count."""
        for column in columns:
            table = column.table
            if table not in self._first:
                self._first[table] = self._ask(table)
            first = self._first[table]
            if first is None or column.name.lower() in first:
                return True
        return False

    def _ask(self, table: sa.Table) -> frozenset[str] | None:
        name, schema = table.name, table.schema
        if name not in self._inspector.get_table_names(schema):
            return None
        keys = [self._inspector.get_pk_constraint(name, schema)["constrained_columns"]]
        keys += [u["column_names"] for u in self._inspector.get_unique_constraints(name, schema)]
        for index in self._inspector.get_indexes(name, schema):
            options = index.get("dialect_options", {})
            partial = any(option.endswith("_where") for option in options)
            if not partial and options.get("postgresql_using", "btree") in _ORDERED:
                keys.append([column or "" for column in index["column_names"]])
        return frozenset(columns[0].lower() for columns in keys if columns)
