"""``carboy serve``."""

from __future__ import annotations

import sys
from typing import Any

import click
from msgspec.structs import replace

from ..serve import (
    Served,
    ServerOptions,
    Target,
    TargetError,
    describe,
    load,
    require_migrated,
    reserve,
    resolve,
    run,
)
from .targets import (
    PUBLIC,
    THREADS,
    WORKERS,
    at_address,
    counted,
    target_of,
    target_options,
    with_faults,
)


@click.command()
@target_options
@PUBLIC
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free one."
)
@WORKERS
@THREADS
@click.option("--reload", is_flag=True, help="Restart when Python files here change (MODULE:APP).")
def serve(
    target: str,
    writable: bool,
    schema: str | None,
    prefix: str | None,
    public: bool,
    host: str,
    **options: Any,
) -> None:
    """Serve a database, or an application, until Ctrl-C.

    A database is open to this machine alone: on another address than loopback, reading takes an
    API key or a token, unless --public, and writing one with the role writer.
    """

    def start() -> None:
        address = resolve(host)
        meant = target_of(target, writable, schema, prefix)
        _serve(at_address(meant, address, public), address, **options)

    with_faults(start)


def _serve(
    target: Target, address: str, port: int, workers: int, threads: int, reload: bool
) -> None:
    if reload and target.is_database:
        raise TargetError("--reload is for MODULE:APP; a database has no Python files")
    served = load(target)
    warning = require_migrated(served, target)
    if warning is not None:
        click.echo(f"carboy: {warning}", err=True)
    # Each worker opens its own connections.
    served.close()
    target = replace(target, connections=threads)
    address, port = reserve(address, port)
    options = ServerOptions(address, port, workers, threads, reload, served.metrics)
    run(target, options, ready=lambda: announce(served, target, options))


def announce(served: Served, target: Target, options: ServerOptions) -> None:
    """Say what is served, where, and to whom."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    root = f"http://{host}:{options.port}"
    click.echo(f"Serving {click.style(served.title, bold=True)}: {_contents(served)}")
    click.echo(f"  {root}{served.prefix or '/'}")
    first = served.api.exposed()[0].name if served.api and served.api.exposed() else None
    if first is not None:
        click.echo(f"  {root}{served.prefix}/{first}")
    for line in describe.openness(served, target):
        click.echo(line)
    click.echo("Ctrl-C stops it.")
    sys.stdout.flush()


def _contents(served: Served) -> str:
    if served.reflected is None:
        count = len(served.api.exposed()) if served.api else 0
        return counted(count, "resource") if served.api else "an application without Carboy"
    tables = counted(len(served.reflected.tables), "table")
    views = counted(len(served.reflected.views), "view")
    return f"{tables} and {views}, {'writable' if served.writable else 'read-only'}"
