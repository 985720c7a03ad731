"""MariaDB 10.6 or newer.

JSON is text here, and is put together as text: MariaDB's own functions forget at each border of a
subquery that a text is JSON, and read no document that is nested deeper than 31 levels.

``GROUP_CONCAT`` and ``CONCAT`` cut what is larger than the server's ``max_allowed_packet``. Both
say so in a warning, which ``was_cut`` looks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement, FromClause
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from ...plan.nodes import Search
from ...schema import FieldType, Kind
from .base import Array, Dialect, Expression, Rows, Tied, refuse
from .mysql_words import Pattern
from .ties import split_ties

_SESSION = """
SET group_concat_max_len = 1073741824, max_error_count = 65535,
    time_zone = '+00:00', collation_connection = 'utf8mb4_bin',
    sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES,NO_AUTO_VALUE_ON_ZERO')
"""
# What doesn't fit, and JSON that is nested too deep to find anything in it.
_CUT = {1260, 1301, 4040}
_ANY_NUMBER = str(2**63 - 1)
_MOST_DIGITS = 65
_MOST_DECIMALS = 38


def _constant(text: str) -> Expression:
    """SQL of our own making, never anything that came from outside."""
    return sa.literal_column(text, sa.Text)


def _literal(text: str) -> Expression:
    """A text of the schema's as SQL; a backslash would escape what follows."""
    doubled = text.replace("\\", "\\\\").replace("'", "''")
    return _constant(f"'{doubled}'")


def _concat(*parts: Expression) -> Expression:
    return sa.func.concat(*parts, type_=sa.Text)


def _or_null(value: Expression) -> Expression:
    return sa.func.coalesce(value, _constant("'null'"), type_=sa.Text)


def _quoted(value: Expression) -> Expression:
    return sa.func.json_quote(value, type_=sa.Text)


class Joined(FunctionElement[str]):
    """GROUP_CONCAT with commas, in an order and within limits."""

    name = "group_concat"
    type = sa.Text()
    inherit_cache = False

    def __init__(
        self,
        value: Expression,
        order: Sequence[Expression],
        limit: Expression | None,
        offset: Expression | None,
    ) -> None:
        parts = [part for part in (limit, offset) if part is not None]
        self.ordered = len(order)
        self.limited = limit is not None
        self.skips = offset is not None
        super().__init__(value, *order, *parts)


@compiles(Joined)
def _compile_joined(element: Joined, compiler: SQLCompiler, **options: Any) -> str:
    value, *rest = (compiler.process(clause, **options) for clause in element.clauses)
    order, bounds = rest[: element.ordered], rest[element.ordered :]
    sql = f"GROUP_CONCAT({value}"
    if order:
        sql += f" ORDER BY {', '.join(order)}"
    sql += " SEPARATOR ','"
    if element.limited or element.skips:
        # There is no OFFSET without a LIMIT.
        limit = bounds[0] if element.limited else _ANY_NUMBER
        sql += f" LIMIT {limit}"
        sql += f" OFFSET {bounds[-1]}" if element.skips else ""
    return sql + ")"


