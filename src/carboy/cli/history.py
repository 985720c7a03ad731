"""``carboy history``."""

from __future__ import annotations

import click

from ..ops.history import prune_history
from ..serve import Target, opened
from .targets import TARGET, counted, with_faults


@click.group()
def history() -> None:
    """The history of rows, of resources that keep one."""


@history.command()
@TARGET
@click.option(
    "--days",
    type=click.IntRange(1, 36_500),
    help="How many days to keep.  [default: CARBOY_HISTORY_DAYS]",
)
def prune(target: str, days: int | None) -> None:
    """Delete entries of the history that are older than some days."""
    with_faults(lambda: _prune(Target(target, writable=True), days))


def _prune(target: Target, days: int | None) -> None:
    with opened(target) as found:
        kept = days if days is not None else found.settings.history_days
        if kept == 0:
            click.echo("Deleted nothing: CARBOY_HISTORY_DAYS is 0; --days names another number.")
            return
        number = prune_history(found.engine, kept)
    entries = "1 entry" if number == 1 else f"{number} entries"
    click.echo(f"Deleted {entries} older than {counted(kept, 'day')}.")
