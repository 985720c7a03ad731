"""``carboy serve``."""

from __future__ import annotations

import sys
from typing import Any

import click
from msgspec.structs import replace
from sqlalchemy.engine import Engine

from ..ops.connections import room
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

_SPARE_THREADS = 8


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
    target = replace(target, connections=threads)
    served = load(target)
    warning = require_migrated(served, target)
    if warning is not None:
        click.echo(f"carboy: {warning}", err=True)
    if served.engine is not None:
        target = replace(target, connections=connections_each(served.engine, workers, threads))
    # Each worker opens its own connections.
    served.close()
    address, port = reserve(address, port)
    every = _all_threads(served, threads)
    options = ServerOptions(address, port, workers, every, reload, served.metrics)
    run(target, options, ready=lambda: announce(served, target, options))


def _all_threads(served: Served, threads: int) -> int:
    """The threads of a worker: some are left when all that may wait for the database do.

    An application has views of its own, for which it has as many as it was given; one that was
    given a single thread may not bear more.
    """
    if served.engine is not None:
        return served.held + _SPARE_THREADS
    return served.held + threads if threads > 1 else 1


def connections_each(engine: Engine, workers: int, threads: int) -> int:
    """A connection for each thread, as far as the database has room for them; says so if not."""
    most = room(engine)
    if most is None or workers * threads <= most:
        return threads
    each = max(1, most // workers)
    click.echo(
        f"carboy: the database has room for {most} connections, so each of {workers} workers "
        f"uses {each}, and not {threads}",
        err=True,
    )
    return each


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
