"""The shape of every read: which rows, then one JSON object for each, nested ones by subquery.

Rows are picked, ordered and limited first; the objects are built over what is left. To-many
relations are correlated subqueries and never joins, which would multiply rows and counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeGuard

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement, FromClause, operators
from sqlalchemy.sql.elements import BooleanClauseList, KeyedColumnElement

from ..plan.nodes import (
    Allowed,
    Embed,
    FieldValue,
    Node,
    Output,
    OutputValue,
    Predicate,
    ReadPlan,
    RelatedValue,
    Sort,
    Value,
    innermost,
)
from ..schema import Kind, Relation, Resource
from .dialects import Dialect, Expression, Rows, Tied, stored_columns
from .expressions import Expressions, number, own_column

_ONE: Expression = sa.literal_column("1")

_Joined: TypeAlias = list[tuple[FromClause, ColumnElement[bool]]]
"""Tables, and the conditions on which each has one row at most."""


class ReadBuilder:
    """Builds one statement."""

    def __init__(self, dialect: Dialect, allowed: Iterable[Allowed]) -> None:
        self.dialect = dialect
        self.expressions = Expressions(dialect, allowed)

    def statement(self, plan: ReadPlan) -> sa.Select[Any]:
        """The SELECT of a whole plan."""
        return self._item(plan) if plan.shown is None else self._list(plan)

    def matching(self, plan: ReadPlan) -> sa.Select[Any]:
        """Every row that the root matches, whatever the page."""
        node = plan.root
        source = self.expressions.alias(node.resource.source)
        condition = self._where(node, source, None)
        return sa.select(_ONE).select_from(source).where(condition)

    def _item(self, plan: ReadPlan) -> sa.Select[Any]:
        node = plan.root
        source = self.expressions.alias(node.resource.source)
        body = self.dialect.body(self.object(node, source))
        columns = stored_columns(node.resource, source, plan.versioned)
        version = self.dialect.row_version(columns)
        query = sa.select(body, version).select_from(source)
        return query.where(self._where(node, source, None))

    def _list(self, plan: ReadPlan) -> sa.Select[Any]:
        assert plan.shown is not None
        shown = number(plan.shown)
        if plan.root.offset is not None:
            # Rows are numbered from the first that matches.
            shown = self.expressions.offset(plan.root.offset) + shown
        rows = self._grouped_rows(plan.root) if plan.root.grouped else self._root_rows(plan)
        index = rows.c[_unused(plan.root, "row_index")]
        row = self._row_object(plan, rows)
        columns = [
            self.dialect.body(self.dialect.json_aggregate(row, index <= shown, [index])),
            sa.func.count(),
            self._cursor(plan, rows, shown),
            self._total(plan),
        ]
        return sa.select(*columns).select_from(rows)

    def _row_object(self, plan: ReadPlan, rows: FromClause) -> Expression:
        if plan.root.grouped:
            return self._grouped_object(plan.root, rows)
        return self.object(plan.root, rows)

    # Rows

    def _root_rows(self, plan: ReadPlan) -> FromClause:
        node = plan.root
        source = self.expressions.alias(node.resource.source)
        condition = self._where(node, source, plan.after)
        computed = [
            self.expressions.value(value, source).label(_unused(node, f"sort_{index}"))
            for index, value in enumerate(sort.value for sort in node.order)
            if plan.cursor and _is_computed(value)
        ]
        query = sa.select(*self._needed(node, source, plan.cursor), *computed)
        return self._page(node, query.select_from(source).where(condition), source)

    def _related_rows(self, node: Node, relation: Relation, parent: FromClause) -> Rows:
        source, froms, condition = self.expressions.related(relation, node.resource, parent)
        condition = sa.and_(condition, *self._filter(node.where, source))
        columns = self._needed(node, source, False)
        return self._rows(node, columns, source, froms, condition, parent)

    def _rows(
        self,
        node: Node,
        columns: Sequence[Expression],
        source: FromClause,
        froms: FromClause,
        condition: ColumnElement[bool],
        parent: FromClause,
    ) -> Rows:
        return Rows(
            columns=columns,
            source=source,
            froms=froms,
            condition=condition,
            order=self._order(node, source),
            limit=None if node.limit is None else number(node.limit),
            offset=None if node.offset is None else self.expressions.offset(node.offset),
            parent=parent,
            name=self.expressions.fresh("r"),
        )

    def _page(self, node: Node, query: sa.Select[Any], source: FromClause) -> FromClause:
        """The root's rows, numbered."""
        order = self._order(node, source)
        index = sa.func.row_number().over(order_by=order or None)
        query = query.add_columns(index.label(_unused(node, "row_index"))).order_by(*order)
        if node.limit is not None:
            query = query.limit(number(node.limit))
        if node.offset is not None:
            query = query.offset(self.expressions.offset(node.offset))
        return query.subquery(self.expressions.fresh("r"))

    def _order(self, node: Node, source: FromClause) -> list[Expression]:
        return [part for sort in node.order for part in self._sort(sort, node, source)]

    def _needed(self, node: Node, source: FromClause, cursor: bool) -> list[Expression]:
        """The columns that objects and relations are made of."""
        columns = dict.fromkeys(_columns(node))
        if cursor:
            sorted_by = (
                s.value.field.column for s in node.order if isinstance(s.value, FieldValue)
            )
            columns |= dict.fromkeys(sorted_by)
        return [own_column(source, column) for column in columns] or [_ONE.label("one")]

    def _where(
        self, node: Node, source: FromClause, after: Predicate | None
    ) -> ColumnElement[bool]:
        parts = [*self._filter(node.where, source), *self._filter(after, source)]
        return self.expressions.limited(node.resource, source, sa.and_(sa.true(), *parts))

    def _filter(self, predicate: Predicate | None, source: FromClause) -> list[ColumnElement[bool]]:
        return [] if predicate is None else [self.expressions.predicate(predicate, source)]

    def _sort(self, sort: Sort, node: Node, source: FromClause) -> list[Expression]:
        if isinstance(sort.value, OutputValue):
            value = self._ordered_output(sort.value.index, node, source)
            nullable = True
        else:
            value = self.expressions.ordered(sort.value, source)
            nullable = sort.value.nullable
        nulls_first = sort.nulls_first if nullable else None
        return self.dialect.sorted(value, descending=sort.descending, nulls_first=nulls_first)

    def _ordered_output(self, index: int, node: Node, source: FromClause) -> Expression:
        column: Expression = source.c[f"o{index}"]
        output = [output for _, _, output in _flattened(node)][index]
        if output is None or output.aggregate is not None or output.value is None:
            return column
        value = output.value
        return self.dialect.ordered(value.type, value.field.column.type, column)

    # Objects

    def object(self, node: Node, source: FromClause) -> Expression:
        """The JSON object of each row that ``source`` puts out."""
        return self.dialect.json_object(
            [
                (self.dialect.json_key(key, given=given), value)
                for key, given, value in self._pairs(node, source)
            ]
        )

    def _pairs(self, node: Node, source: FromClause) -> Iterator[tuple[str, bool, Expression]]:
        for output in node.outputs:
            if isinstance(output, Output):
                yield output.key, output.given, self._output(output, source)
            elif output.spread:
                yield from self._spread(output, source)
            else:
                yield output.key, output.given, self._embed(output, source)

    def _output(self, output: Output, source: FromClause) -> Expression:
        assert output.value is not None
        value = self.expressions.value(output.value, source)
        return self._json(output.value, value)

    def _json(self, value: FieldValue, expression: Expression) -> Expression:
        return self.dialect.json_value(value.type, value.field.column.type, expression)

    def _embed(self, embed: Embed, parent: FromClause) -> Expression:
        node = embed.node
        if embed.relation.many:
            return self.dialect.json_subquery(self._array(node, embed.relation, parent))
        if node.grouped:
            rows = self._related_groups(node, embed.relation, parent)
            one = self.dialect.first(rows, lambda source: self._grouped_object(node, source))
            return self.dialect.json_subquery(one)
        source, froms, condition = self.expressions.related(embed.relation, node.resource, parent)
        query = sa.select(self.object(node, source)).select_from(froms)
        query = query.where(condition, *self._filter(node.where, source))
        return self.dialect.json_subquery(query.limit(_ONE).correlate(parent))

    def _array(self, node: Node, relation: Relation, parent: FromClause) -> sa.Select[Any]:
        if node.grouped:
            source, array = self.dialect.array(self._related_groups(node, relation, parent))
            return array(self._grouped_object(node, source))
        source, array = self.dialect.array(self._related_rows(node, relation, parent))
        return array(self.object(node, source))

    def _spread(self, embed: Embed, parent: FromClause) -> Iterator[tuple[str, bool, Expression]]:
        """A to-one's keys beside the parent's own; a to-many's as arrays."""
        node, relation = embed.node, embed.relation
        if relation.many:
            for key, given, array in self._spread_arrays(node, relation, parent):
                yield key, given, self.dialect.json_subquery(array)
            return
        source, froms, condition = self.expressions.related(relation, node.resource, parent)
        for key, given, value in self._pairs(node, source):
            query = sa.select(value.label("value")).select_from(froms)
            query = query.where(condition, *self._filter(node.where, source))
            yield key, given, self.dialect.scalar_subquery(query.limit(_ONE).correlate(parent))

    def _spread_arrays(
        self, node: Node, relation: Relation, parent: FromClause
    ) -> Iterator[tuple[str, bool, sa.Select[Any]]]:
        if node.grouped:
            source, array = self.dialect.array(self._related_groups(node, relation, parent))
            pairs = self._grouped_pairs(node, source)
        else:
            source, array = self.dialect.array(self._related_rows(node, relation, parent))
            pairs = self._pairs(node, source)
        return ((key, given, array(value)) for key, given, value in pairs)

    # Groups

    def _grouped_rows(self, node: Node) -> FromClause:
        """Three steps: the raw values of each row, groups of equal ones, then order and page."""
        groups = self._groups(node)
        return self._page(node, sa.select(*groups.c).select_from(groups), groups)

    def _groups(self, node: Node) -> FromClause:
        source = self.expressions.alias(node.resource.source)
        return self._grouped(node, source, source, Tied(self._where(node, source, None)), None)

    def _related_groups(self, node: Node, relation: Relation, parent: FromClause) -> Rows:
        source, froms, condition = self.expressions.related(relation, node.resource, parent)
        tied = self.dialect.tied(sa.and_(condition, *self._filter(node.where, source)), parent)
        groups = self._grouped(node, source, froms, tied, parent)
        plain = any(o is None or o.aggregate is None for _, _, o in _flattened(node))
        around, condition = tied.around(groups, always=not plain)
        return self._rows(node, list(groups.c), groups, around, condition, parent)

    def _grouped(
        self,
        node: Node,
        source: FromClause,
        froms: FromClause,
        tied: Tied,
        parent: FromClause | None,
    ) -> FromClause:
        joined: _Joined = []
        outputs = list(self._raw(node, source, joined))
        for target, condition in joined:
            froms = froms.outerjoin(target, condition)
        raw = [value.label(f"o{i}") for i, (_, value) in enumerate(outputs)]
        raw += tied.labelled()
        rows = sa.select(*raw or [_ONE.label("one")]).select_from(froms).where(tied.inside)
        if parent is not None:
            rows = rows.correlate(parent)
        base = rows.subquery(self.expressions.fresh("b"))
        columns: list[Expression] = [base.c[label.name] for label in tied.labelled()]
        plain = list(columns)
        for index, (output, _) in enumerate(outputs):
            column = base.c[f"o{index}"]
            if output is not None and output.aggregate is not None:
                columns.append(self._aggregate(output, column).label(f"o{index}"))
            else:
                columns.append(column)
                plain.append(column)
        grouped = sa.select(*columns).select_from(base).group_by(*plain)
        return grouped.subquery(self.expressions.fresh("g"))

    def _raw(
        self, node: Node, source: FromClause, joined: _Joined | None
    ) -> Iterator[tuple[Output | None, Expression]]:
        """Values as the database has them, in the order of the output keys.

        ``joined`` gets what they take beside ``source``, where that may be joined to it.
        """
        for output in node.outputs:
            if isinstance(output, Output):
                counted = output.value is None
                value = _ONE if counted else self._raw_value(output, source)
                yield output, value
            elif not output.spread:
                yield None, self.dialect.groupable(self._embed(output, source))
            else:
                yield from self._raw_spread(output, source, joined)

    def _raw_value(self, output: Output, source: FromClause) -> Expression:
        assert output.value is not None
        value = self.expressions.value(output.value, source)
        if output.aggregate is not None:
            return value
        # JSON has no equality to group by; its text has. The same goes for types unknown here.
        if output.value.type.kind is Kind.JSON:
            return self.dialect.groupable(self._json(output.value, value))
        return self.dialect.comparable(output.value.type, output.value.field.column.type, value)

    def _raw_spread(
        self, embed: Embed, parent: FromClause, joined: _Joined | None
    ) -> Iterator[tuple[Output | None, Expression]]:
        node, relation = embed.node, embed.relation
        source, froms, condition = self.expressions.related(relation, node.resource, parent)
        condition = sa.and_(condition, *self._filter(node.where, source))
        if joined is not None and _leads_to_one_row(relation, node.resource):
            # A subquery is run for each row, before there are groups.
            joined.append((source, condition))
            yield from self._raw(node, source, joined)
            return
        for output, value in self._raw(node, source, None):
            query = sa.select(value.label("value")).select_from(froms).where(condition)
            yield output, query.limit(_ONE).correlate(parent).scalar_subquery()

    def _aggregate(self, output: Output, column: Expression) -> Expression:
        if output.value is None:
            return sa.func.count()
        if output.aggregate == "avg":
            return self.dialect.average(output.value.type, column)[0]
        if output.aggregate == "sum":
            return self.dialect.total(output.value.type, column)
        return getattr(sa.func, output.aggregate or "count")(column)  # type: ignore[no-any-return]

    def _grouped_object(self, node: Node, rows: FromClause) -> Expression:
        pairs = self._grouped_pairs(node, rows)
        return self.dialect.json_object(
            [(self.dialect.json_key(key, given=given), value) for key, given, value in pairs]
        )

    def _grouped_pairs(
        self, node: Node, rows: FromClause
    ) -> Iterator[tuple[str, bool, Expression]]:
        for index, (key, given, output) in enumerate(_flattened(node)):
            column = rows.c[f"o{index}"]
            if output is None:
                yield key, given, self.dialect.ungroup(column)
            else:
                yield key, given, self._aggregated_json(output, column)

    def _aggregated_json(self, output: Output, column: Expression) -> Expression:
        value = output.value
        if value is None or output.aggregate == "count":
            # Where groups are joined from outside, the count of no rows is missing.
            return sa.func.coalesce(column, sa.literal_column("0"), type_=sa.BigInteger)
        if output.aggregate == "avg":
            _, type_ = self.dialect.average(value.type, column)
            return self.dialect.json_value(type_, value.field.column.type, column)
        if output.aggregate is None and value.type.kind is Kind.JSON:
            return self.dialect.ungroup(column)
        return self._json(value, column)

    # What else an answer says

    def _cursor(self, plan: ReadPlan, rows: FromClause, shown: Expression) -> Expression:
        """The order's values in the last row shown."""
        if not plan.cursor:
            return sa.null()
        values = []
        for index, sort in enumerate(plan.root.order):
            assert isinstance(sort.value, FieldValue | RelatedValue)
            inner = innermost(sort.value)
            name = _unused(plan.root, f"sort_{index}")
            column = rows.c[name] if name in rows.c else self.expressions.value(sort.value, rows)
            column_type = inner.field.column.type
            values.append(self.dialect.cursor_value(inner.type, column_type, column))
        array = sa.cast(self.dialect.json_array(values), sa.Text)
        last = rows.c[_unused(plan.root, "row_index")] == shown
        return sa.func.max(sa.case((last, array)))

    def _total(self, plan: ReadPlan) -> Expression:
        """The number of all rows that match; an estimate stops counting when it is enough."""
        if plan.counted is None:
            return sa.null()
        if plan.counted == "planned" and self.dialect.has_planner_estimates:
            return sa.null()
        if plan.root.grouped:
            matching: Any = sa.select(_ONE).select_from(self._groups(plan.root))
        else:
            matching = self.matching(plan)
        if plan.counted == "estimated" and self.dialect.has_planner_estimates:
            matching = matching.limit(number(plan.estimate_above + 1))
        counted = matching.subquery(self.expressions.fresh("n"))
        return sa.select(sa.func.count()).select_from(counted).scalar_subquery()


