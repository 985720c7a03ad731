"""``carboy jobs``, and ``carboy worker``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click
import msgspec
import sqlalchemy as sa

from ..errors import CommandError
from ..execute import Database
from ..jobs import STATES, State, cancel_job, count_jobs, list_jobs, retry_job, shown
from ..serve import Target, describe, opened, resolve, work
from .targets import JSON, PUBLIC, TARGET, at_address, with_faults

_WATCH_SECONDS = 1.0
_LONGEST_ERROR = 60


@click.group()
def jobs() -> None:
    """List, watch, retry and cancel background jobs."""


def _with_database(target: str, use: Callable[[Database], None], *, writable: bool = False) -> None:
    def run() -> None:
        with opened(Target(target, writable=writable)) as found:
            use(Database(found.engine, statements=8))

    with_faults(run)


_LIMIT = click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many."
)


@jobs.command("list")
@TARGET
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="May be repeated."
)
@_LIMIT
@JSON
def list_(target: str, states: tuple[State, ...], limit: int, as_json: bool) -> None:
    """List jobs, the newest first."""

    def show(database: Database) -> None:
        rows = list_jobs(database, states, limit)
        if as_json:
            found = [msgspec.to_builtins(shown(row, whole=True)) for row in rows]
            click.echo(json.dumps({"jobs": found}, indent=2))
        else:
            click.echo("\n".join(describe.aligned([_HEADINGS, *map(_cells, rows)])))

    _with_database(target, show)


@jobs.command("retry")
@TARGET
@click.argument("id")
def retry(target: str, id: str) -> None:
    """Queue a job again that has failed, died or was cancelled."""

    def again(database: Database) -> None:
        retry_job(database, id)
        click.echo(f"Queued {id} again.")

    _with_database(target, again, writable=True)


@jobs.command("cancel")
@TARGET
@click.argument("id")
def cancel(target: str, id: str) -> None:
    """Cancel a job that waits, or ask one that runs to stop."""

    def stop(database: Database) -> None:
        state = cancel_job(database, id)
        click.echo(f"Cancelled {id}." if state == "cancelled" else f"Asked {id} to stop.")

    _with_database(target, stop, writable=True)


@jobs.command("watch")
@TARGET
@_LIMIT
def watch(target: str, limit: int) -> None:
    """Show the jobs as they change, until Ctrl-C."""
    _with_database(target, lambda database: _watch(database, limit))


def _watch(database: Database, limit: int) -> None:
    try:
        from rich.live import Live
    except ModuleNotFoundError:
        raise CommandError("this needs rich; run: pip install 'carboy[server]'") from None
    try:
        with Live(_screen(database, limit), auto_refresh=False) as live:
            while True:
                time.sleep(_WATCH_SECONDS)
                live.update(_screen(database, limit), refresh=True)
    except KeyboardInterrupt:
        return


def _screen(database: Database, limit: int) -> Any:
    """How many jobs there are of each state, and the newest."""
    from rich.table import Table

    counts = count_jobs(database)
    title = ", ".join(f"{counts[state]} {state}" for state in STATES if counts.get(state))
    table = Table(*_HEADINGS, title=title or "no jobs")
    for row in list_jobs(database, (), limit):
        table.add_row(*_cells(row))
    return table


_HEADINGS = ("ID", "NAME", "STATE", "ATTEMPTS", "PROGRESS", "CREATED", "ERROR")


def _cells(row: sa.Row[Any]) -> tuple[str, ...]:
    found = shown(row, whole=True)
    progress = found["progress"] or {}
    of = "" if progress.get("total") is None else f"/{progress['total']}"
    error = (found["exception"] or "-").replace("\n", " ")
    return (
        row.id,
        row.name,
        row.state,
        f"{row.attempts}/{row.max_attempts}",
        f"{progress['done']}{of}" if progress else "-",
        f"{found['created_at']:%Y-%m-%d %H:%M:%S}",
        error if len(error) <= _LONGEST_ERROR else f"{error[: _LONGEST_ERROR - 1]}…",
    )


@click.command()
@TARGET
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    help="How many jobs at a time.  [default: CARBOY_JOBS_THREADS]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where a database is served.")
@click.option("--schema", default=None, metavar="NAME", help="A schema other than public.")
@PUBLIC
def worker(target: str, threads: int | None, host: str, schema: str | None, public: bool) -> None:
    """Run background jobs, until Ctrl-C.

    By Celery where CARBOY_JOBS_BROKER names a Redis. Without one, `carboy serve` runs them as well,
    and this is for applications that are served otherwise.
    """

    def start() -> None:
        meant = at_address(Target(target, True, schema), resolve(host), public)
        work(meant, threads)

    with_faults(start)
