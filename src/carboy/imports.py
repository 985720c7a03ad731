"""Rows as they arrive, by request or from a file, to rows in the database: all, or those that fit.

The stages are those of a write, for a batch at a time; nothing but a batch is in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .access import Actor
from .errors import ApiError, Forbidden, ImportRejected, Problem, Unauthorized, Unavailable
from .events import mark, rows
from .execute import Reject, Within, execute_import
from .pipeline import Api, find_resource, settle
from .plan import Context, ImportReader, ImportRow, WritePlan, plan_import
from .request import Csv, ImportForm, Lines, Record, Request, preference_applied, read_ndjson
from .respond import Response, respond_json

_PIECE = 2**18
MAX_LISTED = 100
"""Faults that an answer has where an import is refused."""


class Rejected(Struct, frozen=True):
    """A row that couldn't be stored, counted from 1, and why."""

    row: int
    errors: tuple[Problem, ...]


def import_rows(
    api: Api, request: Request, form: ImportForm, pieces: Iterable[bytes], who: Actor
) -> Response:
    """Answer an import by request: all rows or none, unless the client prefers to be lenient."""
    lenient = request.prefer.handling == "lenient"
    planned = plan_rows(api, request, who)
    rejected: list[Rejected] = []

    def reject(row: ImportRow, error: ApiError) -> None:
        rejected.append(rejection(row, error))
        if len(rejected) > api.settings.max_rows:
            raise ImportRejected(
                f"more than {api.settings.max_rows} rows can't be stored (CARBOY_MAX_ROWS); "
                "nothing was imported"
            )

    with _arrived(pieces) as whole:
        count = run_import(api, planned, form, whole, reject if lenient else None)
    answer: dict[str, Any] = {"imported": count}
    if lenient:
        answer["rejected"] = sorted(rejected, key=lambda each: each.row)
    response = respond_json(answer, 201 if count else 200)
    applied = preference_applied(request.prefer, {"handling", "missing", "tx"})
    if not applied:
        return response
    return replace(response, headers=(*response.headers, ("Preference-Applied", applied)))


@contextmanager
def _arrived(pieces: Iterable[bytes]) -> Iterator[Iterator[bytes]]:
    """The pieces again, once all are there: no transaction waits for a client that is slow."""
    with tempfile.SpooledTemporaryFile(_PIECE) as file:
        try:
            file.writelines(pieces)
        except OSError:
            raise Unavailable("there is no room for the upload; try again later") from None
        file.seek(0)
        yield iter(lambda: file.read(_PIECE), b"")


class PlannedImport(Struct, frozen=True):
    """An import whose rows are still to come."""

    context: Context
    plan: WritePlan
    request: Request


def plan_rows(api: Api, request: Request, who: Actor) -> PlannedImport:
    """What can be said of an import before its rows are there; raises ApiError."""
    context = Context(api.schema, api.settings, api.policies.access(who))
    plan = plan_import(context, find_resource(api, request), request)
    mark("plan")
    return PlannedImport(context, plan, request)


def run_import(
    api: Api,
    planned: PlannedImport,
    form: ImportForm,
    pieces: Iterable[bytes],
    reject: Reject | None,
) -> int:
    """Import rows in one transaction, and answer how many; raises ApiError, and undoes it.

    ``reject`` is told of each row that can't be stored; without it the first of them end it.
    """
    plan, batches = planned.plan, _batches(planned, form, pieces)
    database = api.databases[plan.resource.bind]
    with Within(api.settings.import_deadline):
        if reject is not None:
            count = execute_import(database, plan, batches, reject)
        else:
            refused = _Refused()
            whole = refused.after_each(batches)
            count = execute_import(database, plan, whole, refused.add)
        settle(api, plan)
    mark("execute")
    rows(written=0 if plan.dry_run else count)
    return count


def _batches(
    planned: PlannedImport, form: ImportForm, pieces: Iterable[bytes]
) -> Iterator[list[ImportRow]]:
    """The rows as they are written; raises ApiError for what ends the import."""
    settings = planned.context.settings
    reader = ImportReader(planned.context, planned.plan, planned.request, cells=form == "csv")
    lines = Lines(pieces, settings.max_body_bytes)
    records: Iterator[Record]
    if form == "csv":
        found = Csv(lines)
        reader.require_known(found.header)
        records = iter(found)
    else:
        records = read_ndjson(lines, max_depth=settings.max_json_depth)
    return reader.batches(records)


class _Refused:
    """The first faults of an import of which all rows must be right."""

    def __init__(self) -> None:
        self._rejected: list[Rejected] = []

    def add(self, row: ImportRow, error: ApiError) -> None:
        """Note a row; what the actor may not do is refused as such."""
        if isinstance(error, Unauthorized | Forbidden):
            raise error
        self._rejected.append(rejection(row, error))
        if len(self._rejected) >= MAX_LISTED:
            self._raise_any()

    def after_each(self, batches: Iterable[list[ImportRow]]) -> Iterator[list[ImportRow]]:
        """The batches, and an end where one of them has faults."""
        for batch in batches:
            yield batch
            self._raise_any()

    def _raise_any(self) -> None:
        if not self._rejected:
            return
        self._rejected.sort(key=lambda each: each.row)
        problems = [
            msgspec.structs.replace(problem, row=each.row)
            for each in self._rejected
            for problem in each.errors
        ]
        first = self._rejected[0]
        detail = f"row {first.row}: {first.errors[0].detail}; nothing was imported"
        raise ImportRejected(detail, problems[:MAX_LISTED])


def rejection(row: ImportRow, error: ApiError) -> Rejected:
    """What is said of a row."""
    problems = error.problems or (Problem(error.detail, error.code),)
    return Rejected(row.record.number, tuple(problems))
