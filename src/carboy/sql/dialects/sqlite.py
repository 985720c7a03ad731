"""SQLite 3.38 or newer, with a few functions in Python for what it lacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql import FromClause
from sqlalchemy.types import TypeDecorator

from ...errors import InvalidQuery
from ...plan.nodes import Search
from ...schema import FieldType, Kind, Resource
from .base import Dialect, Expression
from .sqlite_functions import FUNCTIONS
from .words import lowered

_FIND_INDEXES = r"""
SELECT m.name, json_group_array(c.name)
FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
WHERE m.type = 'table' AND m.name LIKE '%\_carboy\_fts' ESCAPE '\'
GROUP BY m.name
"""
_GLOB_SPECIAL = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})


class Glob(TypeDecorator[str]):
    """A LIKE pattern bound as a GLOB pattern, since SQLite's LIKE ignores case."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """``%`` and ``_`` to ``*`` and ``?``; a backslash makes the next character plain."""
        return None if value is None else to_glob(value)


class FoldedGlob(Glob):
    """The same for text that is compared in lower case."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """As ``Glob``, in lower case."""
        return None if value is None else to_glob(lowered(value))


def to_glob(pattern: str) -> str:
    """A LIKE pattern as a GLOB pattern."""
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(next(characters, "\\").translate(_GLOB_SPECIAL))
        elif character in "%_":
            parts.append("*" if character == "%" else "?")
        else:
            parts.append(character.translate(_GLOB_SPECIAL))
    return "".join(parts)


def _constant(text: str) -> Expression:
    """SQL of our own making, never anything that came from outside."""
    return sa.literal_column(text)


def _json(value: Expression) -> Expression:
    """Text marked as JSON: SQLite forgets that it is at each border of a subquery."""
    return sa.func.json(value, type_=sa.Text)


def _with_comma(first: Expression, second: Expression) -> Expression:
    return first + _constant("','") + second


def _without_end(text: Expression) -> Expression:
    """All but the last character: a negative length counts backwards from the position."""
    return sa.func.substr(text, _constant("-1"), _constant("-2147483647"), type_=sa.Text)


class SQLite(Dialect):
    """JSON1 functions; JSON is text that ``json()`` marks again wherever a subquery ends."""

    name = "SQLite"
    inspects = True
    entanglements = (
        "SELECT 'view', name, '' FROM sqlite_master WHERE type = 'view'"
        " UNION ALL SELECT 'trigger', tbl_name, '' FROM sqlite_master"
        " WHERE type = 'trigger' AND name NOT GLOB '*_carboy_fts_*'"
        " UNION ALL SELECT 'follows', f.\"table\", m.name"
        " FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'"
        " AND (f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT')"
        " OR f.on_update IN ('CASCADE', 'SET NULL', 'SET DEFAULT'))"
    )

    def __init__(self) -> None:
        self._indexes: dict[str, tuple[str, ...]] = {}

    def _object_call(self, pairs: Sequence[tuple[Expression, Expression]]) -> Expression:
        return sa.func.json_object(*(part for pair in pairs for part in pair), type_=sa.Text)

    def _joined_objects(self, objects: Sequence[Expression]) -> Expression:
        first, *middle, last = objects
        inner = [_without_end(sa.func.substr(o, 2, type_=sa.Text)) for o in middle]
        parts: list[Expression] = [
            _without_end(first),
            *inner,
            sa.func.substr(last, 2, type_=sa.Text),
        ]
        return _json(reduce(_with_comma, parts))

    def json_array(self, values: Sequence[Expression]) -> Expression:
        return sa.func.json_array(*values, type_=sa.Text)

    def json_aggregate(
        self,
        value: Expression,
        where: Expression | None = None,
        order: Sequence[Expression] = (),
    ) -> Expression:
        array: Expression = sa.func.json_group_array(value, type_=sa.Text)
        return array.filter(where) if where is not None else array

    def json_value(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        match type_.kind:
            case Kind.INTEGER if type_.as_string:
                return sa.cast(value, sa.Text)
            case Kind.FLOAT:
                return _json(sa.func.carboy_float(value))
            case Kind.NUMERIC:
                return self._numeric(type_, value)
            case Kind.BOOLEAN:
                text = sa.case((value.is_(None), sa.null()), (value, "true"), else_="false")
                return _json(text)
            case Kind.INTERVAL:
                return _json(sa.func.carboy_float(sa.func.carboy_seconds(value)))
            case Kind.BYTES:
                return sa.func.carboy_base64(value)
            case Kind.JSON | Kind.ARRAY:
                return self._document(value)
            case Kind.OTHER:
                return self._untyped(value)
            case _:
                return _without_blob(value, self._text(type_, value))

    def _text(self, type_: FieldType, value: Expression) -> Expression:
        """What is text, or a number, in SQLite and in JSON."""
        match type_.kind:
            case Kind.DATETIME:
                return _datetime(value, _constant("'T'"), _constant("'Z'"))
            case Kind.DATE:
                return _date(type_, value)
            case Kind.TIME:
                return _time(type_, value)
            case Kind.UUID:
                return _uuid(value)
            case Kind.ENUM:
                pairs = [(value == stored, sa.literal(shown)) for stored, shown in type_.choices]
                return sa.case(*pairs, else_=value)
            case _:
                return value

    def _untyped(self, value: Expression) -> Expression:
        """Numbers as numbers with all their digits, the rest as text."""
        kind = sa.func.typeof(value)
        return _json(
            sa.case(
                (kind == _constant("'real'"), sa.func.carboy_float(value)),
                (kind == _constant("'null'"), sa.null()),
                else_=sa.func.json_quote(_without_blob(value, value)),
            )
        )

    def _document(self, value: Expression) -> Expression:
        text = sa.type_coerce(value, sa.Text)
        return _json(
            sa.case(
                (_is_blob(value), sa.func.json_quote(sa.func.carboy_base64(value))),
                # A column of the type JSON turns a bare number into SQLite's own.
                (sa.func.typeof(value) == _constant("'real'"), sa.func.carboy_float(text)),
                (sa.func.json_valid(value), text),
                else_=sa.func.json_quote(text),
            )
        )

    def _numeric(self, type_: FieldType, value: Expression) -> Expression:
        raw = sa.type_coerce(value, sa.Text)
        if type_.scale is None:
            return sa.func.carboy_decimal(raw, sa.null())
        return sa.func.carboy_decimal(raw, _constant(str(int(type_.scale))))

    def cursor_value(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        shown = self.json_value(type_, column_type, value)
        if type_.kind is not Kind.FLOAT:
            return shown
        infinite = [
            (value == _constant(number), _constant(f"""'"{text}"'"""))
            for number, text in (("9e999", "Infinity"), ("-9e999", "-Infinity"))
        ]
        return _json(sa.case(*infinite, else_=shown))

    def json_subquery(self, query: sa.Select[Any]) -> Expression:
        return _json(query.scalar_subquery())

    def scalar_subquery(self, query: sa.Select[Any]) -> Expression:
        column = next(iter(query.selected_columns))
        return _json(query.with_only_columns(sa.func.json_quote(column)).scalar_subquery())

    def body(self, json: Expression) -> Expression:
        return sa.cast(json, sa.LargeBinary)

    def groupable(self, json: Expression) -> Expression:
        return json

    def ungroup(self, value: Expression) -> Expression:
        return _json(value)

    def json_path(self, value: Expression, steps: Sequence[str | int], as_text: bool) -> Expression:
        path = "$" + "".join(_path_step(step) for step in steps)
        document = sa.type_coerce(value, sa.Text)
        valid = sa.case((sa.func.json_valid(document), document))
        if as_text:
            return sa.func.carboy_json_text(valid, path, type_=sa.Text)
        return valid.op("->", return_type=sa.JSON())(sa.literal(path, sa.Text))

    def json_members(self, document: Expression, names: Sequence[str]) -> Expression:
        members = sa.func.json_each(document).table_valued("key", "value", "type")
        # json_each hands over the text of arrays and objects, and values of all others.
        nested = members.c.type.in_([_constant("'array'"), _constant("'object'")])
        value = sa.case((nested, members.c.value), else_=sa.func.json_quote(members.c.value))
        chosen = sa.func.json_group_object(members.c.key, _json(value), type_=sa.Text)
        some = sa.func.nullif(chosen, _constant("'{}'"), type_=sa.Text)
        return sa.select(some).where(members.c.key.in_(names)).scalar_subquery()

    def like(self, value: Expression, name: str, *, fold_case: bool) -> Expression:
        if fold_case:
            text: Expression = sa.func.carboy_lower(value)
            return text.op("GLOB", is_comparison=True)(sa.bindparam(name, type_=FoldedGlob))
        return value.op("GLOB", is_comparison=True)(sa.bindparam(name, type_=Glob))

    def contains(
        self, op: str, type_: FieldType, column_type: Any, value: Expression, name: str
    ) -> Expression:
        function = {
            "cs": sa.func.carboy_json_contains,
            "cd": sa.func.carboy_json_contained,
            "ov": sa.func.carboy_json_overlaps,
        }[op]
        document = sa.type_coerce(value, sa.Text)
        return function(document, sa.bindparam(name, type_=sa.Text), type_=sa.Boolean)

    def full_text(self, op: str, value: Expression, name: str, config: str) -> Expression:
        if config != "simple":
            raise InvalidQuery(f"{op}({config}): SQLite knows only the configuration 'simple'")
        parameter = sa.bindparam(name, type_=sa.Text)
        return sa.func.carboy_full_text(op, value, parameter, type_=sa.Boolean)

    def search(self, search: Search, source: FromClause, words: Sequence[str]) -> Expression:
        index = self._index(search)
        if index is None:
            text = _searched_text(search, source)
            return sa.func.carboy_has_words(text, _joined(words), type_=sa.Boolean)
        hits = sa.select(index.c.rowid).where(_matches(index, words))
        return _rowid(search.resource, source).in_(hits)

    def rank(self, search: Search, source: FromClause, words: Sequence[str]) -> Expression:
        # bm25() of one row reads all hits; counting in the rows found costs as little for each,
        # and gives the same order with an index and without.
        text = _searched_text(search, source)
        return sa.func.carboy_count_words(text, _joined(words), type_=sa.Integer)

    def _index(self, search: Search) -> sa.TableClause | None:
        """The full-text index of just these search fields, if the database has it."""
        name = search_index_name(search.resource)
        columns = tuple(field.column.name for field in search.fields)
        if name is None or self._indexes.get(name) != columns:
            return None
        return sa.table(name, sa.column("rowid"), sa.column(name))

    def row_version(self, columns: Sequence[Expression]) -> Expression:
        texts = [_hashable(sa.type_coerce(column, sa.Text)) for column in columns]
        chunks = [texts[i : i + 100] for i in range(0, max(1, len(texts)), 100)]
        arrays: list[Expression] = [sa.func.json_array(*chunk, type_=sa.Text) for chunk in chunks]
        return sa.func.carboy_version(reduce(lambda a, b: a + b, arrays))

    def comparable(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        """Tables made by others spell dates and times in ways that text can't compare."""
        if not type_.mixed_spellings:
            return value
        match type_.kind:
            case Kind.DATETIME:
                return _datetime(value, _constant("' '"), _constant("''"))
            case Kind.DATE:
                return _date(type_, value)
            case _:
                return _time(type_, value)

    def operand(
        self, type_: FieldType, column_type: Any, value: Expression, parameter: Expression
    ) -> Expression:
        """Without a type a column holds numbers beside text, and a view's count is a number."""
        if type_.kind is not Kind.OTHER:
            # SQLAlchemy binds dates and times in the very spelling that comparable makes.
            return parameter
        is_number = sa.func.typeof(value).in_([_constant("'integer'"), _constant("'real'")])
        return sa.case((is_number, sa.func.carboy_number(parameter)), else_=parameter)

    def total(self, type_: FieldType, value: Expression) -> Expression:
        """Sums of doubles, without the digits that tell the order of their addition."""
        total = sa.func.sum(value)
        if type_.kind is Kind.NUMERIC and type_.scale is not None:
            return sa.func.round(total, _constant(str(int(type_.scale))))
        return total

    def average(self, type_: FieldType, value: Expression) -> tuple[Expression, FieldType]:
        mean, mean_type = super().average(type_, value)
        if type_.kind is Kind.NUMERIC and mean_type.scale is not None:
            mean = sa.func.round(mean, _constant(str(mean_type.scale + 4)))
        return mean, mean_type

    def insert_new(self, table: sa.Table) -> sa.Insert:
        return insert(table).on_conflict_do_nothing()

    def prepare(self, connection: Any) -> None:
        for name, arguments, function in FUNCTIONS:
            connection.create_function(name, arguments, function, deterministic=True)

    def inspect(self, connection: Any) -> None:
        found = connection.execute(_FIND_INDEXES).fetchall()
        self._indexes = {name: tuple(json.loads(columns)) for name, columns in found}