class MySQL(Dialect):
    """Arrays are GROUP_CONCATs with an order and a limit of their own."""

    name = "MariaDB"
    entanglements = (
        "SELECT 'view', table_name, '' FROM information_schema.views"
        " WHERE table_schema = database()"
        " UNION ALL SELECT 'trigger', event_object_table, '' FROM information_schema.triggers"
        " WHERE trigger_schema = database()"
        " UNION ALL SELECT 'follows', referenced_table_name, table_name"
        " FROM information_schema.referential_constraints WHERE constraint_schema = database()"
        " AND (delete_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT')"
        " OR update_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT'))"
    )

    def json_key(self, key: str, *, given: bool) -> Expression:
        if given:
            return _concat(_quoted(sa.literal(key, sa.Text)), _constant("':'"))
        return _literal(f"{json.dumps(key, ensure_ascii=False)}:")

    def json_object(self, pairs: Sequence[tuple[Expression, Expression]]) -> Expression:
        parts: list[Expression] = [_constant("'{'")]
        for number, (key, value) in enumerate(pairs):
            parts += [_constant("','")] if number else []
            parts += [key, _or_null(value)]
        return _concat(*parts, _constant("'}'"))

    def _object_call(self, pairs: Sequence[tuple[Expression, Expression]]) -> Expression:
        return self.json_object(pairs)

    def _joined_objects(self, objects: Sequence[Expression]) -> Expression:
        raise AssertionError("objects are made in one call")

    def json_array(self, values: Sequence[Expression]) -> Expression:
        parts: list[Expression] = [_constant("'['")]
        for number, value in enumerate(values):
            parts += [_constant("','")] if number else []
            parts.append(_or_null(value))
        return _concat(*parts, _constant("']'"))

    def json_aggregate(
        self,
        value: Expression,
        where: Expression | None = None,
        order: Sequence[Expression] = (),
    ) -> Expression:
        item = _or_null(value)
        return _array(item if where is None else sa.case((where, item)), order, None, None)

    def array(self, rows: Rows) -> tuple[FromClause, Array]:
        """A subquery in FROM can't see the row around it: the aggregate orders and limits."""

        def made(value: Expression) -> sa.Select[Any]:
            array = _array(_or_null(value), rows.order, rows.limit, rows.offset)
            query = sa.select(array).select_from(rows.froms).where(rows.condition)
            return query.correlate(rows.parent)

        return rows.source, made

    def first(self, rows: Rows, value: Callable[[FromClause], Expression]) -> sa.Select[Any]:
        query = sa.select(value(rows.source)).select_from(rows.froms).where(rows.condition)
        query = query.order_by(*rows.order).limit(_constant("1"))
        if rows.limit is not None:
            query = query.where(rows.limit > _constant("0"))
        if rows.offset is not None:
            query = query.offset(rows.offset)
        return query.correlate(rows.parent)

    def in_order(self, select: sa.Select[Any]) -> sa.Select[Any]:
        """Without a limit the order of a subquery is dropped."""
        return select if select._limit_clause is not None else select.limit(_constant(_ANY_NUMBER))

    def tied(self, condition: ColumnElement[bool], parent: FromClause) -> Tied:
        return split_ties(condition, parent)

    def sorted(
        self, value: Expression, *, descending: bool, nulls_first: bool | None
    ) -> list[Expression]:
        """NULL is the least of all values here."""
        ordered = value.desc() if descending else value.asc()
        if nulls_first is None or nulls_first != descending:
            return [ordered]
        absent = value.is_(sa.null())
        return [absent.desc() if nulls_first else absent.asc(), ordered]

    def json_value(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        match type_.kind:
            case Kind.INTEGER if type_.as_string:
                return _concat(_constant("'\"'"), value, _constant("'\"'"))
            case Kind.INTEGER | Kind.FLOAT:
                return sa.type_coerce(value, sa.Text)
            case Kind.NUMERIC:
                return self._numeric(type_, value)
            case Kind.BOOLEAN:
                is_null = value.is_(sa.null())
                texts = (_constant("'true'"), _constant("'false'"))
                return sa.case((is_null, sa.null()), (value, texts[0]), else_=texts[1])
            case Kind.DATETIME:
                return sa.func.date_format(value, _constant("'\"%Y-%m-%dT%H:%i:%s.%fZ\"'"))
            case Kind.DATE:
                return sa.func.date_format(value, _constant("'\"%Y-%m-%d\"'"))
            case Kind.TIME:
                return sa.func.time_format(value, _constant("'\"%H:%i:%s.%f\"'"))
            case Kind.INTERVAL:
                return _seconds(value)
            case Kind.BYTES:
                lines = sa.func.to_base64(value)
                line = sa.func.replace(lines, _constant(r"'\n'"), _constant("''"))
                return _concat(_constant("'\"'"), line, _constant("'\"'"))
            case Kind.UUID:
                return _quoted(_dashed(value))
            case Kind.ENUM:
                pairs = [(value == a, sa.literal(json.dumps(b))) for a, b in type_.choices]
                return sa.case(*pairs, else_=_quoted(sa.cast(value, sa.Text)))
            case Kind.JSON | Kind.ARRAY:
                text = sa.cast(sa.type_coerce(value, sa.Text), sa.Text)
                return sa.case((sa.func.json_valid(text), text), else_=_quoted(text))
            case Kind.TEXT:
                return _quoted(value)
            case _:
                return _quoted(sa.cast(value, sa.Text))

    def _numeric(self, type_: FieldType, value: Expression) -> Expression:
        text: Expression = sa.type_coerce(value, sa.Text)
        if type_.scale is None:
            ends = sa.literal("[.]0+$|([.][0-9]*[1-9])0+$")
            text = sa.func.regexp_replace(sa.cast(text, sa.Text), ends, sa.literal(r"\1"))
        elif type_.precision is None:
            text = sa.func.round(text, _constant(str(int(type_.scale))), type_=sa.Text)
        return _concat(_constant("'\"'"), text, _constant("'\"'"))

    def json_subquery(self, query: sa.Select[Any]) -> Expression:
        return query.scalar_subquery()

    def scalar_subquery(self, query: sa.Select[Any]) -> Expression:
        return query.scalar_subquery()

    def body(self, json: Expression) -> Expression:
        return sa.cast(json, sa.LargeBinary)

    def line(self, json: Expression, *, loose: bool) -> Expression:
        if loose:
            for broken in (r"'\n'", r"'\r'"):
                json = sa.func.replace(json, _constant(broken), _constant("' '"))
        return self.body(json)

    def groupable(self, json: Expression) -> Expression:
        return json

    def ungroup(self, value: Expression) -> Expression:
        return value

    def json_path(self, value: Expression, steps: Sequence[str | int], as_text: bool) -> Expression:
        place: Expression = sa.type_coerce(value, sa.Text)
        for step in steps:
            place = _step(place, step)
        if not as_text:
            return sa.type_coerce(place, sa.JSON())
        is_null = sa.func.json_type(place) == _constant("'NULL'")
        text = sa.case((is_null, sa.null()), else_=sa.func.json_unquote(place, type_=sa.Text))
        # Else spaces at the end wouldn't count.
        return text.collate("utf8mb4_nopad_bin")

    def json_members(self, document: Expression, names: Sequence[str]) -> Expression:
        members = [_concat(self.json_key(n, given=False), _step(document, n)) for n in names]
        # CONCAT is NULL if one of its parts is; CONCAT_WS passes over those.
        joined = sa.func.nullif(sa.func.concat_ws(_constant("','"), *members), _constant("''"))
        return _concat(_constant("'{'"), joined, _constant("'}'"))

    def like(self, value: Expression, name: str, *, fold_case: bool) -> Expression:
        # The cast's collation is the connection's, in which case counts.
        text: Expression = sa.cast(value, sa.Text)
        pattern: Expression = sa.bindparam(name, type_=sa.Text)
        if fold_case:
            text, pattern = sa.func.lower(text), sa.func.lower(pattern)
        return text.like(pattern)

    def contains(
        self, op: str, type_: FieldType, column_type: Any, value: Expression, name: str
    ) -> Expression:
        raise refuse(op, self.name)

    def full_text(self, op: str, value: Expression, name: str, config: str) -> Expression:
        if config != "simple":
            raise refuse(f"{op}({config}): any configuration but 'simple'", self.name)
        return _matches(value, sa.bindparam(name, type_=Pattern(op)))

    def search(self, search: Search, source: FromClause, words: Sequence[str]) -> Expression:
        wanted = _concat(*(sa.bindparam(word, type_=Pattern("parts")) for word in words))
        whole = _concat(sa.literal(r"(?si)\A"), wanted)
        # A query without words matches nothing.
        return sa.and_(wanted != "", _matches(_searched_text(search, source), whole))

    def rank(self, search: Search, source: FromClause, words: Sequence[str]) -> Expression:
        """How often the words are there: each is made one character longer."""
        text = _searched_text(search, source)
        longer = text
        for word in words:
            longer = sa.func.regexp_replace(longer, _any_word(word), sa.literal("\\0\x01"))
        return sa.func.char_length(longer) - sa.func.char_length(text)

    def row_version(self, columns: Sequence[Expression]) -> Expression:
        # As bytes, since texts of different collations can't be joined.
        texts = [
            sa.cast(sa.func.quote(column, type_=sa.Text), sa.LargeBinary) for column in columns
        ]
        return sa.func.md5(sa.func.concat_ws(_constant("','"), _constant("''"), *texts))

    def ordered(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        if type_.kind is Kind.UUID:
            # MariaDB's own type has another order.
            return _dashed(value)
        return super().ordered(type_, column_type, value)

    def average(self, type_: FieldType, value: Expression) -> tuple[Expression, FieldType]:
        total, count = sa.func.sum(value), sa.func.count(value)
        if type_.kind is not Kind.NUMERIC:
            return (total + _constant("0e0")) / count, FieldType(Kind.FLOAT)
        scale = min((type_.scale if type_.scale is not None else 6) + 4, _MOST_DECIMALS)
        exact = sa.cast(total, sa.Numeric(_MOST_DIGITS, scale))
        mean = FieldType(Kind.NUMERIC, precision=None, scale=scale)
        return sa.type_coerce(exact, sa.Text).op("/")(count), mean

    def insert_new(self, table: sa.Table) -> sa.Insert:
        # Not INSERT IGNORE, which cuts values that are too long as well.
        same = next(iter(table.primary_key))
        return insert(table).on_duplicate_key_update({same.name: same})

    def prepare(self, connection: Any) -> None:
        server = connection.get_server_info()
        if "MariaDB" not in server:
            # Its aggregates have no order and no limit.
            raise NotImplementedError(f"Carboy speaks MariaDB 10.6 or newer, not MySQL {server}")
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)

    def was_cut(self, cursor: Any) -> bool:
        if not cursor.warning_count:
            return False
        with cursor.connection.cursor() as second:
            second.execute("SHOW WARNINGS")
            shown = [code for _, code, _ in second.fetchall()]
        # The application may have lowered max_error_count: what isn't told may be that.
        return len(shown) < cursor.warning_count or any(code in _CUT for code in shown)


def _array(
    item: Expression,
    order: Sequence[Expression],
    limit: Expression | None,
    offset: Expression | None,
) -> Expression:
    joined = sa.func.coalesce(Joined(item, order, limit, offset), _constant("''"))
    return _concat(_constant("'['"), joined, _constant("']'"))


def _seconds(value: Expression) -> Expression:
    """SQLAlchemy stores the moment that far from 1970."""
    unit, epoch = _constant("MICROSECOND"), _constant("'1970-01-01'")
    micros = sa.func.timestampdiff(unit, epoch, value, type_=sa.BigInteger)
    return sa.type_coerce(micros, sa.Text).op("/")(_constant("1000000e0"))


def _dashed(value: Expression) -> Expression:
    """A UUID as text: without a type of its own it is 32 hexadecimal digits."""
    text = sa.cast(sa.type_coerce(value, sa.Text), sa.Text)
    pieces = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)]
    parts: list[Expression] = [sa.func.substr(text, first, n) for first, n in pieces]
    dashed = sa.func.concat_ws(_constant("'-'"), *parts)
    return sa.case((sa.func.char_length(text) == _constant("32"), dashed), else_=text)


