"""What differs between databases: one class holds every difference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement, FromClause

from ...errors import InvalidQuery
from ...plan.nodes import Search
from ...schema import Field, FieldType, Kind, Resource

Expression = ColumnElement[Any]

# Function calls take a limited number of arguments: 100 on PostgreSQL, 127 on SQLite.
PAIRS_PER_CALL = 45


class Dialect(ABC):
    """Builds what the databases spell differently; ``json_*`` methods make JSON values."""

    name: ClassVar[str]
    has_planner_estimates: ClassVar[bool] = False
    # Whether ``inspect`` learns from a connection what ``search`` can use.
    inspects: ClassVar[bool] = False
    check_deferred: ClassVar[str | None] = None
    """The statement that checks deferred constraints before the COMMIT would."""

    def json_object(self, pairs: Sequence[tuple[Expression, Expression]]) -> Expression:
        """A JSON object, in as many calls as its width takes."""
        if len(pairs) <= PAIRS_PER_CALL:
            return self._object_call(pairs)
        chunks = [pairs[i : i + PAIRS_PER_CALL] for i in range(0, len(pairs), PAIRS_PER_CALL)]
        return self._joined_objects([self._object_call(chunk) for chunk in chunks])

    @abstractmethod
    def _object_call(self, pairs: Sequence[tuple[Expression, Expression]]) -> Expression: ...

    @abstractmethod
    def _joined_objects(self, objects: Sequence[Expression]) -> Expression: ...

    @abstractmethod
    def json_array(self, values: Sequence[Expression]) -> Expression:
        """A JSON array of a few values."""

    @abstractmethod
    def json_aggregate(self, value: Expression, where: Expression | None = None) -> Expression:
        """A JSON array of ``value`` in the rows for which ``where`` holds; ``[]`` for none."""

    @abstractmethod
    def json_value(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        """A column's value as JSON shows it. The table of formats is in docs/reference/json.md."""

    def cursor_value(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        """As ``json_value``, but infinities are text: a cursor must tell them from NULL."""
        return self.json_value(type_, column_type, value)

    @abstractmethod
    def json_subquery(self, query: sa.Select[Any]) -> Expression:
        """A scalar subquery whose value is an object or array of JSON."""

    @abstractmethod
    def scalar_subquery(self, query: sa.Select[Any]) -> Expression:
        """A scalar subquery whose value went through ``json_value``."""

    @abstractmethod
    def body(self, json: Expression) -> Expression:
        """JSON as the type in which the driver hands it over most cheaply."""

    @abstractmethod
    def groupable(self, json: Expression) -> Expression:
        """JSON as something that GROUP BY takes; ``ungroup`` is the way back."""

    @abstractmethod
    def ungroup(self, value: Expression) -> Expression:
        """What ``groupable`` made, as JSON."""

    @abstractmethod
    def json_path(self, value: Expression, steps: Sequence[str | int], as_text: bool) -> Expression:
        """A place inside a JSON value, as JSON or as text."""

    @abstractmethod
    def json_members(self, document: Expression, names: Sequence[str]) -> Expression:
        """A JSON object with only the members of these names, of a text; NULL without any."""

    @abstractmethod
    def like(self, value: Expression, name: str, *, fold_case: bool) -> Expression:
        """LIKE with the parameter called ``name``; case counts unless it is folded."""

    @abstractmethod
    def contains(
        self, op: str, type_: FieldType, column_type: Any, value: Expression, name: str
    ) -> Expression:
        """``cs``, ``cd`` and ``ov`` against the parameter called ``name``."""

    @abstractmethod
    def full_text(self, op: str, value: Expression, name: str, config: str) -> Expression:
        """One full-text operator on one text."""

    @abstractmethod
    def search(self, search: Search, source: FromClause, words: Sequence[str]) -> Expression:
        """Rows in which every word (parameters by name) is found."""

    @abstractmethod
    def rank(self, search: Search, source: FromClause, words: Sequence[str]) -> Expression:
        """How well a row matches, greater for better."""

    @abstractmethod
    def row_version(self, columns: Sequence[Expression]) -> Expression:
        """Text that changes whenever one of a row's columns does."""

    def comparable(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        """A column as comparisons and orders want it."""
        return value

    def ordered(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        """A comparable value as ORDER BY and the operators beside equality want it.

        Enums are ordered as their choices are declared.
        """
        if type_.kind is not Kind.ENUM or self.orders_enums(column_type):
            return value
        places: list[tuple[Expression, Expression]] = [
            (value == stored, sa.literal_column(str(place)))
            for place, (stored, _) in enumerate(type_.choices)
        ]
        places.append((value.is_not(sa.null()), sa.literal_column(str(len(places)))))
        return sa.case(*places)

    def orders_enums(self, column_type: Any) -> bool:
        """Whether the database itself orders the enum as it is declared."""
        return False

    def operand(
        self, type_: FieldType, column_type: Any, value: Expression, parameter: Expression
    ) -> Expression:
        """A parameter as ``value``, which went through ``comparable``, is compared with it."""
        return self.comparable(type_, column_type, parameter)

    def distinct(self, value: Expression, parameter: Expression) -> Expression:
        """IS DISTINCT FROM: like ``neq``, with NULL as a value like any other."""
        return value.is_distinct_from(parameter)

    def total(self, type_: FieldType, value: Expression) -> Expression:
        """The sum."""
        return sa.func.sum(value)

    def average(self, type_: FieldType, value: Expression) -> tuple[Expression, FieldType]:
        """The mean and its type: exact decimals keep four more digits, the rest are doubles."""
        if type_.kind is Kind.NUMERIC:
            scale = (type_.scale if type_.scale is not None else 6) + 4
            return sa.func.avg(value), FieldType(Kind.NUMERIC, precision=None, scale=scale)
        mean = sa.cast(sa.func.sum(value), sa.Double) / sa.func.count(value)
        return mean, FieldType(Kind.FLOAT)

    def lock(self, number: int, *, wait: bool) -> Expression | None:
        """Takes lock ``number`` (64 bits) until the transaction ends; None without such locks.

        Without ``wait``, false where another transaction has it.
        """
        return None

    def insert_new(self, table: sa.Table) -> sa.Insert:
        """An INSERT that leaves a row out where one with the same unique values is there."""
        return sa.insert(table).prefix_with("IGNORE")

    def prepare(self, connection: Any) -> None:  # noqa: B027  most need nothing
        """Make a new driver connection ready: called once for each."""

    def inspect(self, connection: Any) -> None:  # noqa: B027  most need nothing
        """Look for what serves a search: called once, before the first one is compiled."""


def stored_columns(
    resource: Resource, source: FromClause, fields: Sequence[Field]
) -> list[Expression]:
    """The fields' columns, without those that are computed from other rows."""
    stored = {c for table in resource.tables for c in table.columns}
    columns = [f.column for f in fields if not resource.tables or f.column in stored]
    return [own for c in columns if (own := source.corresponding_column(c)) is not None]


def refuse(feature: str, database: str) -> InvalidQuery:
    """The 400 for what this database can't do."""
    return InvalidQuery(f"{feature} isn't available on {database}")
