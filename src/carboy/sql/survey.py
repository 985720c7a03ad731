"""What a statement depends on: the tables in it, and whether it depends on nothing else."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine.interfaces import Dialect as EngineDialect
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler

from ..plan.nodes import ReadPlan
from .dialects import Dialect
from .read import ReadBuilder

# Functions whose results depend on their arguments alone: those that Carboy's statements have,
# and what is usual beside them. The names are the same in all databases.
_PURE_NAMES = """
abs array_agg array_length avg bit_length bool_and bool_or cardinality cast ceil ceiling
char_length coalesce concat concat_ws count date_format date_part date_trunc encode exp extract
floor greatest group_concat hex ifnull isfinite json json_agg json_array json_array_length
json_arrayagg json_build_array json_build_object json_each json_extract json_group_array
json_group_object json_object json_object_agg json_objectagg json_quote json_type json_unquote
json_valid jsonb_agg jsonb_array_elements jsonb_array_length jsonb_build_object jsonb_object_agg
jsonb_typeof least left length ln log lower lpad ltrim max md5 min mod nullif octet_length
phraseto_tsquery plainto_tsquery position power quote rank regexp_replace replace right round
row row_number rpad rtrim sign split_part sqrt string_agg strpos substr substring sum
time_format timestampdiff timezone to_base64 to_char to_json to_jsonb to_tsquery to_tsvector
translate trim trim_scale ts_rank typeof unnest upper websearch_to_tsquery
"""
_PURE = frozenset(_PURE_NAMES.split())
# A number, a quoted text with or without a type, and a column with its table.
_CONSTANT = re.compile(r"-?\d+(\.\d+)?|[eE]?'[^']*'(::\w+)?|\w+\.\w+|\*|NULL", re.IGNORECASE)


class Survey(Struct, frozen=True):
    """The names of the tables that a statement reads, without their schemas.

    ``whole`` says that no part of it is text, in which others may be named. ``pure`` says that
    the same rows give the same answer: no clock, no chance, no function that nobody knows.
    """

    tables: frozenset[str]
    whole: bool
    pure: bool


def survey(statement: Any, engine_dialect: EngineDialect) -> Survey:
    """What a statement depends on, found by compiling it: so nothing in its SQL is missed."""
    base: Any = engine_dialect.statement_compiler
    compiler: Any = _compiler(base)(engine_dialect, statement)
    known = not any(map(_is_foreign, visitors.iterate(statement)))
    return Survey(
        frozenset(compiler.carboy_tables),
        compiler.carboy_whole and known,
        compiler.carboy_pure and known,
    )


def survey_read(plan: ReadPlan, dialect: Dialect, engine_dialect: EngineDialect) -> Survey:
    """What the statement of a read plan depends on."""
    return survey(ReadBuilder(dialect, plan.allowed).statement(plan), engine_dialect)


def _is_foreign(element: Any) -> bool:
    """Whether it is of a class of the application's own, which writes what SQL it likes."""
    own = (c for c in type(element).__mro__ if issubclass(c, sa.ClauseElement))
    return not all(c.__module__.startswith(("sqlalchemy.", "carboy.")) for c in own)


@lru_cache(16)
def _compiler(base: type[SQLCompiler]) -> type[SQLCompiler]:
    """A dialect's compiler that notes what it comes across."""

    class Surveyor(base):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.carboy_tables: set[str] = set()
            self.carboy_whole = True
            self.carboy_pure = True
            super().__init__(*arguments, **options)

        def visit_table(self, table: Any, *arguments: Any, **options: Any) -> Any:
            self.carboy_tables.add(table.name)
            return super().visit_table(table, *arguments, **options)

        def visit_function(self, func: Any, *arguments: Any, **options: Any) -> Any:
            name = func.name.lower()
            if name not in _PURE and not name.startswith("carboy_"):
                self.carboy_pure = False
            return super().visit_function(func, *arguments, **options)

        def visit_column(self, column: Any, *arguments: Any, **options: Any) -> Any:
            if column.is_literal and not _CONSTANT.fullmatch(column.name):
                self.carboy_pure = self.carboy_whole = False
            return super().visit_column(column, *arguments, **options)

        def visit_textclause(self, textclause: Any, *arguments: Any, **options: Any) -> Any:
            self.carboy_pure = self.carboy_whole = False
            return super().visit_textclause(textclause, *arguments, **options)

        def visit_sequence(self, sequence: Any, *arguments: Any, **options: Any) -> Any:
            self.carboy_pure = False
            return super().visit_sequence(sequence, *arguments, **options)

    return Surveyor


def changed_tables(statement: Any) -> tuple[frozenset[sa.Table], bool] | None:
    """The tables that a statement of SQLAlchemy's writes, and whether rows may go or change keys.

    None for what isn't an INSERT, an UPDATE or a DELETE, and has none in it.
    """
    written: set[sa.Table] = set()
    found = replaces = False
    element: Any
    for element in visitors.iterate(statement):
        if getattr(element, "is_dml", False):
            found = True
            inserts = getattr(element, "is_insert", False)
            replaces = replaces or not inserts or element._post_values_clause is not None
            tables = visitors.iterate(element.table)
            written.update(each for each in tables if isinstance(each, sa.Table))
    return (frozenset(written), replaces) if found else None