def _step(document: Expression, step: str | int) -> Expression:
    """One place inside; an index of what is no array would be the thing itself."""
    if isinstance(step, int):
        found = sa.func.json_extract(document, sa.literal(f"$[{step}]"), type_=sa.Text)
        return sa.case((sa.func.json_type(document) == _constant("'ARRAY'"), found))
    if step.startswith("-"):
        # MariaDB takes it for a syntax error, and finds nothing.
        raise refuse(f"the JSON key {step!r}, as any that begins with '-',", "MariaDB")
    names = (json.dumps(step, ensure_ascii=False), json.dumps(step))
    # A key is found only as it is written in the document, escaped or not.
    places: list[Expression] = [
        sa.func.json_extract(document, sa.literal(f"$.{name}"), type_=sa.Text) for name in names
    ]
    return sa.func.coalesce(*places, type_=sa.Text)


def _matches(text: Expression, pattern: Expression) -> Expression:
    found: Expression = text.op("REGEXP", is_comparison=True)(pattern)
    return found


def _any_word(name: str) -> Expression:
    """The pattern of any of a parameter's words, made of that of all: it is bound only once."""
    every: Expression = sa.bindparam(name, type_=Pattern("parts"))
    alternatives = sa.func.replace(every, _literal(")(?=.*?"), _literal("|"))
    pattern = sa.func.replace(alternatives, _literal("(?=.*?"), _literal("(?i)(?:"))
    return sa.func.coalesce(sa.func.nullif(pattern, _literal("")), _literal("(?!)"), type_=sa.Text)


def _searched_text(search: Search, source: FromClause) -> Expression:
    columns = (source.corresponding_column(field.column) for field in search.fields)
    return sa.func.concat_ws(
        _constant("' '"), *(sa.cast(c, sa.Text) for c in columns if c is not None)
    )
