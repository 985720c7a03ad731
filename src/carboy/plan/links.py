"""Which relations a body may nest, and which columns they fill in on either side."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import Column
from sqlalchemy.orm import RelationshipDirection

from ..schema import Relation, Resource
from .context import Context


class FilledBy(Struct, frozen=True, eq=False):
    """Columns that a relationship sets: ``own`` in the row around it, ``theirs`` in the nested.

    A link table's columns are in neither.
    """

    own: tuple[Column[Any], ...] = ()
    theirs: tuple[Column[Any], ...] = ()


def nested_relation(context: Context, resource: Resource, name: str) -> Relation | str | None:
    """The relation that a body may write through, why it may not, or None without one."""
    schema = context.schema
    candidates = resource.relations.get(name, ())
    exposed = [r for r in candidates if schema.resources[r.target].exposed]
    reachable = [r for r in exposed if context.reaches(resource, r)]
    if not reachable:
        return None
    mapped = next((r for r in reachable if r.attribute is not None), None)
    if mapped is None:
        local = ", ".join(column.name for column in reachable[0].local)
        return f"has no relationship to write through; send its own fields ({local})"
    target = schema.resources[mapped.target]
    if mapped.view_only or target.read_only or not target.key:
        return "can only be read here"
    return mapped


def filled_columns(resource: Resource, relation: Relation) -> FilledBy:
    """The columns that a mapped relation sets."""
    assert resource.mapper is not None
    assert relation.attribute is not None
    prop = resource.mapper.relationships[relation.attribute]
    pairs = prop.local_remote_pairs or ()
    if prop.direction is RelationshipDirection.MANYTOONE:
        return FilledBy(own=tuple(local for local, _ in pairs if isinstance(local, Column)))
    if prop.direction is RelationshipDirection.ONETOMANY:
        return FilledBy(theirs=tuple(far for _, far in pairs if isinstance(far, Column)))
    return FilledBy()
