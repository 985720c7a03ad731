"""What differs between databases: one class holds every difference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.sql import ColumnElement, FromClause, visitors

from ...errors import InvalidQuery
from ...plan.nodes import Search
from ...schema import Field, FieldType, Kind, Resource

Expression = ColumnElement[Any]

# Function calls take a limited number of arguments: 100 on PostgreSQL, 127 on SQLite.
PAIRS_PER_CALL = 45


Array = Callable[[Expression], sa.Select[Any]]
"""The query of an array: of a value in each of the rows that the dialect has arranged."""


class Rows(Struct, frozen=True, eq=False):
    """An embed's rows: ``columns`` of what ``froms`` puts out, tied to a row of ``parent``.

    ``name`` is free for a subquery.
    """

    columns: Sequence[Expression]
    source: FromClause
    froms: FromClause
    condition: ColumnElement[bool]
    order: Sequence[Expression]
    limit: Expression | None
    offset: Expression | None
    parent: FromClause
    name: str

    def page(self) -> FromClause:
        """The rows of the page, in order, as a subquery."""
        query = sa.select(*self.columns).select_from(self.froms).where(self.condition)
        query = query.correlate(self.parent).order_by(*self.order)
        if self.limit is not None:
            query = query.limit(self.limit)
        if self.offset is not None:
            query = query.offset(self.offset)
        return query.subquery(self.name)


class Tied(Struct, frozen=True, eq=False):
    """A condition on an embed's rows in two: what holds among them, and what ties them outward.

    ``columns`` are the rows' own in ``ties``; groups are kept apart by them. ``name`` is free for
    a subquery.
    """

    inside: ColumnElement[bool]
    ties: ColumnElement[bool] | None = None
    columns: Sequence[Expression] = ()
    name: str = "one"

    def labelled(self) -> list[sa.Label[Any]]:
        """The columns, for groups to put out."""
        return [column.label(f"tie_{index}") for index, column in enumerate(self.columns)]

    def around(self, groups: FromClause, *, always: bool) -> tuple[FromClause, ColumnElement[bool]]:
        """What to select groups from, and on what condition.

        ``always`` says that there is a group even of no rows.
        """
        if self.ties is None:
            return groups, sa.true()
        places = dict(zip(self.columns, self.labelled(), strict=True))

        def replace(element: Any, **_: Any) -> Any:
            return groups.c[places[element].name] if element in places else None

        ties = visitors.replacement_traverse(self.ties, {}, replace)
        if not always:
            return groups, ties
        one = sa.select(sa.literal_column("1").label("one")).subquery(self.name)
        return one.outerjoin(groups, ties), sa.true()


class Dialect(ABC):
    """Builds what the databases spell differently; ``json_*`` methods make JSON values."""

    name: ClassVar[str]
    has_planner_estimates: ClassVar[bool] = False
    # Whether ``row_to_json`` is there, and quicker where keys are names of columns.
    names_rows: ClassVar[bool] = False
    # Whether ``inspect`` learns from a connection what ``search`` can use.
    inspects: ClassVar[bool] = False
    # Whether ``insert_rows`` can be had of it.
    reads_rows: ClassVar[bool] = False
    check_deferred: ClassVar[str | None] = None
    """The statement that checks deferred constraints before the COMMIT would."""
    entanglements: ClassVar[str]
    """A SELECT of (kind, table, other): ``view``s; tables with a ``trigger``; what ``follows`` a
    table when its rows go or change their keys; what holds the ``same`` rows, as partitions do;
    ``told`` where triggers tell of each write."""

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

    def json_key(self, key: str, *, given: bool) -> Expression:
        """An object's key: one that a client made up (``given``) is a parameter."""
        if given:
            return sa.literal(key, sa.Text)
        # Doubled where the literal needs it; SQLAlchemy doubles what the driver needs.
        text = key.replace("'", "''")
        return sa.literal_column(f"'{text}'", sa.Text)

    @abstractmethod
    def json_aggregate(
        self,
        value: Expression,
        where: Expression | None = None,
        order: Sequence[Expression] = (),
    ) -> Expression:
        """A JSON array of ``value`` in the rows for which ``where`` holds; ``[]`` for none.

        The rows come in ``order`` already, where a subquery's order is kept.
        """

    def array(self, rows: Rows) -> tuple[FromClause, Array]:
        """Where an array's values are to be taken from, and what makes the array's query."""
        page = rows.page()

        def made(value: Expression) -> sa.Select[Any]:
            query = sa.select(self.json_aggregate(value)).select_from(page)
            return query.correlate(rows.parent)

        return page, made

    def first(self, rows: Rows, value: Callable[[FromClause], Expression]) -> sa.Select[Any]:
        """The query of a value in the first of the rows."""
        page = rows.page()
        query = sa.select(value(page)).select_from(page)
        return query.limit(sa.literal_column("1")).correlate(rows.parent)

    def in_order(self, select: sa.Select[Any]) -> sa.Select[Any]:
        """A select that keeps its order as a subquery."""
        return select

    def tied(self, condition: ColumnElement[bool], parent: FromClause) -> Tied:
        """What of a condition can stand in a subquery in FROM: all, where that sees outward."""
        return Tied(condition)

    def sorted(
        self, value: Expression, *, descending: bool, nulls_first: bool | None
    ) -> list[Expression]:
        """A value in ORDER BY; ``nulls_first`` is None where it is never NULL."""
        ordered = value.desc() if descending else value.asc()
        if nulls_first is None:
            return [ordered]
        return [ordered.nulls_first() if nulls_first else ordered.nulls_last()]

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

    def line(self, json: Expression, *, loose: bool) -> Expression:
        """As ``body``, in one line; ``loose`` JSON may have line breaks between its values."""
        return self.body(json)

    def cell(self, type_: FieldType, column_type: Any, value: Expression) -> Expression:
        """A column's value as a cell of CSV: the text that its JSON has; only of ``copied``."""
        raise NotImplementedError

    def document_cell(self, json: Expression) -> Expression:
        """JSON as a cell of CSV; only of ``copied``."""
        raise NotImplementedError

    def copied(self, sql: str, *, cells: bool) -> str:
        """The statement as one whose rows are lines of text; for drivers that read those."""
        raise NotImplementedError

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

    @abstractmethod
    def insert_new(self, table: sa.Table) -> sa.Insert:
        """An INSERT that leaves a row out where one with the same unique values is there."""

    def lock(self, number: int, *, wait: bool) -> Expression | None:
        """Takes lock ``number`` (64 bits) until the transaction ends; None without such locks.

        Without ``wait``, false where another transaction has it.
        """
        return None

    def prepare(self, connection: Any) -> None:  # noqa: B027  most need nothing
        """Make a new driver connection ready: called once for each."""

    def was_cut(self, cursor: Any) -> bool:
        """Whether the database has cut the answer to a statement that has just been executed."""
        return False

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