def search_index_name(resource: Resource) -> str | None:
    """The FTS5 table that serves a resource's search; only a table itself can have one."""
    table = resource.source
    if not isinstance(table, sa.Table) or table.schema is not None:
        return None
    return f"{table.name}_carboy_fts"


def rowid_name(table: sa.Table) -> str:
    """One of the names of SQLite's own row number that no column has taken."""
    taken = {column.name.lower() for column in table.columns}
    return next(name for name in ("rowid", "_rowid_", "oid") if name not in taken)


def _rowid(resource: Resource, source: FromClause) -> Expression:
    assert isinstance(resource.source, sa.Table)
    # The alias is a name of ours.
    assert isinstance(source, sa.Alias)
    return sa.literal_column(f"{source.name}.{rowid_name(resource.source)}", sa.Integer)


def _joined(words: Sequence[str]) -> Expression:
    """The words as one text."""
    parts: list[Expression] = [sa.bindparam(word, type_=sa.Text) for word in words]
    return reduce(lambda a, b: a + _constant("' '") + b, parts)


def _matches(index: sa.TableClause, words: Sequence[str]) -> Expression:
    query = sa.func.carboy_fts_query(_joined(words), type_=sa.Text)
    return index.c[index.name].op("MATCH", is_comparison=True)(query)


