"""``carboy can`` and ``carboy access``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from ..access import ACTIONS, ANONYMOUS, Actor
from ..ops.review import can as ask_whether
from ..ops.review import review
from ..serve import describe, resolve, reviewed
from .targets import JSON, PUBLIC, at_address, show_tables, target_of, target_options, with_faults


def review_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where a database is served: its rules depend on that."""
    host = click.option(
        "--host", default="127.0.0.1", show_default=True, help="As a database is served there."
    )
    return target_options(PUBLIC(host(JSON(command))))


def who_of(text: str) -> Actor:
    """The actor that ``anonymous``, ``42`` or ``42:editor,admin`` means."""
    id_, _, roles = text.partition(":")
    if text == "anonymous":
        return ANONYMOUS
    if not id_ or id_ == "anonymous":
        raise click.BadParameter(f"{text!r} is no actor such as anonymous, 42 or 42:editor,admin")
    return Actor(id_, frozenset(role for role in roles.split(",") if role))


@click.command("can")
@review_options
@click.argument("actor", type=who_of)
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("resource", metavar="RESOURCE[/KEY]")
def can(
    actor: Actor, action: Any, resource: str, host: str, public: bool, as_json: bool, **target: Any
) -> None:
    """Say whether an ACTOR may do something, and by which rule.

    ACTOR is anonymous, an id (42), or an id with roles (42:editor,admin). The exit code is 0 for
    yes, 1 for no.
    """
    allowed = False

    def ask() -> None:
        nonlocal allowed
        name, _, key = resource.partition("/")
        with reviewed(at_address(target_of(**target), resolve(host), public)) as api:
            answer = ask_whether(api, actor, action, name, key or None)
        allowed = answer.allowed
        if as_json:
            click.echo(json.dumps(msgspec.to_builtins(answer), indent=2))
        else:
            click.echo("\n".join(describe.answer_lines(answer)))

    with_faults(ask)
    sys.exit(0 if allowed else 1)


@click.command("access")
@review_options
@click.option("--role", "roles", multiple=True, help="Another role to ask for; may be repeated.")
def access(host: str, public: bool, as_json: bool, roles: tuple[str, ...], **target: Any) -> None:
    """List who may do what: each resource, action and field by each kind of actor."""

    def show() -> None:
        with reviewed(at_address(target_of(**target), resolve(host), public)) as api:
            found = review(api, roles)
        if as_json:
            click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        else:
            show_tables(describe.review_tables(found))

    with_faults(show)
