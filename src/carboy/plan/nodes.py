"""A read plan: the request with its names bound to the schema and its values taken out.

Plans are compared by value, so that one compiled statement serves every request of the same
shape; the values travel beside the plan, and a ``Slot`` says where one of them goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from ..access import Form
from ..schema import Field, FieldType, Kind, Relation, Resource


class Slot(Struct, frozen=True):
    """The place of value number ``index``, bound as ``field``'s column type, or as ``kind``."""

    index: int
    kind: Kind
    field: Field | None = None


class FieldValue(Struct, frozen=True):
    """A column, or a place inside a JSON column."""

    field: Field
    steps: tuple[str | int, ...] = ()
    as_text: bool = False

    @property
    def type(self) -> FieldType:
        """What it holds."""
        if not self.steps:
            return self.field.type
        return TEXT_TYPE if self.as_text else JSON_TYPE

    @property
    def nullable(self) -> bool:
        """Whether it can be NULL."""
        return self.field.nullable or bool(self.steps)


class RelatedValue(Struct, frozen=True):
    """A value of the row that a to-one relation points at."""

    relation: Relation
    resource: Resource
    value: FieldValue | RelatedValue

    @property
    def type(self) -> FieldType:
        """What it holds."""
        return self.value.type

    @property
    def nullable(self) -> bool:
        """Whether it can be NULL: the related row may be missing."""
        return True


class Rank(Struct, frozen=True):
    """How well a row matches the search."""

    search: Search

    @property
    def type(self) -> FieldType:
        """A number."""
        return FLOAT_TYPE

    @property
    def nullable(self) -> bool:
        """Never."""
        return False


class OutputValue(Struct, frozen=True):
    """What a grouped select puts out as its ``index``-th value."""

    index: int


TEXT_TYPE = FieldType(Kind.TEXT)
JSON_TYPE = FieldType(Kind.JSON)
FLOAT_TYPE = FieldType(Kind.FLOAT)
INTEGER_TYPE = FieldType(Kind.INTEGER)

Value: TypeAlias = FieldValue | RelatedValue | Rank


def innermost(value: FieldValue | RelatedValue) -> FieldValue:
    """The column's value that a path of relations leads to."""
    while isinstance(value, RelatedValue):
        value = value.value
    return value


class Compare(Struct, frozen=True):
    """``value op slot``; op is eq, neq, gt, gte, lt, lte, isdistinct, like or ilike."""

    op: str
    value: Value
    slot: Slot


class Member(Struct, frozen=True):
    """``value IN (slots)``; no slots match nothing."""

    value: FieldValue
    slots: tuple[Slot, ...]


class Is(Struct, frozen=True):
    """``value IS NULL``, ``IS TRUE``, ``IS FALSE``."""

    value: Value
    what: Literal["null", "true", "false"]


class Contains(Struct, frozen=True):
    """``cs``, ``cd`` and ``ov`` on JSON, arrays and ranges."""

    op: str
    value: FieldValue
    slot: Slot


class FullText(Struct, frozen=True):
    """``fts``, ``plfts``, ``phfts`` and ``wfts``, in a text search configuration."""

    op: str
    value: FieldValue
    slot: Slot
    config: str


class Search(Struct, frozen=True):
    """``q=``: every word is somewhere in these fields, which the resource declares."""

    resource: Resource
    fields: tuple[Field, ...]
    words: tuple[Slot, ...]
    config: str


class Exists(Struct, frozen=True):
    """There is a related row for which ``where`` holds."""

    relation: Relation
    resource: Resource
    where: Predicate | None


class Every(Struct, frozen=True):
    """All of them; without any, true."""

    parts: tuple[Predicate, ...]


class Some(Struct, frozen=True):
    """At least one of them; without any, false."""

    parts: tuple[Predicate, ...]


class Not(Struct, frozen=True):
    """The opposite, in SQL's logic of three values."""

    part: Predicate


Predicate: TypeAlias = (
    Compare | Member | Is | Contains | FullText | Search | Exists | Every | Some | Not
)


class Sort(Struct, frozen=True):
    """One term of an order, with the place of NULLs made explicit."""

    value: Value | OutputValue
    descending: bool = False
    nulls_first: bool = False


class Output(Struct, frozen=True):
    """One key of the JSON object. ``value`` is None in ``count()``.

    ``given`` keys came from the client, the others from the schema.
    """

    key: str
    value: FieldValue | None
    aggregate: str | None = None
    given: bool = False


class Embed(Struct, frozen=True):
    """A related row or rows under one key, or spread into the parent's keys."""

    key: str
    relation: Relation
    node: Node
    spread: bool = False
    given: bool = False


class Node(Struct, frozen=True):
    """One resource's part of the answer: which rows, in which order, and what each puts out.

    ``limit`` is a number and no slot: a planner that doesn't know it plans for all rows, or plans
    each execution anew. So is the ``offset`` of a list's first pages.
    """

    resource: Resource
    outputs: tuple[Output | Embed, ...]
    where: Predicate | None = None
    order: tuple[Sort, ...] = ()
    limit: int | None = None
    offset: Slot | int | None = None
    grouped: bool = False


class Allowed(Struct, frozen=True):
    """Which rows of a resource the actor may read: all, or those that fulfil ``form``.

    ``slots`` are the places of the form's values.
    """

    resource: Resource
    form: Form | None = None
    slots: tuple[Slot, ...] = ()


class ReadPlan(Struct, frozen=True, cache_hash=True):
    """A whole read.

    Item plans (no ``shown``) answer one row and its version, or none. List plans show ``shown``
    rows, and fetch one more to know whether more follow; with ``cursor`` they
    answer the order's values in the last row shown. ``after`` limits the rows, but not the count
    of all that match, which ``counted`` asks for; an estimate counts exactly up to
    ``estimate_above``. ``allowed`` has every resource that the plan touches; a statement can't be
    made of one that is missing. ``versioned`` are the fields that make an item's version.
    """

    root: Node
    allowed: tuple[Allowed, ...]
    versioned: tuple[Field, ...] = ()
    shown: int | None = None
    after: Predicate | None = None
    cursor: bool = False
    counted: Literal["exact", "planned", "estimated"] | None = None
    estimate_above: int = 0


class ExportPlan(Struct, frozen=True):
    """All rows that the root matches, each by itself; ``allowed`` is as in ``ReadPlan``.

    ``cells`` asks for each row's values as CSV has them, where the database can write that.
    """

    root: Node
    allowed: tuple[Allowed, ...]
    cells: bool = False


def searches(plan: ReadPlan | ExportPlan) -> bool:
    """Whether the plan has a ``q=``."""
    where = plan.root.where
    parts = where.parts if isinstance(where, Every) else (where,)
    return any(isinstance(part, Search) for part in parts)


def every(parts: Sequence[Predicate | None]) -> Predicate | None:
    """All of the predicates that are there, as one."""
    present = tuple(p for p in parts if p is not None)
    if len(present) < 2:
        return present[0] if present else None
    return Every(present)
