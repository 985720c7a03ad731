"""PostgreSQL 13 or newer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import (
    BIT,
    CIDR,
    INET,
    JSONB,
    MACADDR,
    MACADDR8,
    MONEY,
    OID,
    insert,
    ranges,
)
from sqlalchemy.sql import FromClause

from ...errors import InvalidQuery
from ...plan.nodes import Search
from ...schema import FieldType, Kind
from .base import Dialect, Expression

PREPARE_THRESHOLD = 5
"""psycopg's own: how often a statement is sent before it is prepared."""
_DATETIME = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
_CONFIG = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}(\.[A-Za-z][A-Za-z0-9_]{0,62})?")
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
# Types without a JSON form of their own that have an order.
_ORDERED = (BIT, CIDR, INET, MACADDR, MACADDR8, MONEY, OID, ranges.AbstractRange)
# The same as in formats.py, for the cells that the database writes.
_FORMULA = r"E'^''*[-=+@\\t\\r]'"
_QUERIES = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}


def _constant(text: str) -> Expression:
    """SQL of our own making, never anything that came from outside."""
    return sa.literal_column(text)


def _json_text(value: Expression) -> Expression:
    """The text of a value that is a string in JSON."""
    return sa.func.to_json(value).op("#>>", return_type=sa.Text())(_constant("'{}'"))


def _to_char(value: Expression, form: str) -> Expression:
    return sa.func.to_char(value, _constant(f"'{form}'"))