def holds_documents(node: Node) -> bool:
    """Whether a node, or one below it, puts out JSON that somebody else has written."""
    return any(
        holds_documents(output.node)
        if isinstance(output, Embed)
        else output.value is not None and output.value.type.kind in (Kind.JSON, Kind.ARRAY)
        for output in node.outputs
    )


def _leads_to_one_row(relation: Relation, resource: Resource) -> bool:
    """Whether a relation's condition is about the whole key of its target, so that it finds one."""
    if relation.link is not None or resource.table is None:
        return False
    condition = relation.condition
    is_list = isinstance(condition, BooleanClauseList) and condition.operator is operators.and_
    compared = {
        side
        for part in (condition.get_children() if is_list else (condition,))
        if isinstance(part, sa.BinaryExpression) and part.operator is operators.eq
        for side in (part.left, part.right)
        if "remote" in side._annotations
    }
    key = resource.table.primary_key.columns
    return len(key) > 0 and all(column in compared for column in key)


def _is_computed(value: Value | OutputValue) -> TypeGuard[FieldValue | RelatedValue]:
    """Whether a value is more than a column of the row itself."""
    return isinstance(value, RelatedValue) or (isinstance(value, FieldValue) and bool(value.steps))


def _unused(node: Node, name: str) -> str:
    """The name, or one made from it where the node's table has a column that is called so."""
    while name in node.resource.source.c:
        name += "_"
    return name


def _columns(node: Node) -> Iterator[KeyedColumnElement[Any]]:
    for output in node.outputs:
        if isinstance(output, Embed):
            yield from output.relation.local
        elif output.value is not None:
            yield output.value.field.column


def _flattened(node: Node) -> Iterator[tuple[str, bool, Output | None]]:
    """The output keys with what makes each: None for a whole embed."""
    for output in node.outputs:
        if isinstance(output, Output):
            yield output.key, output.given, output
        elif output.spread:
            yield from _flattened(output.node)
        else:
            yield output.key, output.given, None
