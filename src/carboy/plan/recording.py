"""What a write records for the history of the rows that it touches."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from ..access import Actor
from ..request import join_key
from ..schema import Field, Relation, Resource, Schema, key_text


class Recording(Struct, frozen=True, eq=False):
    """Who writes, and the resources whose history is to be kept, with the schema they are in."""

    actor: Actor
    resources: tuple[Resource, ...]
    schema: Schema


def plan_recording(schema: Schema, actor: Actor) -> Recording | None:
    """What to record of a write: a class's rows may change by writes to others. None for none."""
    kept = tuple(r for r in schema.resources.values() if r.history)
    return Recording(actor, kept, schema) if kept else None


def recorded_fields(resource: Resource) -> tuple[Field, ...]:
    """The fields that are stored in the row itself."""
    stored = {column for table in resource.tables for column in table.columns}
    return tuple(field for field in resource.fields.values() if field.column in stored)


def linking_relations(resource: Resource) -> tuple[Relation, ...]:
    """The relations that are kept in a link table and written through the row's class."""
    return tuple(
        relation
        for relations in resource.relations.values()
        for relation in relations
        if relation.link is not None and relation.attribute is not None and not relation.view_only
    )


def recorded_key(resource: Resource, key: Sequence[Any]) -> str:
    """A row's key as its URL has it, the same for equal keys: of 1.5 and 1.50 there is one."""
    return join_key(
        key_text(f, format(v.normalize(), "f") if isinstance(v, Decimal) else v)
        for f, v in zip(resource.key, key, strict=True)
    )