class PostgreSQL(Dialect):
    """json_build_object and json_agg: measured faster here than row_to_json or LATERAL joins."""

    name = "PostgreSQL"
    has_planner_estimates = True
    names_rows = True
    reads_rows = True
    check_deferred = "SET CONSTRAINTS ALL IMMEDIATE"
    entanglements = (
        "SELECT 'view', relname::text, '' FROM pg_class WHERE relkind IN ('v', 'm', 'f')"
        " AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
        " UNION ALL SELECT 'trigger', c.relname::text, '' FROM pg_trigger t"
        " JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE NOT t.tgisinternal AND t.tgname <> 'carboy_cache'"
        " UNION ALL SELECT DISTINCT 'told', '', '' FROM pg_trigger WHERE tgname = 'carboy_cache'"
        " UNION ALL SELECT 'follows', p.relname::text, c.relname::text FROM pg_constraint f"
        " JOIN pg_class p ON p.oid = f.confrelid JOIN pg_class c ON c.oid = f.conrelid"
        " WHERE f.contype = 'f' AND (f.confdeltype IN ('c', 'n', 'd')"
        " OR f.confupdtype IN ('c', 'n', 'd'))"
        " UNION ALL SELECT 'same', p.relname::text, c.relname::text FROM pg_inherits i"
        " JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid"
    )

    def prepare(self, connection: Any) -> None:
        """Let psycopg prepare no statements where the next one may meet another server process.

        Only its default is changed: another number is somebody's decision.
        """
        if getattr(connection, "prepare_threshold", None) == PREPARE_THRESHOLD and is_pooled(
            connection
        ):
            connection.prepare_threshold = None

    def _object_call(self, pairs: Sequence[tuple[Expression, Expression]]) -> Expression:
        return sa.func.json_build_object(*(part for pair in pairs for part in pair), type_=sa.JSON)

    def _joined_objects(self, objects: Sequence[Expression]) -> Expression:
        texts: list[Expression] = [sa.cast(o, sa.Text) for o in objects]
        heads: list[Expression] = [
            sa.func.left(text, _constant("-1"), type_=sa.Text) for text in texts[:-1]
        ]
        first, *rest = [*heads, texts[-1]]
        tails: list[Expression] = [
            sa.func.substr(text, _constant("2"), type_=sa.Text) for text in rest
        ]
        joined = reduce(lambda a, b: a + _constant("','") + b, [first, *tails])
        return sa.cast(joined, sa.JSON)

    def json_array(self, values: Sequence[Expression]) -> Expression:
        return sa.func.json_build_array(*values, type_=sa.JSON)

    def json_aggregate(
        self,
        value: Expression,
        where: Expression | None = None,
        order: Sequence[Expression] = (),
    ) -> Expression:
        array: Expression = sa.func.json_agg(value, type_=sa.JSON)
        if where is not None:
            array = array.filter(where)
        return sa.func.coalesce(array, _constant("'[]'::json"), type_=sa.JSON)

    def json_value(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        match type_.kind:
            case Kind.INTEGER if type_.as_string:
                return sa.cast(value, sa.Text)
            case Kind.FLOAT:
                double = sa.cast(value, sa.Double)
                special = [sa.cast(_constant(f"'{s}'"), sa.Double) for s in _NOT_FINITE]
                return sa.case((double.in_(special), sa.null()), else_=value)
            case Kind.NUMERIC:
                return self._numeric(type_, value)
            case Kind.DATETIME:
                return self._datetime(type_, value)
            case Kind.DATE:
                return sa.case((sa.func.isfinite(value), value))
            case Kind.TIME:
                if getattr(column_type, "timezone", False):
                    value = sa.cast(sa.func.timezone(_constant("'UTC'"), value), sa.Time)
                return _to_char(value, "HH24:MI:SS.US")
            case Kind.INTERVAL:
                return sa.cast(sa.extract("epoch", value), sa.Double)
            case Kind.BYTES:
                lines = sa.func.encode(value, _constant("'base64'"))
                return sa.func.translate(lines, _constant("E'\\n'"), _constant("''"))
            case Kind.ENUM:
                return self._enum(type_, value)
            case Kind.UUID:
                # Uuid(native_uuid=False) is 32 hexadecimal digits.
                return value if column_type.native_uuid else sa.cast(value, sa.UUID)
            case Kind.OTHER:
                return sa.cast(value, sa.Text)
            case _:
                return value

    def _datetime(self, type_: FieldType, value: Expression) -> Expression:
        """Infinity is no moment: to_char answers NULL for it. It forgets BC unless told."""
        utc = sa.func.timezone(_constant("'UTC'"), value) if type_.aware else value
        first = "'0001-01-01Z'::timestamptz" if type_.aware else "'0001-01-01'::timestamp"
        return sa.case(
            (value >= _constant(first), _to_char(utc, _DATETIME)),
            else_=_to_char(utc, f"{_DATETIME} BC"),
        )

    def _numeric(self, type_: FieldType, value: Expression) -> Expression:
        if type_.scale is None:
            value = sa.func.trim_scale(value)
        elif type_.precision is None:
            value = sa.func.round(value, type_.scale)
        text: Expression = sa.cast(value, sa.Text)
        for special in _NOT_FINITE:
            text = sa.func.nullif(text, _constant(f"'{special}'"))
        return text

    def _enum(self, type_: FieldType, value: Expression) -> Expression:
        if all(stored == shown for stored, shown in type_.choices):
            return sa.cast(value, sa.Text)
        text = sa.cast(value, sa.Text)
        return sa.case(*((text == sa.literal(a), sa.literal(b)) for a, b in type_.choices))

    def cursor_value(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        text = sa.cast(value, sa.Text)
        if type_.kind in (Kind.FLOAT, Kind.NUMERIC):
            return text
        shown = self.json_value(type_, column_type, value)
        if type_.kind in (Kind.DATE, Kind.DATETIME):
            return sa.case((sa.func.isfinite(value), sa.cast(shown, sa.Text)), else_=text)
        return shown

    def json_subquery(self, query: sa.Select[Any]) -> Expression:
        return query.scalar_subquery()

    def scalar_subquery(self, query: sa.Select[Any]) -> Expression:
        return query.scalar_subquery()

    def body(self, json: Expression) -> Expression:
        return sa.cast(json, sa.Text)

    def line(self, json: Expression, *, loose: bool) -> Expression:
        text = self.body(json)
        if not loose:
            return text
        # In a string of JSON they are escaped: only between its values do they stand as they are.
        return sa.func.translate(text, _constant(r"E'\r\n'"), _constant("'  '"), type_=sa.Text)

    def cell(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        shown = self.json_value(type_, column_type, value)
        match type_.kind:
            case Kind.JSON | Kind.ARRAY:
                return self.document_cell(sa.func.to_json(value, type_=sa.JSON))
            case Kind.TEXT | Kind.OTHER | Kind.ENUM | Kind.BYTES:
                # As text, CHAR(n) loses its padding, which its JSON has.
                padded = isinstance(column_type, sa.CHAR)
                text = _json_text(shown) if padded else sa.cast(shown, sa.Text)
                formula = text.op("~", is_comparison=True)(_constant(_FORMULA))
                return sa.case((formula, _constant("''''") + text), else_=text)
            case Kind.BOOLEAN | Kind.UUID:
                return sa.cast(shown, sa.Text)
            case Kind.DATE:
                # As text it would be in the session's DateStyle.
                return _json_text(shown)
            case _:
                return shown

    def document_cell(self, json: Expression) -> Expression:
        is_null = sa.func.json_typeof(json) == _constant("'null'")
        return sa.case((is_null, sa.null()), else_=sa.cast(json, sa.Text))

    def copied(self, sql: str, *, cells: bool) -> str:
        # No text of JSON has these characters, so that each line is printed as it is.
        plain = "" if cells else r", QUOTE e'\x01', DELIMITER e'\x02'"
        return f"COPY ({sql}) TO STDOUT WITH (FORMAT csv, ENCODING 'UTF8'{plain})"

    def groupable(self, json: Expression) -> Expression:
        return sa.cast(json, sa.Text)

    def ungroup(self, value: Expression) -> Expression:
        return sa.cast(value, sa.JSON)

    def comparable(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        """Some types have no order, or not even equality; their text has both."""
        if type_.kind is not Kind.OTHER:
            return value
        if isinstance(column_type, _ORDERED):
            # Text to SQLAlchemy, which knows no operators for these; as it is to the database.
            return sa.type_coerce(value, sa.Text)
        return sa.cast(value, sa.Text)

    def operand(
        self, type_: FieldType, column_type: Any, value: Expression, parameter: Expression
    ) -> Expression:
        if type_.kind is Kind.OTHER and not isinstance(column_type, _ORDERED):
            return sa.cast(parameter, sa.Text)
        return parameter

    def json_path(self, value: Expression, steps: Sequence[str | int], as_text: bool) -> Expression:
        for index, step in enumerate(steps):
            last = as_text and index == len(steps) - 1
            key = sa.literal(step, sa.Integer if isinstance(step, int) else sa.Text)
            value = value.op("->>" if last else "->", return_type=sa.Text() if last else sa.JSON())(
                key
            )
        return value

    def json_members(self, document: Expression, names: Sequence[str]) -> Expression:
        members = sa.func.json_each(sa.cast(document, sa.JSON)).table_valued("key", "value")
        chosen = sa.func.json_object_agg(members.c.key, members.c.value, type_=sa.JSON)
        return sa.select(chosen).where(members.c.key.in_(names)).scalar_subquery()

    def like(self, value: Expression, name: str, *, fold_case: bool) -> Expression:
        pattern = sa.bindparam(name, type_=sa.Text)
        text = sa.cast(value, sa.Text)
        return text.ilike(pattern) if fold_case else text.like(pattern)

    def contains(
        self, op: str, type_: FieldType, column_type: Any, value: Expression, name: str
    ) -> Expression:
        operator = {"cs": "@>", "cd": "<@", "ov": "&&"}[op]
        if type_.kind is Kind.ARRAY:
            return value.op(operator, is_comparison=True)(sa.bindparam(name, type_=column_type))
        document = sa.cast(value, JSONB)
        parameter = sa.cast(sa.bindparam(name, type_=sa.Text), JSONB)
        if op != "ov":
            return document.op(operator, is_comparison=True)(parameter)
        is_array = sa.func.jsonb_typeof(document) == _constant("'array'")
        array = sa.case((is_array, document), else_=_constant("'[]'::jsonb"))
        mine = sa.func.jsonb_array_elements(array).column_valued()
        theirs = sa.func.jsonb_array_elements(parameter).column_valued()
        shared = sa.exists(sa.select(mine).where(mine == theirs))
        # EXISTS is never NULL; an operator on NULL is.
        return sa.case((document.is_not(sa.null()), shared))

    def orders_enums(self, column_type: Any) -> bool:
        return bool(getattr(column_type, "native_enum", False))

    def full_text(self, op: str, value: Expression, name: str, config: str) -> Expression:
        language = text_config(config)
        query = getattr(sa.func, _QUERIES[op])(language, sa.bindparam(name, type_=sa.Text))
        return sa.func.to_tsvector(language, value).op("@@", is_comparison=True)(query)

    def search(self, search: Search, source: FromClause, words: Sequence[str]) -> Expression:
        vector, query = _search_parts(search, source, words)
        return vector.op("@@", is_comparison=True)(query)

    def rank(self, search: Search, source: FromClause, words: Sequence[str]) -> Expression:
        return sa.func.ts_rank(*_search_parts(search, source, words), type_=sa.Float)

    def lock(self, number: int, *, wait: bool) -> Expression:
        take = sa.func.pg_advisory_xact_lock if wait else sa.func.pg_try_advisory_xact_lock
        return take(sa.literal(number, sa.BigInteger))

    def insert_new(self, table: sa.Table) -> sa.Insert:
        return insert(table).on_conflict_do_nothing()

    def row_version(self, columns: Sequence[Expression]) -> Expression:
        # Not xmin, which would tell that a column was changed that may not be read.
        return sa.func.md5(sa.cast(sa.func.row(*columns), sa.Text))


def is_pooled(connection: Any) -> bool:
    """Whether a pooler such as PgBouncer stands between psycopg and the server.

    A pooler gives its clients keys of its own to cancel statements by, and no server's process id.
    """
    fresh = connection.info.transaction_status == 0
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if fresh and not connection.autocommit:
        connection.rollback()
    return bool(row[0] != connection.info.backend_pid)


def text_config(name: str) -> Expression:
    """A text search configuration as a literal: an index serves no parameter's."""
    if not _CONFIG.fullmatch(name):
        raise InvalidQuery(f"{name!r} is no name of a text search configuration")
    return _constant(f"'{name}'::regconfig")


def search_vector(columns: Sequence[Expression], config: str) -> Expression:
    """The text that ``q=`` searches; an index on exactly this expression serves it."""
    texts: list[Expression] = [sa.func.coalesce(c, _constant("''")) for c in columns]
    joined = reduce(lambda a, b: a + _constant("' '") + b, texts)
    return sa.func.to_tsvector(text_config(config), joined)


def _search_parts(
    search: Search, source: FromClause, words: Sequence[str]
) -> tuple[Expression, Expression]:
    columns = []
    for field in search.fields:
        column = source.corresponding_column(field.column)
        if column is None:
            raise InvalidQuery(f"{field.name!r} can't be searched")
        columns.append(column)
    language = text_config(search.config)
    queries = [
        sa.func.plainto_tsquery(language, sa.bindparam(word, type_=sa.Text)) for word in words
    ]
    return search_vector(columns, search.config), reduce(lambda a, b: a.op("&&")(b), queries)
