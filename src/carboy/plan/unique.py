"""Which fields tell rows apart: what ``on_conflict`` may name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from ..access import Access
from ..errors import InvalidQuery
from ..schema import Field, Resource, comparable_value
from .rows import Faults, RowPlan


def conflict_fields(access: Access, resource: Resource, names: Sequence[str]) -> tuple[Field, ...]:
    """The fields of ``on_conflict``, which must be unique together; the key by default.

    They must be readable: matching rows by a field is filtering by it.
    """
    if not names:
        return resource.key
    readable = access.readable(resource)
    fields = []
    for name in names:
        field = resource.fields.get(name)
        if field is None or field not in readable:
            raise InvalidQuery.at(
                "on_conflict", f"on_conflict: {resource.name!r} has no field {name!r}"
            )
        fields.append(field)
    sets = [
        names_
        for names_ in unique_sets(resource)
        if all(resource.fields[name] in readable for name in names_)
    ]
    if set(names) not in sets:
        known = " or ".join(sorted(",".join(sorted(s)) for s in sets))
        raise InvalidQuery.at(
            "on_conflict",
            f"on_conflict: {','.join(names)} isn't unique in {resource.name!r}; it can be {known}",
        )
    return tuple(fields)


def unique_sets(resource: Resource) -> Iterator[set[str]]:
    """The sets of fields that no two rows have the same."""
    names = {field.column: field.name for field in resource.fields.values()}
    yield {field.name for field in resource.key}
    for table in resource.tables:
        for columns in unique_columns(table):
            if columns <= names.keys():
                yield {names[c] for c in columns}


def unique_columns(table: sa.Table) -> Iterator[set[sa.Column[object]]]:
    """The sets of columns under a unique constraint or a whole unique index."""
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            yield set(constraint.columns)
    for index in table.indexes:
        partial = any(
            options.get("where") is not None for options in index.dialect_options.values()
        )
        if index.unique and not partial:
            columns = {e for e in index.expressions if isinstance(e, sa.Column)}
            if len(columns) == len(list(index.expressions)):
                yield columns


def require_distinct(rows: Sequence[RowPlan], fields: Sequence[Field], faults: Faults) -> None:
    """Refuse two rows of one request that would be the same row."""
    seen: dict[tuple[object, ...], RowPlan] = {}
    names = [field.name for field in fields]
    for row in rows:
        if not all(row.values.get(name) is not None for name in names):
            continue
        values = tuple(comparable_value(row.values[name]) for name in names)
        first = seen.setdefault(values, row)
        if first is not row:
            faults.add(
                row.pointer, f"has the same {','.join(names)} as row {first.row}", "repeated"
            )
