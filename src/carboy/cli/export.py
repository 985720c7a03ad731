"""``carboy export``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import click

from ..errors import ApiError, CommandError
from ..ops.export import Exported, export_rows
from ..request import Export
from ..serve import Target, reviewed
from .targets import TARGET, counted, with_faults

_MEDIA: dict[str, Export] = {
    "json": "application/vnd.carboy.array+json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}
_ENDINGS = {".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv"}


@click.command()
@TARGET
@click.argument("resource")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_MEDIA)),
    help="[default: what FILE ends in; else ndjson]",
)
@click.option(
    "--query", default="", help="What to export, as in a URL: 'published=is.true&select=id,title'."
)
def export(target: str, resource: str, file: Path | None, form: str | None, query: str) -> None:
    """Export a resource's rows into a FILE, or to standard output.

    All rows are exported, whatever the policies say, with the fields that the API shows.
    """

    def write() -> None:
        media = _MEDIA[form or _form_of(file)]
        with reviewed(Target(target)) as api, _faults(), _written(file) as out:
            found = export_rows(api, resource, query, media, count=sys.stderr.isatty())
            with _progress(found) as step:
                for chunk in found.chunks:
                    out.write(chunk)
                    step(found.rows())
        if file is not None:
            click.echo(f"Exported {counted(found.rows(), 'row')} to {file}.", err=True)

    with_faults(write)


def _form_of(file: Path | None) -> str:
    if file is None:
        return "ndjson"
    form = _ENDINGS.get(file.suffix.lower())
    if form is None:
        raise CommandError(f"{file} ends in none of {', '.join(_ENDINGS)}; say --format")
    return form


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise CommandError(error.detail) from None


@contextmanager
def _written(file: Path | None) -> Iterator[BinaryIO]:
    """A file that is there once it is whole, readable by its owner; or standard output."""
    if file is None:
        yield sys.stdout.buffer
        return
    try:
        number, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except OSError as error:
        raise CommandError(f"{file} can't be written: {error.strerror}") from None
    try:
        with os.fdopen(number, "wb") as out:
            yield out
        Path(name).replace(file)
    except OSError as error:
        raise CommandError(f"{file} can't be written: {error.strerror}") from None
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


@contextmanager
def _progress(found: Exported) -> Iterator[Callable[[int], Any]]:
    """A bar on a terminal, where rich is installed; nothing elsewhere."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ModuleNotFoundError:
        found.total = None
    if found.total is None:
        yield lambda _: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("Exporting", total=found.total)
        yield lambda rows: bars.update(bar, completed=rows)
