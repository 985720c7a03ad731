"""Relations between resources: from mapped relationships, and from foreign keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, permutations

import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy import Column, ForeignKeyConstraint, Table
from sqlalchemy.orm import RelationshipDirection, remote
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause, KeyedColumnElement

from .model import Relation, Resource


def mapped_relations(resource: Resource, resources: Iterable[Resource]) -> Iterator[Relation]:
    """One relation for each relationship of the mapped class."""
    if resource.mapper is None:
        return
    for prop in resource.mapper.relationships:
        target = _resource_of_mapper(prop.mapper, resources)
        if target is None:
            continue
        yield Relation(
            name=prop.key,
            target=target.name,
            many=prop.direction is not RelationshipDirection.MANYTOONE and bool(prop.uselist),
            condition=prop.primaryjoin,
            local=tuple(_columns_of(prop.primaryjoin, resource)),
            link=prop.secondary,
            link_condition=prop.secondaryjoin,
            hints=tuple(sorted({c.name for pair in prop.local_remote_pairs or () for c in pair})),
            attribute=prop.key,
            # The collections of these can't be replaced as a whole.
            view_only=bool(prop.viewonly) or prop.lazy in ("dynamic", "write_only"),
        )


def foreign_key_relations(resource: Resource, resources: Iterable[Resource]) -> Iterator[Relation]:
    """Relations by the target's name or the key's column: to one, to many, and through links."""
    targets = _primary(resources)
    for table in resource.tables:
        for constraint in _constraints(table):
            referred = constraint.referred_table
            if referred is not table and referred in resource.tables:
                continue  # what joins a subclass's table to its base's
            if referred in targets:
                yield from _to_one(constraint, targets[referred], self_reference=referred is table)
        for target_table, target in targets.items():
            if target is resource and target_table is not table:
                continue
            for constraint in _constraints(target_table):
                if constraint.referred_table is table:
                    yield _to_many(constraint, target)
        for link in _link_tables(table):
            yield from _through(link, table, targets)


def with_ends(relation: Relation, resources: Iterable[Resource]) -> Relation:
    """The relation with what policies ask of it: its columns, and the link table's resource."""
    conditions = [c for c in (relation.condition, relation.link_condition) if c is not None]
    columns = frozenset(
        element._deannotate()
        for condition in conditions
        for element in visitors.iterate(condition)
        if isinstance(element, ColumnClause)
    )
    link = relation.link if isinstance(relation.link, Table) else None
    through = _primary(resources).get(link) if link is not None else None
    return replace(relation, columns=columns, through=through.name if through is not None else None)


def _primary(resources: Iterable[Resource]) -> dict[Table, Resource]:
    """One resource a table: an exposed one before others, then one that has all of its rows."""
    chosen: dict[Table, Resource] = {}
    for resource in resources:
        if resource.table is None:
            continue
        known = chosen.get(resource.table)
        if known is None or _rank(resource) > _rank(known):
            chosen[resource.table] = resource
    return chosen


def _rank(resource: Resource) -> tuple[bool, bool]:
    return resource.exposed, resource.criterion is None


def _resource_of_mapper(mapper: object, resources: Iterable[Resource]) -> Resource | None:
    found = [r for r in resources if r.mapper is mapper]
    return next((r for r in found if r.exposed), found[0] if found else None)


def _constraints(source: object) -> list[ForeignKeyConstraint]:
    if not isinstance(source, Table):
        return []
    named = sorted(source.foreign_key_constraints, key=lambda c: tuple(c.column_keys))
    return [c for c in named if _resolves(c)]


def _resolves(constraint: ForeignKeyConstraint) -> bool:
    """Whether what it refers to is known: a reflected part of a database may lack it."""
    try:
        return all(element.column is not None for element in constraint.elements)
    except sa.exc.NoReferenceError:
        return False


def _pairs(constraint: ForeignKeyConstraint) -> list[tuple[Column[object], Column[object]]]:
    return [(element.parent, element.column) for element in constraint.elements]


