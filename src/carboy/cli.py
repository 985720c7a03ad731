"""The ``carboy`` command: thin, for what it does is in ``carboy.serve``."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable
from typing import Any

import click

from .serve import Served, ServerOptions, Target, TargetError, load, reserve, run

_TARGET = click.argument("target", metavar="DATABASE_URL|FILE|MODULE:APP", envvar="DATABASE_URL")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="carboy", message="carboy %(version)s")
def main() -> None:
    """A REST API from SQLAlchemy models, or from an existing database."""


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how a database is served."""
    for option in (
        click.option("--prefix", default=None, help="The path of the API.  [default: /api]"),
        click.option("--schema", default=None, metavar="NAME", help="A schema other than public."),
        click.option("--writable", is_flag=True, help="Take writes, too."),
        _TARGET,
    ):
        command = option(command)
    return command


@main.command()
@target_options
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free one."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option(
    "--threads", default=8, show_default=True, type=click.IntRange(1, 256), help="In each worker."
)
@click.option("--reload", is_flag=True, help="Restart when Python files here change (MODULE:APP).")
def serve(
    target: str,
    writable: bool,
    schema: str | None,
    prefix: str | None,
    **options: Any,
) -> None:
    """Serve a database, or an application, until Ctrl-C."""
    with_faults(lambda: _serve(target_of(target, writable, schema, prefix), **options))


def _serve(target: Target, host: str, port: int, workers: int, threads: int, reload: bool) -> None:
    if reload and target.is_database:
        raise TargetError("--reload is for MODULE:APP; a database has no Python files")
    served = load(target)
    address, port = reserve(host, port)
    options = ServerOptions(address, port, workers, threads, reload)
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        click.secho(
            f"Warning: whoever can reach {host} can use this API; it asks nobody for a password.",
            fg="yellow",
            err=True,
        )
    run(target, options, ready=lambda: announce(served, options))


def announce(served: Served, options: ServerOptions) -> None:
    """Say what is served, and where."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    root = f"http://{host}:{options.port}"
    click.echo(f"Serving {click.style(served.title, bold=True)}: {_contents(served)}")
    click.echo(f"  {root}{served.prefix or '/'}")
    first = served.api.exposed()[0].name if served.api and served.api.exposed() else None
    if first is not None:
        click.echo(f"  {root}{served.prefix}/{first}")
    click.echo("Ctrl-C stops it.")
    sys.stdout.flush()


def _contents(served: Served) -> str:
    if served.reflected is None:
        count = len(served.api.exposed()) if served.api else 0
        return _counted(count, "resource") if served.api else "an application without Carboy"
    tables = _counted(len(served.reflected.tables), "table")
    views = _counted(len(served.reflected.views), "view")
    return f"{tables} and {views}, {'writable' if served.writable else 'read-only'}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def target_of(text: str, writable: bool, schema: str | None, prefix: str | None) -> Target:
    """What the arguments mean together; TargetError for those that contradict each other."""
    target = Target(text, writable, schema, "/" + (prefix or "/api").strip("/"))
    if not target.is_database and (writable or schema or prefix):
        raise TargetError(
            "--writable, --schema and --prefix are for databases; an application has its own"
        )
    return target


def with_faults(action: Callable[[], None]) -> None:
    """Run a command; what keeps it from starting is one line and exit code 2."""
    try:
        action()
    except TargetError as error:
        click.echo(f"carboy: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
