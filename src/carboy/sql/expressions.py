"""Values and predicates of a plan to SQLAlchemy expressions over one source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement, FromClause, visitors
from sqlalchemy.sql.elements import BindParameter, ColumnClause, KeyedColumnElement

from ..access import Form, PolicyError
from ..plan.nodes import (
    Allowed,
    Compare,
    Contains,
    Every,
    Exists,
    FullText,
    Is,
    Member,
    Not,
    Predicate,
    Rank,
    RelatedValue,
    Search,
    Slot,
    Some,
    Value,
    innermost,
)
from ..schema import Kind, Relation, Resource
from .dialects import Dialect, Expression

_COMPARISONS: dict[str, Callable[[Expression, Expression], Expression]] = {
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}
_KIND_TYPES: dict[Kind, Any] = {
    Kind.INTEGER: sa.BigInteger,
    Kind.FLOAT: sa.Double,
    Kind.NUMERIC: sa.Numeric,
    Kind.BOOLEAN: sa.Boolean,
}


def number(value: int) -> Expression:
    """A whole number of our own, as it stands in the SQL."""
    return sa.literal_column(str(int(value)), sa.BigInteger)


def slot_name(index: int) -> str:
    """The name of a value's parameter."""
    return f"v{index}"


def own_column(source: FromClause, column: KeyedColumnElement[Any]) -> Expression:
    """A table's column as a source made from it puts it out."""
    found = source.corresponding_column(column)
    assert found is not None, f"{source} lacks {column}"
    return found


class Expressions:
    """Builds expressions for one statement; aliases are numbered so that none is used twice."""

    def __init__(self, dialect: Dialect, allowed: Iterable[Allowed]) -> None:
        self.dialect = dialect
        self._allowed = {one.resource.name: one for one in allowed}
        self._aliases = 0

    def alias(self, source: FromClause) -> FromClause:
        """A fresh alias."""
        return source.alias(self.fresh("t"))

    def fresh(self, letter: str) -> str:
        """A name that this statement doesn't have yet."""
        self._aliases += 1
        return f"{letter}{self._aliases}"

    def related(
        self, relation: Relation, resource: Resource, parent: FromClause
    ) -> tuple[FromClause, FromClause, ColumnElement[bool]]:
        """The target's alias, what to select from, and the condition that ties it to ``parent``."""
        target = self.alias(resource.source)
        if relation.link is None:
            condition = _adapt(relation.condition, parent, remote=target)
            return target, target, self.limited(resource, target, condition)
        link = self.alias(relation.link)
        assert relation.link_condition is not None
        condition = sa.and_(
            _adapt(relation.condition, parent, link=link, link_table=relation.link),
            _adapt(relation.link_condition, target, link=link, link_table=relation.link),
        )
        if relation.through is not None:
            through = self._allowed[relation.through].resource
            condition = self.limited(through, link, condition)
        both = target.join(link, sa.true())
        return target, both, self.limited(resource, target, condition)

    def limited(
        self, resource: Resource, source: FromClause, condition: ColumnElement[bool] | None
    ) -> ColumnElement[bool]:
        """A condition with what single-table inheritance and the policy add.

        Every appearance of a resource's rows passes here. It fails for a resource that planning
        has not asked the policy about.
        """
        parts = [] if condition is None else [condition]
        if resource.criterion is not None:
            parts.append(_adapt(resource.criterion, source))
        allowed = self._allowed[resource.name]
        if allowed.form is not None:
            names = [slot_name(slot.index) for slot in allowed.slots]
            types = allowed.form.types.values()
            binds = [sa.bindparam(n, type_=t) for n, t in zip(names, types, strict=True)]
            parts.append(policy_condition(resource, allowed.form, binds, source))
        return sa.and_(sa.true(), *parts)

    def value(self, value: Value, source: FromClause) -> Expression:
        """A value of the row that ``source`` puts out."""
        if isinstance(value, Rank):
            names = [slot_name(slot.index) for slot in value.search.words]
            return self.dialect.rank(value.search, source, names)
        if isinstance(value, RelatedValue):
            target, froms, condition = self.related(value.relation, value.resource, source)
            query: sa.Select[Any] = sa.select(self.value(value.value, target))
            query = query.select_from(froms).where(condition)
            return query.limit(sa.literal_column("1")).correlate(source).scalar_subquery()
        column = own_column(source, value.field.column)
        if value.steps:
            return self.dialect.json_path(column, value.steps, value.as_text)
        return column

    def comparable(self, value: Value, source: FromClause) -> Expression:
        """A value as equality wants it."""
        return self.dialect.comparable(value.type, _column_type(value), self.value(value, source))

    def ordered(self, value: Value, source: FromClause) -> Expression:
        """A value as orders want it."""
        comparable = self.comparable(value, source)
        return self.dialect.ordered(value.type, _column_type(value), comparable)

    def slot(self, slot: Slot) -> Expression:
        """The parameter for a value."""
        if slot.field is not None:
            return sa.bindparam(slot_name(slot.index), type_=slot.field.column.type)
        return sa.bindparam(slot_name(slot.index), type_=_KIND_TYPES.get(slot.kind, sa.Text))

    def offset(self, offset: Slot | int) -> Expression:
        """How many rows to leave out."""
        return number(offset) if isinstance(offset, int) else self.slot(offset)

    def predicate(self, predicate: Predicate, source: FromClause) -> ColumnElement[bool]:
        """A condition on the row that ``source`` puts out."""
        match predicate:
            case Every(parts):
                return sa.and_(sa.true(), *(self.predicate(p, source) for p in parts))
            case Some(parts):
                return sa.or_(sa.false(), *(self.predicate(p, source) for p in parts))
            case Not(part):
                return sa.not_(self.predicate(part, source))
            case Compare():
                return self._compare(predicate, source)
            case Member(_, ()):
                return sa.false()
            case Member(value, slots):
                column = self.comparable(value, source)
                return column.in_([self._operand(value, slot, column) for slot in slots])
            case Is():
                return self._is(predicate, source)
            case Contains(op, value, slot):
                name, column = slot_name(slot.index), self.value(value, source)
                field = value.field
                return self.dialect.contains(op, value.type, field.column.type, column, name)
            case FullText(op, value, slot, config):
                name = slot_name(slot.index)
                return self.dialect.full_text(op, self.value(value, source), name, config)
            case Search():
                names = [slot_name(slot.index) for slot in predicate.words]
                return self.dialect.search(predicate, source, names)
            case Exists():
                return self._exists(predicate, source)

    def _operand(self, value: Value, slot: Slot, column: Expression) -> Expression:
        parameter = self.slot(slot)
        column_type = slot.field.column.type if slot.field is not None else None
        return self.dialect.operand(value.type, column_type, column, parameter)

    def _compare(self, compare: Compare, source: FromClause) -> ColumnElement[bool]:
        if compare.op in ("like", "ilike"):
            value = self.value(compare.value, source)
            name = slot_name(compare.slot.index)
            return self.dialect.like(value, name, fold_case=compare.op == "ilike")
        left = self.comparable(compare.value, source)
        right = self._operand(compare.value, compare.slot, left)
        if compare.op in ("gt", "gte", "lt", "lte"):
            column_type = _column_type(compare.value)
            left = self.dialect.ordered(compare.value.type, column_type, left)
            right = self.dialect.ordered(compare.value.type, column_type, right)
        if compare.op == "isdistinct":
            return self.dialect.distinct(left, right)
        return _COMPARISONS[compare.op](left, right)

    def _is(self, condition: Is, source: FromClause) -> ColumnElement[bool]:
        value = self.value(condition.value, source)
        if condition.what == "true":
            return value.is_(sa.true())
        if condition.what == "false":
            return value.is_(sa.false())
        if condition.value.type.kind is Kind.JSON:
            # JSON has a null of its own, which SQLAlchemy stores for None.
            return sa.or_(value.is_(sa.null()), sa.cast(value, sa.Text) == "null")
        return value.is_(sa.null())

    def _exists(self, exists: Exists, source: FromClause) -> ColumnElement[bool]:
        target, froms, condition = self.related(exists.relation, exists.resource, source)
        query: sa.Select[Any] = sa.select(sa.literal_column("1"))
        query = query.select_from(froms).where(condition)
        if exists.where is not None:
            query = query.where(self.predicate(exists.where, target))
        return query.correlate(source).exists()


