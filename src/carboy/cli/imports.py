"""``carboy import``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from ..access import Actor
from ..errors import ApiError, CommandError, ImportRejected
from ..execute import Within
from ..imports import plan_rows, rejection, run_import
from ..pipeline import Api
from ..plan import ImportRow
from ..request import ImportForm, Prefer, Query, Request
from ..serve import Target, reviewed
from .targets import TARGET, counted, with_faults

_ENDINGS: dict[str, ImportForm] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_WHO = Actor("carboy", frozenset({"admin"}))
_PIECE = 2**18
# Nobody waits for the answer but whoever has typed the command.
_YEAR = 365 * 24 * 3600


@click.command("import")
@TARGET
@click.argument("resource")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--schema", default=None, metavar="NAME", help="A schema other than public.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "ndjson"]),
    help="[default: what FILE ends in]",
)
@click.option(
    "--continue",
    "rejects",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Import what can be, and write the other rows there, as NDJSON.",
)
def import_(
    target: str,
    resource: str,
    file: Path,
    schema: str | None,
    form: ImportForm | None,
    rejects: Path | None,
) -> None:
    """Import the rows of a FILE into a resource, as an actor with the role admin.

    All rows are imported or none. The policy, the fields that can be written, and the rules of the
    model hold as in a POST.
    """
    meant = Target(target, writable=True, schema=schema)
    with_faults(lambda: _import(meant, resource, file, form or _form_of(file), rejects))


def _form_of(file: Path) -> ImportForm:
    form = _ENDINGS.get(file.suffix.lower())
    if form is None:
        raise CommandError(f"{file} ends in none of {', '.join(_ENDINGS)}; say --format")
    return form


def _import(
    target: Target, resource: str, file: Path, form: ImportForm, rejects: Path | None
) -> None:
    try:
        with reviewed(target) as api, _written(rejects) as out:
            count, rejected = _run(api, resource, file, form, out)
    except ImportRejected as error:
        for problem in error.problems:
            click.echo(f"row {problem.row}: {problem.detail}", err=True)
        raise CommandError(error.detail) from None
    except ApiError as error:
        raise CommandError(f"{error.detail}; nothing was imported") from None
    click.echo(f"Imported {counted(count, 'row')} into {resource}.")
    if rejects is not None:
        click.echo(f"Rejected {counted(rejected, 'row')}, written to {rejects}.")


def _run(
    api: Api, resource: str, file: Path, form: ImportForm, out: BinaryIO | None
) -> tuple[int, int]:
    """How many rows were imported, and how many rejected."""
    if resource not in api.schema.resources or not api.schema.resources[resource].exposed:
        known = ", ".join(each.name for each in api.schema.exposed())
        raise CommandError(f"there is no resource {resource!r}; there are {known}")
    request = Request("POST", resource, None, Query(), Prefer())
    rejected = 0

    def reject(row: ImportRow, error: ApiError) -> None:
        nonlocal rejected
        assert out is not None
        rejected += 1
        told = msgspec.to_builtins(rejection(row, error))
        out.write(msgspec.json.encode({**told, "data": row.record.data}) + b"\n")

    with Within(_YEAR), _pieces(file) as pieces:
        planned = plan_rows(api, request, _WHO)
        count = run_import(api, planned, form, pieces, None if out is None else reject)
    return count, rejected


@contextmanager
def _pieces(file: Path) -> Iterator[Iterator[bytes]]:
    """What is in a file, with a bar on a terminal."""
    with (
        file.open("rb") as source,
        click.progressbar(
            length=file.stat().st_size,
            label="Importing",
            file=sys.stderr,
            hidden=not sys.stderr.isatty(),
        ) as bar,
    ):

        def read() -> bytes:
            piece = source.read(_PIECE)
            bar.update(len(piece))
            return piece

        yield iter(read, b"")


def _written(rejects: Path | None) -> Any:
    """The file of rejected rows, if there shall be one."""
    if rejects is None:
        return nullcontext()
    try:
        return rejects.open("wb")
    except OSError as error:
        raise CommandError(f"{rejects} can't be written: {error.strerror}") from None
