"""The rows of an export: each row of the statement is a row of the answer, and ready for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect as EngineDialect
from sqlalchemy.sql import FromClause

from ..plan.nodes import ExportPlan, Node, Output
from .compile import Statement, compile_select
from .dialects import Dialect, Expression
from .expressions import number
from .read import ReadBuilder, holds_documents

_ONE: Expression = sa.literal_column("1")
_LONGEST_NAME = 63


def compile_export(
    plan: ExportPlan, dialect: Dialect, engine_dialect: EngineDialect, *, copied: bool
) -> Statement:
    """The statement of an export: each row's JSON in a line, or its cells as CSV has them.

    ``copied`` makes it a COPY, for the drivers that read those.
    """
    statement = compile_select(_Export(dialect, plan.allowed).rows(plan), engine_dialect)
    if not copied:
        return statement
    sql = dialect.copied(statement.sql, cells=plan.cells)
    # The driver looks for escaped % only where there are parameters.
    sql = sql if statement.parameters else sql % ()
    return Statement(sql, statement.parameters, statement.positional)


def _is_name(key: str, given: bool) -> bool:
    """Whether a key may name a column: clients' own are parameters, and long names are cut."""
    return not given and len(key.encode()) <= _LONGEST_NAME


class _Export(ReadBuilder):
    """Builds one statement.

    Unlike those of a page, no rows are thrown away, and they come as they are found.
    """

    def rows(self, plan: ExportPlan) -> sa.Select[Any]:
        """The SELECT of a whole plan."""
        node = plan.root
        if node.grouped:
            source: FromClause = self._groups(node)
            pairs = list(self._grouped_pairs(node, source))
        else:
            source = self.expressions.alias(node.resource.source)
            pairs = [] if plan.cells else list(self._pairs(node, source))
        loose = holds_documents(node)
        if plan.cells:
            return self._found(node, source, list(self._cells(node, source)))
        if self.dialect.names_rows and all(_is_name(key, given) for key, given, _ in pairs):
            values = [value.label(key) for key, _, value in pairs]
            rows = self._found(node, source, values).subquery(self.expressions.fresh("r"))
            row = self.dialect.line(sa.func.row_to_json(rows.table_valued()), loose=loose)
            return sa.select(row).select_from(rows)
        keyed = [(self.dialect.json_key(k, given=given), value) for k, given, value in pairs]
        row = self.dialect.line(self.dialect.json_object(keyed), loose=loose)
        return self._found(node, source, [row])

    def _found(
        self, node: Node, source: FromClause, columns: Sequence[Expression]
    ) -> sa.Select[Any]:
        """These columns of the rows that the node means, in its order."""
        query = sa.select(*columns).select_from(source)
        if not node.grouped:
            query = query.where(self._where(node, source, None))
        query = query.order_by(*self._order(node, source))
        if node.limit is not None:
            query = query.limit(number(node.limit))
        if node.offset is not None:
            query = query.offset(self.expressions.offset(node.offset))
        return query

    def _cells(self, node: Node, source: FromClause) -> Iterator[Expression]:
        """What each row puts out, in the order of its keys."""
        for output in node.outputs:
            if isinstance(output, Output):
                assert output.value is not None
                value = self.expressions.value(output.value, source)
                column_type = output.value.field.column.type
                yield self.dialect.cell(output.value.type, column_type, value)
            elif not output.spread:
                yield self.dialect.document_cell(self._embed(output, source))
            elif output.relation.many:
                for _, _, array in self._spread_arrays(output.node, output.relation, source):
                    yield self.dialect.document_cell(self.dialect.json_subquery(array))
            else:
                near, froms, condition = self.expressions.related(
                    output.relation, output.node.resource, source
                )
                for cell in self._cells(output.node, near):
                    query = sa.select(cell.label("value")).select_from(froms)
                    query = query.where(condition, *self._filter(output.node.where, near))
                    yield query.limit(_ONE).correlate(source).scalar_subquery()
