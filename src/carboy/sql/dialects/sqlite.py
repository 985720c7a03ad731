"""SQLite 3.38 or newer, with a few functions in Python for what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import FromClause
from sqlalchemy.types import TypeDecorator

from ...errors import InvalidQuery
from ...schema import FieldType, Kind, Resource
from .base import Dialect, Expression
from .sqlite_functions import FUNCTIONS

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
        return None if value is None else to_glob(value.lower())


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


class SQLite(Dialect):
    """JSON1 functions; JSON is text that ``json()`` marks again wherever a subquery ends."""

    name = "SQLite"

    def _object_call(self, pairs: Sequence[tuple[Expression, Expression]]) -> Expression:
        return sa.func.json_object(*(part for pair in pairs for part in pair), type_=sa.Text)

    def _joined_objects(self, objects: Sequence[Expression]) -> Expression:
        joined = reduce(
            lambda a, b: (
                sa.func.substr(a, 1, sa.func.length(a) - 1, type_=sa.Text)
                + _constant("','")
                + sa.func.substr(b, 2, type_=sa.Text)
            ),
            objects,
        )
        return _json(joined)

    def json_array(self, values: Sequence[Expression]) -> Expression:
        return sa.func.json_array(*values, type_=sa.Text)

    def json_aggregate(self, value: Expression, where: Expression | None = None) -> Expression:
        array: Expression = sa.func.json_group_array(value, type_=sa.Text)
        return array.filter(where) if where is not None else array  # type: ignore[attr-defined,no-any-return]

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
            case Kind.DATETIME:
                return _datetime(value, _constant("'T'"), _constant("'Z'"))
            case Kind.DATE:
                return sa.func.substr(value, 1, 10, type_=sa.Text)
            case Kind.TIME:
                return sa.func.substr(value + _time_padding(value), 1, 15, type_=sa.Text)
            case Kind.INTERVAL:
                return sa.func.carboy_seconds(value)
            case Kind.UUID:
                return _uuid(value)
            case Kind.BYTES:
                return sa.func.carboy_base64(value)
            case Kind.ENUM:
                pairs = [(value == stored, sa.literal(shown)) for stored, shown in type_.choices]
                return sa.case(*pairs, else_=value)
            case Kind.JSON | Kind.ARRAY:
                # A column of the type JSON turns a bare number into SQLite's own.
                real = sa.func.typeof(value) == _constant("'real'")
                valid = sa.func.json_valid(value)
                text = sa.type_coerce(value, sa.Text)
                quoted = sa.func.json_quote(text)
                whole = sa.case((real, sa.func.carboy_float(text)), (valid, text), else_=quoted)
                return _json(whole)
            case _:
                return self._untyped(value)

    def _untyped(self, value: Expression) -> Expression:
        """Any column can hold a BLOB, which no JSON function takes."""
        blob = sa.func.typeof(value) == _constant("'blob'")
        return sa.case((blob, sa.func.carboy_base64(value)), else_=value)

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

    def search(
        self, resource: Resource, source: FromClause, words: Sequence[str], config: str
    ) -> Expression:
        text = _searched_text(resource, source)
        found = [
            sa.func.carboy_has_word(text, sa.bindparam(word, type_=sa.Text), type_=sa.Boolean)
            for word in words
        ]
        return sa.and_(*found)

    def rank(
        self, resource: Resource, source: FromClause, words: Sequence[str], config: str
    ) -> Expression:
        text = _searched_text(resource, source)
        counts = [
            sa.func.carboy_count_word(text, sa.bindparam(word, type_=sa.Text), type_=sa.Integer)
            for word in words
        ]
        return reduce(lambda a, b: a + b, counts)

    def row_version(self, resource: Resource, source: FromClause) -> Expression:
        columns = [sa.type_coerce(c, sa.Text) for c in source.columns]
        return sa.func.carboy_version(sa.func.json_array(*map(_hashable, columns)))

    def comparable(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        """Tables made by others hold timestamps in several spellings, which text can't compare."""
        if type_.kind is Kind.DATETIME and getattr(column_type, "mixed_spellings", False):
            return _datetime(value, _constant("' '"), _constant("''"))
        return value

    def prepare(self, connection: Any) -> None:
        for name, arguments, function in FUNCTIONS:
            connection.create_function(name, arguments, function, deterministic=True)


def _own(source: FromClause, column: Any) -> Expression:
    found = source.corresponding_column(column)
    assert found is not None
    return found


def _searched_text(resource: Resource, source: FromClause) -> Expression:
    columns = [_own(source, field.column) for field in resource.search]
    return reduce(lambda a, b: a + _constant("' '") + b, [sa.func.coalesce(c, "") for c in columns])


def _hashable(value: Expression) -> Expression:
    blob = sa.func.typeof(value) == _constant("'blob'")
    return sa.case((blob, sa.func.hex(value)), else_=value)


def _path_step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]" if step >= 0 else f"[#{step}]"
    return f'."{step}"'


def _datetime(value: Expression, middle: Expression, end: Expression) -> Expression:
    """Timestamps with six digits of a second: SQLAlchemy's own spelling fast, others rightly."""
    text = sa.type_coerce(value, sa.Text)
    own = (
        sa.func.substr(text, 1, 10, type_=sa.Text)
        + middle
        + sa.func.substr(text, 12, type_=sa.Text)
    )
    day = sa.func.strftime("%Y-%m-%d", text, type_=sa.Text)
    time = sa.func.strftime("%H:%M:%f000", text, type_=sa.Text)
    other = sa.func.coalesce(day + middle + time + end, text)
    regular = text.op("GLOB")(_constant("'????-??-?? ??:??:??.??????'"))
    return sa.case((regular, own + end), else_=other)


def _time_padding(value: Expression) -> Expression:
    return sa.case((sa.func.length(value) == 8, ".000000"), else_="")


def _uuid(value: Expression) -> Expression:
    text = sa.type_coerce(value, sa.Text)
    part = sa.func.substr
    pieces = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)]
    dashed = reduce(
        lambda a, b: a + _constant("'-'") + b, [part(text, a, n, type_=sa.Text) for a, n in pieces]
    )
    return sa.case((sa.func.length(text) == 32, dashed), else_=text)
