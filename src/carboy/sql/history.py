"""The table of all histories, and the statement that reads one row's."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect as EngineDialect
from sqlalchemy.sql import ColumnElement, FromClause

from ..plan.history import HistoryPlan
from ..schema import FieldType, Kind, UTCDateTime
from .column_types import long_text
from .compile import Statement, compile_select
from .dialects import Dialect, Expression
from .expressions import Expressions, number

# MariaDB indexes only the beginnings of texts.
_INDEXED = {"resource": 100, "key": 400}

HISTORY = sa.Table(
    "carboy_history",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("resource", long_text(), nullable=False),
    sa.Column("key", long_text(), nullable=False),
    sa.Column("at", UTCDateTime, nullable=False, index=True),
    sa.Column("actor", long_text()),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("changes", long_text(), nullable=False),
    sa.Index(
        "ix_carboy_history_row",
        "resource",
        "key",
        "id",
        mysql_length=_INDEXED,
        mariadb_length=_INDEXED,
    ),
    # Ids of entries that are gone don't come again.
    sqlite_autoincrement=True,
)
"""``key`` is the row's as in URLs; ``actor`` is None for nobody; ``action`` is create, update or
delete. ``changes`` is a JSON object: by field ``[old, new]``, or ``[]`` where the values are
hidden; by relation ``{"added": [keys], "removed": [keys]}``."""

_MOMENT = FieldType(Kind.DATETIME, aware=True)
_TEXT = FieldType(Kind.TEXT)


def compile_history(
    plan: HistoryPlan, dialect: Dialect, engine_dialect: EngineDialect
) -> Statement:
    """The statement whose single row is a page, its length, its cursor and whether to show it."""
    return compile_select(_HistoryBuilder(plan, dialect).statement(), engine_dialect)


class _HistoryBuilder:
    def __init__(self, plan: HistoryPlan, dialect: Dialect) -> None:
        self.plan = plan
        self.dialect = dialect
        self.expressions = Expressions(dialect, plan.allowed)

    def statement(self) -> sa.Select[Any]:
        rows = self._page()
        shown = number(self.plan.limit)
        if self.plan.offset is not None:
            shown = self.expressions.slot(self.plan.offset) + shown
        index = rows.c.row_index
        array = self.dialect.json_aggregate(self._entry(rows), index <= shown, [index])
        last = sa.func.max(sa.case((index == shown, rows.c.id)))
        columns: list[Expression] = [self.dialect.body(array), sa.func.count(), last]
        return sa.select(*columns, self._is_known()).select_from(rows)

    def _page(self) -> FromClause:
        """The newest entries; those in which nothing can be shown don't count."""
        entries = self._entries()
        told = sa.or_(entries.c.action != "update", entries.c.changes.is_not(sa.null()))
        newest = entries.c.id.desc()
        index = sa.func.row_number().over(order_by=newest).label("row_index")
        query = sa.select(*entries.c, index).where(told).order_by(newest)
        query = query.limit(number(self.plan.limit + 1))
        if self.plan.offset is not None:
            query = query.offset(self.expressions.slot(self.plan.offset))
        return query.subquery("r")

    def _entries(self) -> FromClause:
        source = HISTORY.alias("h")
        changes = self.dialect.json_members(source.c.changes, self.plan.names)
        query = sa.select(
            source.c.id,
            source.c.at,
            source.c.actor,
            source.c.action,
            self.dialect.groupable(changes).label("changes"),
        ).where(*self._of_row(source))
        if self.plan.after is not None:
            query = query.where(source.c.id < self.expressions.slot(self.plan.after))
        if not self.plan.all_rows:
            query = query.where(self._row_exists(), source.c.id > self._beginning())
        return query.subquery("e")

    def _of_row(self, source: FromClause) -> list[ColumnElement[bool]]:
        name = sa.literal(self.plan.resource.name, sa.Text)
        return [source.c.resource == name, source.c.key == self.expressions.slot(self.plan.key)]

    def _beginning(self) -> Expression:
        """The entry after which the key is the row's that has it now.

        A key may be given to a new row, whose reader is not the reader of the row before it.
        """
        source = HISTORY.alias("b")
        key = [field.name for field in self.plan.resource.key]
        moved = self.dialect.json_members(source.c.changes, key).is_not(sa.null())
        action, entry = source.c.action, source.c.id
        before = sa.case(
            (action == sa.literal_column("'create'"), entry - number(1)),
            (sa.or_(action == sa.literal_column("'delete'"), moved), entry),
        )
        last = sa.func.coalesce(sa.func.max(before), number(0))
        return sa.select(last).where(*self._of_row(source)).scalar_subquery()

    def _row_exists(self) -> ColumnElement[bool]:
        """Whether the row is there, and may be read."""
        resource = self.plan.resource
        source = self.expressions.alias(resource.source)
        where = self.expressions.predicate(self.plan.where, source)
        row = sa.select(number(1)).select_from(source)
        return row.where(self.expressions.limited(resource, source, where)).exists()

    def _is_known(self) -> ColumnElement[bool]:
        """Whether there is a row to speak of: one that can be read, or one that is gone."""
        if not self.plan.all_rows:
            return self._row_exists()
        source = HISTORY.alias("k")
        entry = sa.select(number(1)).select_from(source).where(*self._of_row(source))
        return sa.or_(self._row_exists(), entry.exists())

    def _entry(self, rows: FromClause) -> Expression:
        changes = sa.func.coalesce(rows.c.changes, sa.literal_column("'{}'"), type_=sa.Text)
        members = {
            "id": rows.c.id,
            "at": self.dialect.json_value(_MOMENT, HISTORY.c.at.type, rows.c.at),
            "actor": self.dialect.json_value(_TEXT, HISTORY.c.actor.type, rows.c.actor),
            "action": self.dialect.json_value(_TEXT, HISTORY.c.action.type, rows.c.action),
            "changes": self.dialect.ungroup(changes),
        }
        return self.dialect.json_object(
            [(self.dialect.json_key(name, given=False), v) for name, v in members.items()]
        )
