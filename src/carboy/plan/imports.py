"""An import: what is to be known before its rows come, and what reads each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from ..errors import ApiError, BadRequest, InvalidBody, InvalidQuery, Problem
from ..request import Record, Request, parse_json
from ..schema import Field, Kind, Resource, from_text
from .context import Context
from .recording import plan_recording
from .rows import RowPlan, RowReader, has_default
from .write import WritePlan

_BATCH_ROWS = 2000
_BATCH_BYTES = 4 * 2**20
# What an export marks, so that no spreadsheet runs it.
_MARKED = re.compile(r"'+[-=+@\t\r]")


class ImportRow(Struct, frozen=True, eq=False):
    """A row of an import as it came, and what it says; ``fault`` where it says nothing."""

    record: Record
    plan: RowPlan | None = None
    fault: ApiError | None = None


def plan_import(context: Context, resource: Resource, request: Request) -> WritePlan:
    """The plan of an import without its rows, of which each batch makes a write."""
    if not resource.key:
        raise BadRequest(f"{resource.name!r} has no key, so its rows can't be written")
    if request.query_string:
        raise InvalidQuery("an import takes no query: its header or its objects name the fields")
    if request.idempotency_key is not None:
        raise BadRequest("Idempotency-Key: an import takes none; unique fields keep rows apart")
    if request.prefer.resolution is not None:
        raise BadRequest("Prefer: an import only creates rows; it takes no resolution")
    context.access.require(resource, "create")
    # Whoever can't be entered as who creates a row learns nothing by trying.
    context.access.values(resource, "create")
    return WritePlan(
        action="create",
        resource=resource,
        schema=context.schema,
        access=context.access,
        max_rows=context.settings.max_rows,
        dry_run=request.prefer.tx == "rollback",
        recording=plan_recording(context.schema, context.access.who),
    )


class ImportReader:
    """Reads the rows of one import; with ``cells`` their values are texts."""

    def __init__(self, context: Context, plan: WritePlan, request: Request, *, cells: bool) -> None:
        self._reader = RowReader(context, request.prefer.missing, is_array=False)
        self._resource = plan.resource
        self._writable = context.access.writable(plan.resource, "create")
        self._cells = cells
        self._max_depth = context.settings.max_json_depth

    def require_known(self, header: Sequence[str]) -> None:
        """Refuse a header that names what can't be written; raises InvalidBody."""
        known = [f.name for f in self._resource.fields.values() if f in self._writable]
        problems = [
            Problem(f"the header names {name!r}, which can't be written", "unknown-field")
            for name in header
            if name not in known
        ]
        if problems:
            names = f"{self._resource.name!r} takes {', '.join(known)}"
            raise InvalidBody(f"{problems[0].detail}; {names}", problems)

    def batches(self, records: Iterator[Record]) -> Iterator[list[ImportRow]]:
        """The rows, as many at a time as are written at once."""
        batch: list[ImportRow] = []
        size = 0
        for record in records:
            batch.append(self._row(record))
            size += record.size
            if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _row(self, record: Record) -> ImportRow:
        if record.data is None:
            return ImportRow(record, fault=record.fault)
        try:
            data = self._values(record.data) if self._cells else record.data
            return ImportRow(record, self._reader.alone(self._resource, data))
        except ApiError as fault:
            return ImportRow(record, fault=fault)

    def _values(self, cells: Mapping[str, object]) -> dict[str, object]:
        """A row's cells as JSON has them."""
        values: dict[str, object] = {}
        problems = []
        for name, cell in cells.items():
            field = self._resource.fields[name]
            try:
                if isinstance(cell, str):
                    values[name] = _value(field, cell, self._max_depth)
                elif field.nullable:
                    values[name] = None
                elif field.type.kind is Kind.TEXT and not has_default(self._resource, field):
                    values[name] = ""
            except InvalidBody:
                problems.append(Problem(f"{name} must be JSON", "invalid", f"/{name}"))
            except ValueError as fault:
                problems.append(Problem(f"{name} {fault}", "invalid", f"/{name}"))
        if problems:
            raise InvalidBody(problems[0].detail, problems)
        return values


def _value(field: Field, cell: str, max_depth: int) -> Any:
    match field.type.kind:
        case Kind.INTEGER | Kind.BOOLEAN:
            return from_text(field.type, cell)
        case Kind.JSON | Kind.ARRAY:
            return parse_json(cell.encode(), max_depth=max_depth)
        case Kind.TEXT | Kind.OTHER if _MARKED.match(cell):
            return cell[1:]
        case _:
            return cell