def _own(source: FromClause, column: Any) -> Expression:
    found = source.corresponding_column(column)
    assert found is not None
    return found


def _searched_text(search: Search, source: FromClause) -> Expression:
    texts: list[Expression] = [
        sa.func.coalesce(_own(source, field.column), "") for field in search.fields
    ]
    return reduce(lambda a, b: a + _constant("' '") + b, texts)


def _hashable(value: Expression) -> Expression:
    return sa.case((_is_blob(value), sa.func.hex(value)), else_=value)


def _is_blob(value: Expression) -> Expression:
    return sa.func.typeof(value) == _constant("'blob'")


def _without_blob(value: Expression, shown: Expression) -> Expression:
    """Any column can hold a BLOB, which no JSON function takes."""
    return sa.case((_is_blob(value), sa.func.carboy_base64(value)), else_=shown)


def _path_step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]" if step >= 0 else f"[#{step}]"
    return f'."{step}"'


def _datetime(value: Expression, middle: Expression, end: Expression) -> Expression:
    """Timestamps with six digits of a second: SQLAlchemy's own spelling fast, others rightly."""
    text = sa.type_coerce(value, sa.Text)
    day = sa.func.substr(text, 1, 10, type_=sa.Text)
    own = day + middle + sa.func.substr(text, 12, type_=sa.Text) + end
    regular = text.op("GLOB")(_constant("'????-??-?? ??:??:??.??????'"))
    return sa.case((regular, own), else_=sa.func.carboy_datetime(text, middle, end, type_=sa.Text))


def _date(type_: FieldType, value: Expression) -> Expression:
    text = sa.type_coerce(value, sa.Text)
    if type_.mixed_spellings:
        return sa.func.carboy_date(text, type_=sa.Text)
    return sa.func.substr(text, 1, 10, type_=sa.Text)


def _time(type_: FieldType, value: Expression) -> Expression:
    text = sa.type_coerce(value, sa.Text)
    if type_.mixed_spellings:
        return sa.func.carboy_time(text, type_=sa.Text)
    padding = sa.case((sa.func.length(text) == 8, ".000000"), else_="")
    return sa.func.substr(text + padding, 1, 15, type_=sa.Text)


def _uuid(value: Expression) -> Expression:
    text = sa.type_coerce(value, sa.Text)
    part = sa.func.substr
    pieces = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)]
    parts: list[Expression] = [part(text, first, n, type_=sa.Text) for first, n in pieces]
    dashed = reduce(lambda a, b: a + _constant("'-'") + b, parts)
    return sa.case((sa.func.length(text) == 32, dashed), else_=text)