def _hints(constraint: ForeignKeyConstraint, *more: str) -> tuple[str, ...]:
    names = [element.parent.name for element in constraint.elements]
    if isinstance(constraint.name, str):
        names.append(constraint.name)
    return tuple(dict.fromkeys((*names, *more)))


def _stem(column: str) -> str:
    """``author_id`` and ``AuthorId`` point at an author."""
    for suffix in ("_id", "Id", "_ID", "ID"):
        if column.endswith(suffix) and len(column) > len(suffix):
            return column[: -len(suffix)]
    return column


def _to_one(
    constraint: ForeignKeyConstraint, target: Resource, *, self_reference: bool
) -> Iterator[Relation]:
    pairs = _pairs(constraint)
    names = {target.name} if not self_reference else set()
    # Of several columns the last tells most: (tenant_id, author_id) points at an author.
    names.add(_stem(pairs[-1][0].name))
    if len(pairs) == 1:
        names.add(pairs[0][0].name)
    for name in sorted(names):
        yield Relation(
            name=name,
            target=target.name,
            many=False,
            condition=sa.and_(*(local == remote(far) for local, far in pairs)),
            local=tuple(local for local, _ in pairs),
            hints=_hints(constraint, *(_stem(local.name) for local, _ in pairs)),
        )


def _to_many(constraint: ForeignKeyConstraint, target: Resource) -> Relation:
    pairs = _pairs(constraint)
    near = {local for local, _ in pairs}
    return Relation(
        name=target.name,
        target=target.name,
        many=not _unique(constraint.table, near),
        condition=sa.and_(*(far == remote(local) for local, far in pairs)),
        local=tuple(far for _, far in pairs),
        hints=_hints(constraint),
    )


def _unique(table: object, columns: set[Column[object]]) -> bool:
    """Whether at most one row can have the same values: then the way back is to one, too."""
    assert isinstance(table, Table)
    return any(key <= columns for key in _keys(table))


def _are_key(one: ForeignKeyConstraint, two: ForeignKeyConstraint) -> bool:
    """Whether no pair can come twice, be it by the primary key or a unique constraint."""
    columns = {*one.columns, *two.columns}
    return columns in _keys(one.table)


def _keys(table: Table) -> list[set[Column[object]]]:
    """The sets of columns that are unique together."""
    uniques = [set(c.columns) for c in table.constraints if isinstance(c, sa.UniqueConstraint)]
    uniques += [set(i.columns) for i in table.indexes if i.unique]
    uniques += [{c} for c in table.columns if c.unique]
    return [columns for columns in [*uniques, set(table.primary_key.columns)] if columns]


def _link_tables(table: Table) -> Iterator[Table]:
    """Tables of pairs: two foreign keys, one of them to ``table``, that together are unique."""
    for other in table.metadata.tables.values():
        constraints = _constraints(other)
        for one, two in combinations(constraints, 2):
            if table in (one.referred_table, two.referred_table) and _are_key(one, two):
                yield other
                break


def _through(link: Table, table: Table, targets: Mapping[Table, Resource]) -> Iterator[Relation]:
    for near, far in permutations(_constraints(link), 2):
        if near.referred_table is not table or not set(near.columns).isdisjoint(far.columns):
            continue
        if not _are_key(near, far):
            continue
        target = targets.get(far.referred_table)
        if target is not None:
            yield Relation(
                name=target.name,
                target=target.name,
                many=True,
                condition=sa.and_(*(b == a for a, b in _pairs(near))),
                local=tuple(b for _, b in _pairs(near)),
                link=link,
                link_condition=sa.and_(*(a == b for a, b in _pairs(far))),
                hints=(link.name, *_hints(far)),
            )


def _columns_of(
    condition: sa.ColumnElement[bool], resource: Resource
) -> list[KeyedColumnElement[object]]:
    """The parent's columns in a join condition."""
    found: dict[KeyedColumnElement[object], None] = {}
    for element in visitors.iterate(condition):
        if isinstance(element, ColumnClause) and "remote" not in element._annotations:
            own = resource.source.corresponding_column(element)
            if own is not None:
                found[own] = None
    return list(found)
