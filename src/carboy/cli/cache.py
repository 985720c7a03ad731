"""``carboy cache``."""

from __future__ import annotations

import click

from ..ops.cache_triggers import install_triggers, remove_triggers
from ..serve import Target, reviewed
from .targets import TARGET, counted, with_faults


@click.group()
def cache() -> None:
    """What is kept of answers."""


@cache.command()
@TARGET
@click.option("--remove", is_flag=True, help="Take them away.")
def triggers(target: str, remove: bool) -> None:
    """Let PostgreSQL tell of writes that go past Carboy, by a trigger on each table."""

    def run() -> None:
        with reviewed(Target(target, writable=True)) as api:
            engine = api.database.engine
            tables = remove_triggers(engine) if remove else install_triggers(engine, api.schema)
        done = "Removed" if remove else "Installed"
        click.echo(f"{done} {counted(len(tables), 'trigger')}: {', '.join(tables) or 'none'}.")

    with_faults(run)


@cache.command()
@TARGET
def clear(target: str) -> None:
    """Let no answer that is kept now be used again, such as after a restore."""

    def run() -> None:
        with reviewed(Target(target, writable=True)) as api:
            for each in api.caches.values():
                each.clear()
            number = len(api.caches)
        click.echo("Cleared." if number else "Nothing is kept: no resource has cache=.")

    with_faults(run)
