"""The ``carboy`` command: thin, for what it does is in ``carboy.serve``."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec
from flask.cli import load_dotenv

from .ops.api_keys import ApiKey, ApiKeyError, create_key, list_keys, revoke_key
from .schema import Schema
from .serve import (
    Served,
    ServerOptions,
    Target,
    TargetError,
    check_target,
    describe,
    load,
    opened,
    reserve,
    run,
    without_api,
)

_TARGET = click.argument("target", metavar="DATABASE_URL|FILE|MODULE:APP", envvar="DATABASE_URL")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="carboy", message="carboy %(version)s")
def main() -> None:
    """A REST API from SQLAlchemy models, or from an existing database."""
    # As the command `flask` does, so that an application finds the same in either.
    try:
        load_dotenv()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f".env can't be read: {error}") from None


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


_WORKERS = click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64))
_THREADS = click.option(
    "--threads", default=8, show_default=True, type=click.IntRange(1, 256), help="In each worker."
)


@main.command()
@target_options
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free one."
)
@_WORKERS
@_THREADS
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
    # Each worker opens its own connections.
    served.close()
    target = msgspec.structs.replace(target, connections=threads)
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


_JSON = click.option("--json", "as_json", is_flag=True, help="For programs to read.")


@main.command()
@target_options
@_JSON
def routes(as_json: bool, **arguments: Any) -> None:
    """List the paths of an API and their methods."""

    def show() -> None:
        schema, prefix = exposed_of(target_of(**arguments))
        if as_json:
            click.echo(json.dumps({"routes": describe.routes(schema, prefix)}, indent=2))
        else:
            click.echo("\n".join(describe.routes_table(schema, prefix)))

    with_faults(show)


@main.command()
@target_options
@_JSON
def schema(as_json: bool, **arguments: Any) -> None:
    """List the resources of an API, their fields and their relations."""

    def show() -> None:
        schema, prefix = exposed_of(target_of(**arguments))
        if as_json:
            click.echo(json.dumps({"resources": describe.describe(schema, prefix)}, indent=2))
            return
        for number, (heading, lines) in enumerate(describe.resource_tables(schema, prefix)):
            click.echo(("\n" if number else "") + click.style(heading, bold=True))
            for line in lines:
                click.echo(f"  {line}")

    with_faults(show)


@main.command("check")
@target_options
@_WORKERS
@_THREADS
@_JSON
def check_(workers: int, threads: int, as_json: bool, **arguments: Any) -> None:
    """Say what is wrong or unsafe for production; exit code 1 for errors."""
    errors = 0

    def show() -> None:
        nonlocal errors
        target = msgspec.structs.replace(target_of(**arguments), connections=threads)
        found = check_target(target, workers=workers, threads=threads)
        errors = sum(finding.level == "error" for finding in found)
        if as_json:
            click.echo(json.dumps({"findings": msgspec.to_builtins(found)}, indent=2))
            return
        for finding in found:
            color = "red" if finding.level == "error" else "yellow"
            click.echo(f"{click.style(finding.level, fg=color)}: {finding.name}")
            click.echo(f"  {finding.detail}\n  Fix: {finding.fix}")
        warnings = len(found) - errors
        click.echo(f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}")

    with_faults(show)
    sys.exit(1 if errors else 0)


@main.group()
def keys() -> None:
    """Make, list and revoke API keys."""


def age(text: str) -> dt.timedelta:
    """A time from now, such as 12h, 30d or 52w."""
    found = re.fullmatch(r"([1-9][0-9]{0,3})([mhdw])", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no time such as 12h, 30d or 52w")
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    return dt.timedelta(**{units[found[2]]: int(found[1])})


@keys.command("create")
@_TARGET
@click.option("--name", required=True, help="What the key is for.")
@click.option("--role", "roles", multiple=True, help="A role of its actor; may be repeated.")
@click.option("--id", default=None, help="The id of its actor.  [default: the name]")
@click.option(
    "--expires", type=age, metavar="AGE", help="Such as 12h, 30d or 52w.  [default: never]"
)
def create(
    target: str, name: str, roles: tuple[str, ...], id: str | None, expires: dt.timedelta | None
) -> None:
    """Make an API key and print it: this once, for only a hash of it is stored."""

    def make() -> None:
        with opened(Target(target, writable=True)) as engine:
            click.echo(create_key(engine, name, roles, id=id, expires_in=expires))

    with_faults(make)


@keys.command("list")
@_TARGET
@_JSON
def show_keys(target: str, as_json: bool) -> None:
    """List the API keys, without their secrets."""

    def show() -> None:
        with opened(Target(target)) as engine:
            found = list_keys(engine)
        if as_json:
            listed = [msgspec.to_builtins(key) | {"status": key.status} for key in found]
            click.echo(json.dumps({"keys": listed}, indent=2))
        else:
            click.echo("\n".join(describe.aligned([_HEADINGS, *map(_cells, found)])))

    with_faults(show)


@keys.command("revoke")
@_TARGET
@click.argument("prefix")
def revoke(target: str, prefix: str) -> None:
    """End the API key of a PREFIX, which is the part after carboy_."""

    def end() -> None:
        with opened(Target(target, writable=True)) as engine:
            revoke_key(engine, prefix)
        click.echo(f"Revoked {prefix}.")

    with_faults(end)


_HEADINGS = ("PREFIX", "NAME", "ID", "ROLES", "STATUS", "CREATED", "EXPIRES", "LAST USED")


def _cells(key: ApiKey) -> tuple[str, ...]:
    moments = (key.created_at, key.expires_at, key.last_used_at)
    times = (f"{moment:%Y-%m-%d %H:%M}" if moment else "-" for moment in moments)
    return (key.prefix, key.name, key.id, " ".join(key.roles) or "-", key.status, *times)


def exposed_of(target: Target) -> tuple[Schema, str]:
    """The schema and prefix of a target; TargetError where it has no API."""
    served = load(target)
    served.close()
    if served.api is None:
        raise without_api(target)
    return served.api, served.prefix


def target_of(target: str, writable: bool, schema: str | None, prefix: str | None) -> Target:
    """What the arguments mean together; TargetError for those that contradict each other."""
    meant = Target(target, writable, schema, "/" + (prefix or "/api").strip("/"))
    if not meant.is_database and (writable or schema or prefix):
        raise TargetError(
            "--writable, --schema and --prefix are for databases; an application has its own"
        )
    return meant


def with_faults(action: Callable[[], None]) -> None:
    """Run a command; what keeps it from starting is one line and exit code 2."""
    try:
        action()
    except (TargetError, ApiKeyError) as error:
        click.echo(f"carboy: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
