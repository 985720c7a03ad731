"""``carboy backup`` and ``carboy restore``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import sqlalchemy as sa

from ..ops.backup import (
    Backup,
    BackupError,
    Step,
    create_backup,
    database_name,
    list_backups,
    no_step,
    prune_backups,
    restore_backup,
    verify_backup,
)
from ..serve import Target, describe, located
from ..settings import Settings
from .targets import JSON, TARGET, counted, with_faults


class _Backup(click.Group):
    """``carboy backup TARGET`` is ``carboy backup create TARGET``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["create", *args]
        return super().parse_args(ctx, args)


_FROM = click.option(
    "--from", "place", metavar="PLACE", help="A folder or a URL.  [default: CARBOY_BACKUP_URL]"
)
_NAME = click.argument("name", required=False)


@click.group(cls=_Backup)
def backup() -> None:
    """Back a database up: carboy backup TARGET is carboy backup create TARGET."""


@backup.command()
@TARGET
@click.option(
    "--to", "place", metavar="PLACE", help="A folder or a URL.  [default: CARBOY_BACKUP_URL]"
)
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    help="How many backups to keep; 0 for all.  [default: CARBOY_BACKUP_KEEP]",
)
@click.option("--no-verify", is_flag=True, help="Leave that to carboy backup verify.")
def create(target: str, place: str | None, keep: int | None, no_verify: bool) -> None:
    """Back a database up, verify the backup, and delete old ones."""

    def make() -> None:
        url, where, settings = _meant(target, place)
        with _progress() as step:
            name = create_backup(url, where, step=step)
            click.echo(f"Made {name}.")
            if no_verify:
                click.echo("It counts once carboy backup verify has restored it.")
            else:
                verify_backup(url, where, name, step=step)
                click.echo("Verified it.")
        kept = settings.backup_keep if keep is None else keep
        for old in prune_backups(where, database_name(url), kept):
            click.echo(f"Deleted {old}.")

    with_faults(make)


@backup.command("list")
@TARGET
@_FROM
@JSON
def list_(target: str, place: str | None, as_json: bool) -> None:
    """List the backups in a place, newest first."""

    def show() -> None:
        found = list_backups(_meant(target, place)[1])
        if as_json:
            click.echo(json.dumps({"backups": [b.summary for b in found]}, indent=2))
        else:
            click.echo("\n".join(describe.aligned([_HEADINGS, *map(_cells, found)])))

    with_faults(show)


@backup.command()
@TARGET
@_NAME
@_FROM
def verify(target: str, name: str | None, place: str | None) -> None:
    """Restore a backup into a scratch database, and compare: the newest, or that of a NAME.

    The scratch database is made on the target's server, and dropped.
    """

    def compare() -> None:
        url, where, _ = _meant(target, place)
        chosen = name or _newest(url, where, verified=False)
        with _progress() as step:
            found = verify_backup(url, where, chosen, step=step)
        tables = found.contents.tables
        rows = sum(table.rows for table in tables.values())
        click.echo(f"Verified {chosen}: {counted(len(tables), 'table')}, {counted(rows, 'row')}.")

    with_faults(compare)


@click.command()
@TARGET
@_NAME
@_FROM
@click.option("--force", is_flag=True, help="Replace all that is in the target.")
@click.option("--no-owner", is_flag=True, help="All belongs to whoever restores it (PostgreSQL).")
def restore(target: str, name: str | None, place: str | None, force: bool, no_owner: bool) -> None:
    """Restore a backup: the newest verified one, or that of a NAME.

    It is restored beside the target and compared first; if anything fails, the target stays as
    it is.
    """

    def bring_back() -> None:
        url, where, _ = _meant(target, place)
        chosen = name or _newest(url, where, verified=True)
        with _progress() as step:
            found = restore_backup(url, where, chosen, force=force, owners=not no_owner, step=step)
        click.echo(f"Restored {chosen}, of {found.at:%Y-%m-%d %H:%M} UTC.")

    with_faults(bring_back)


def _meant(target: str, place: str | None) -> tuple[sa.URL, str, Settings]:
    """A target's database, where its backups are, and its settings."""
    url, settings = located(Target(target))
    where = place or settings.backup_url
    if not where:
        raise BackupError("say where backups are: set CARBOY_BACKUP_URL, or give --to or --from")
    return url, where, settings


def _newest(url: sa.URL, place: str, *, verified: bool) -> str:
    """The newest backup of the database."""
    name = database_name(url)
    for found in list_backups(place, name):
        if found.state == "verified" or not verified:
            return found.name
    kind = "verified backup" if verified else "backup"
    raise BackupError(
        f"there is no {kind} of {name!r}; name one of those that carboy backup list shows"
    )


_HEADINGS = ("NAME", "STATE", "MADE (UTC)", "TABLES", "ROWS", "BYTES")


def _cells(found: Backup) -> tuple[str, ...]:
    manifest = found.manifest
    if manifest is None:
        return (found.name, found.state, "-", "-", "-", "-")
    tables = manifest.contents.tables
    rows = sum(table.rows for table in tables.values())
    made = f"{manifest.at:%Y-%m-%d %H:%M}"
    return (found.name, found.state, made, str(len(tables)), str(rows), str(found.size))


_WORDS = {"dump": "Dumping", "check": "Checking", "restore": "Restoring", "compare": "Comparing"}


@contextmanager
def _progress() -> Iterator[Step]:
    """Bars on a terminal, where rich is installed; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield no_step
        return
    try:
        from rich.console import Console
        from rich.progress import Progress, TaskID
    except ModuleNotFoundError:
        yield no_step
        return
    with Progress(console=Console(stderr=True), transient=True) as bars:
        known: dict[str, TaskID] = {}

        def step(what: str, done: int, total: int) -> None:
            if what not in known:
                known[what] = bars.add_task(_WORDS[what], total=None)
            bars.update(known[what], completed=done, total=total or None)

        yield step
