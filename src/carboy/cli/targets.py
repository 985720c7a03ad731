"""What the commands share: their target, its options, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
from msgspec.structs import replace

from ..errors import CommandError
from ..schema import Schema
from ..serve import (
    Openness,
    Target,
    TargetError,
    is_loopback,
    load,
    outer_settings,
    without_api,
)

TARGET = click.argument("target", metavar="DATABASE_URL|FILE|MODULE:APP", envvar="DATABASE_URL")

PUBLIC = click.option("--public", is_flag=True, help="Let everybody read, on any address.")
WORKERS = click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64))
THREADS = click.option(
    "--threads", default=8, show_default=True, type=click.IntRange(1, 256), help="In each worker."
)

JSON = click.option("--json", "as_json", is_flag=True, help="For programs to read.")


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how a database is served."""
    for option in (
        click.option("--prefix", default=None, help="The path of the API.  [default: /api]"),
        click.option("--schema", default=None, metavar="NAME", help="A schema other than public."),
        click.option("--writable", is_flag=True, help="Take writes, too."),
        TARGET,
    ):
        command = option(command)
    return command


def target_of(target: str, writable: bool, schema: str | None, prefix: str | None) -> Target:
    """What the arguments mean together; TargetError for those that contradict each other."""
    meant = Target(target, writable, schema, "/" + (prefix or "/api").strip("/"))
    if not meant.is_database and (writable or schema or prefix):
        raise TargetError(
            "--writable, --schema and --prefix are for databases; an application has its own"
        )
    return meant


def at_address(target: Target, address: str, public: bool) -> Target:
    """The target as it is served on an address; TargetError for an application that is public."""
    if not target.is_database:
        if public:
            raise TargetError("--public is for databases; an application has its own policies")
        return target
    elsewhere: Openness = "public" if public else "closed"
    # A proxy lets others in.
    local = is_loopback(address) and not outer_settings().trusted_proxies
    return replace(target, openness="open" if local else elsewhere)


def exposed_of(target: Target) -> tuple[Schema, str]:
    """The schema and prefix of a target; TargetError where it has no API."""
    served = load(target)
    served.close()
    if served.api is None:
        raise without_api(target)
    return served.api, served.prefix


def with_faults(action: Callable[[], None]) -> None:
    """Run a command; what keeps it from starting is one line and exit code 2."""
    try:
        action()
    except CommandError as error:
        click.echo(f"carboy: {error}", err=True)
        sys.exit(2)


def show_tables(tables: Sequence[tuple[str, list[str]]]) -> None:
    """Print headings with lines below them."""
    for number, (heading, lines) in enumerate(tables):
        click.echo(("\n" if number else "") + click.style(heading, bold=True))
        for line in lines:
            click.echo(f"  {line}")


def counted(number: int, noun: str) -> str:
    """A number and its noun, such as ``1 key`` or ``2 keys``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
