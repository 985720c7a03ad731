"""A read plan to one SELECT, and that to text for the driver, once per shape of request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.engine.interfaces import Dialect as EngineDialect

from ..plan.nodes import ReadPlan
from .dialects import Dialect
from .read import ReadBuilder

Processor = Callable[[Any], Any]

_PLACEHOLDER = re.compile(r"%(?:\(([^)]+)\)s|%)")


class Statement(Struct, frozen=True, eq=False):
    """SQL as the driver takes it.

    ``parameters`` says for each parameter its name, the number of the value that it takes or
    None where ``constant`` is it, and what converts the value for the driver. ``numbered`` is the
    SQL as PostgreSQL itself takes it, where the row is a body and then numbers and texts.
    """

    sql: str
    parameters: tuple[tuple[str, int | None, Any, Processor | None], ...]
    positional: bool
    numbered: bytes | None = None

    def bind(self, values: Sequence[Any]) -> list[Any]:
        """One request's values as the driver takes them, one for each parameter."""
        return [
            constant
            if index is None
            else values[index]
            if process is None
            else process(values[index])
            for _, index, constant, process in self.parameters
        ]

    def named(self, bound: Sequence[Any]) -> Sequence[Any] | Mapping[str, Any]:
        """What ``bind`` made, in the driver's own form."""
        if self.positional:
            return bound
        names = (name for name, *_ in self.parameters)
        return dict(zip(names, bound, strict=True))


def compile_read(plan: ReadPlan, dialect: Dialect, engine_dialect: EngineDialect) -> Statement:
    """The statement whose single row is the answer."""
    return compile_row(ReadBuilder(dialect, plan.allowed).statement(plan), engine_dialect)


def compile_row(select: sa.Select[Any], engine_dialect: EngineDialect) -> Statement:
    """A statement whose one row is a body, and then numbers and texts."""
    statement = compile_select(select, engine_dialect)
    if engine_dialect.driver != "psycopg":
        return statement
    return replace(statement, numbered=_numbered(statement))


def _numbered(statement: Statement) -> bytes:
    """The SQL with $1, $2... for the parameters, in their order."""
    numbers = {name: f"${index}" for index, (name, *_) in enumerate(statement.parameters, 1)}
    sql = _PLACEHOLDER.sub(lambda found: numbers[found[1]] if found[1] else "%", statement.sql)
    return sql.encode()


def compile_matching(plan: ReadPlan, dialect: Dialect, engine_dialect: EngineDialect) -> Statement:
    """The rows that a list plan counts, for the database's planner to estimate."""
    return compile_select(ReadBuilder(dialect, plan.allowed).matching(plan), engine_dialect)


def compile_select(
    select: sa.Select[Any],
    engine_dialect: EngineDialect,
    positions: Mapping[str, int] = MappingProxyType({}),
) -> Statement:
    """SQL text and how its parameters are filled.

    Parameters called v0, v1... are values, and so are those whose keys ``positions`` numbers.
    """
    compiled = select.compile(dialect=engine_dialect)
    escaped = compiled.escaped_bind_names
    binds = {escaped.get(name, name): bind for bind, name in compiled.bind_names.items()}
    # The lists of a model's own IN conditions are written out; slots have no values yet.
    slots = {name: None for name, bind in binds.items() if bind.required}
    expanded = compiled.construct_expanded_state(slots)
    names = expanded.positiontup if compiled.positional else list(expanded.parameters)
    assert names is not None
    parameters = []
    for name in names:
        bind = binds.get(name)
        index = None if bind is None else positions.get(bind.key, _index(name))
        process: Processor | None = expanded.processors.get(name)
        if bind is not None:
            process = bind.type.dialect_impl(engine_dialect).bind_processor(engine_dialect)
        constant = None
        if index is None:
            value = expanded.parameters[name]
            constant = value if process is None else process(value)
        parameters.append((name, index, constant, process))
    return Statement(expanded.statement, tuple(parameters), bool(compiled.positional))


def _index(name: str) -> int | None:
    return int(name[1:]) if name[0] == "v" and name[1:].isdigit() else None