def policy_condition(
    resource: Resource, form: Form, parameters: Iterable[Expression], source: FromClause
) -> ColumnElement[bool]:
    """A policy's condition on the rows that ``source`` puts out, with these parameters."""
    own = {column for table in resource.tables or (resource.source,) for column in table.columns}
    bound = dict(zip(form.types, parameters, strict=True))

    def replace(element: Any, **_: Any) -> Any:
        if isinstance(element, BindParameter):
            return bound.get(element.key)
        if isinstance(element, ColumnClause) and element in own:
            return own_column(source, element)
        return None

    condition = visitors.replacement_traverse(form.expression, {}, replace)
    left = (e for e in visitors.iterate(condition) if isinstance(e, BindParameter))
    assert not any(bind.key in bound for bind in left), "a value of another actor would stay"
    strangers = [f for f in condition._from_objects if f not in source._from_objects]
    if strangers:
        names = " and ".join(sorted(str(f) for f in strangers))
        raise PolicyError(
            f"resource {resource.name!r}: a rule of its policy compares columns of {names}; "
            "reach other tables by a relationship's has() or any(), or by exists()"
        )
    return condition


def _column_type(value: Value) -> Any:
    """The column's type; None for what is no column."""
    return None if isinstance(value, Rank) else innermost(value).field.column.type


def _adapt(
    condition: ColumnElement[bool],
    near: FromClause,
    *,
    remote: FromClause | None = None,
    link: FromClause | None = None,
    link_table: FromClause | None = None,
) -> ColumnElement[bool]:
    """A join condition over tables as one over their aliases."""

    def replace(element: Any, **_: Any) -> Any:
        if not isinstance(element, ColumnClause):
            return None
        if link is not None and link_table is not None and link_table.c.contains_column(element):
            return link.corresponding_column(element)
        if remote is not None and "remote" in element._annotations:
            return remote.corresponding_column(element)
        return near.corresponding_column(element)

    return visitors.replacement_traverse(condition, {}, replace)
