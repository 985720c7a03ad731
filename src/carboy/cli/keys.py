"""``carboy keys``."""

from __future__ import annotations

import datetime as dt
import json
import re

import click
import msgspec

from ..ops.api_keys import ApiKey, create_key, list_keys, revoke_key
from ..serve import Target, describe, opened
from .targets import JSON, TARGET, with_faults


@click.group()
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
@TARGET
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
        with opened(Target(target, writable=True)) as found:
            click.echo(create_key(found.engine, name, roles, id=id, expires_in=expires))

    with_faults(make)


@keys.command("list")
@TARGET
@JSON
def show_keys(target: str, as_json: bool) -> None:
    """List the API keys, without their secrets."""

    def show() -> None:
        with opened(Target(target)) as found:
            known = list_keys(found.engine)
        if as_json:
            listed = [msgspec.to_builtins(key) | {"status": key.status} for key in known]
            click.echo(json.dumps({"keys": listed}, indent=2))
        else:
            click.echo("\n".join(describe.aligned([_HEADINGS, *map(_cells, known)])))

    with_faults(show)


@keys.command("revoke")
@TARGET
@click.argument("prefix")
def revoke(target: str, prefix: str) -> None:
    """End the API key of a PREFIX, which is the part after carboy_."""

    def end() -> None:
        with opened(Target(target, writable=True)) as found:
            revoke_key(found.engine, prefix)
        click.echo(f"Revoked {prefix}.")

    with_faults(end)


_HEADINGS = ("PREFIX", "NAME", "ID", "ROLES", "STATUS", "CREATED", "EXPIRES", "LAST USED")


def _cells(key: ApiKey) -> tuple[str, ...]:
    moments = (key.created_at, key.expires_at, key.last_used_at)
    times = (f"{moment:%Y-%m-%d %H:%M}" if moment else "-" for moment in moments)
    return (key.prefix, key.name, key.id, " ".join(key.roles) or "-", key.status, *times)
