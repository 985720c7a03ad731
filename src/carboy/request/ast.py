"""What a query string says, as frozen values: names are still plain text, values unconverted.

The grammar is PostgREST's (https://docs.postgrest.org/en/stable/references/api/tables_views.html);
docs/reference/query.md has it whole, with what Carboy mends.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Path: TypeAlias = tuple[str, ...]
"""Names or aliases of embeds, from the root down; ``()`` is the resource asked for."""

Operator: TypeAlias = Literal[
    "eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "in", "is",
    "isdistinct", "cs", "cd", "ov", "fts", "plfts", "phfts", "wfts",
]  # fmt: skip
Aggregate: TypeAlias = Literal["count", "sum", "avg", "min", "max"]


class FieldRef(Struct, frozen=True):
    """A field, or a place inside a JSON field: ``data->a->0`` (JSON), ``data->a->>b`` (text)."""

    name: str
    steps: tuple[str | int, ...] = ()
    as_text: bool = False

    def __str__(self) -> str:
        arrows = ["->"] * len(self.steps)
        if self.as_text:
            arrows[-1] = "->>"
        return self.name + "".join(f"{a}{s}" for a, s in zip(arrows, self.steps, strict=True))


class SelectAll(Struct, frozen=True):
    """``*``: every readable field."""


class SelectField(Struct, frozen=True):
    """``alias:field.sum()``; ``ref`` is None only in ``count()``, which counts rows."""

    ref: FieldRef | None
    alias: str | None = None
    aggregate: Aggregate | None = None


class SelectEmbed(Struct, frozen=True):
    """``alias:relation!hint!inner(items)``, or with ``...`` before it, a spread."""

    relation: str
    items: tuple[SelectItem, ...]
    alias: str | None = None
    hint: str | None = None
    inner: bool = False
    spread: bool = False


SelectItem: TypeAlias = SelectAll | SelectField | SelectEmbed


class Condition(Struct, frozen=True):
    """``field=not.op(any).value``.

    ``value`` is the raw text (percent-decoded, unquoted), a tuple of texts for ``in`` and for
    ``any``/``all``. ``config`` is the language of a full-text operator: ``fts(english)``.
    """

    ref: FieldRef
    op: Operator
    value: str | tuple[str, ...]
    negated: bool = False
    quantifier: Literal["any", "all"] | None = None
    config: str | None = None


class Logic(Struct, frozen=True):
    """``or=(a.eq.1,not.and(b.gt.2,c.is.null))``; ``children`` is never empty."""

    op: Literal["and", "or"]
    children: tuple[Filter, ...]
    negated: bool = False


Filter: TypeAlias = Condition | Logic


class ScopedFilter(Struct, frozen=True):
    """A filter and the embed it filters; ``parameter`` is the query key, for error messages."""

    path: Path
    filter: Filter
    parameter: str


class OrderTerm(Struct, frozen=True):
    """``field.desc.nullslast``, or by a to-one relation's field: ``author(username).desc``."""

    ref: FieldRef
    relation: Path = ()
    descending: bool = False
    nulls: Literal["first", "last"] | None = None


class Query(Struct, frozen=True, cache_hash=True):
    """A whole query string. ``select`` is None where none was given, which means ``*``."""

    select: tuple[SelectItem, ...] | None = None
    filters: tuple[ScopedFilter, ...] = ()
    orders: tuple[tuple[Path, tuple[OrderTerm, ...]], ...] = ()
    limits: tuple[tuple[Path, int], ...] = ()
    offsets: tuple[tuple[Path, int], ...] = ()
    page: int | None = None
    per_page: int | None = None
    after: str | None = None
    search: str | None = None
    on_conflict: Path = ()
