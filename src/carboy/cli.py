"""The ``carboy`` command: thin, for what it does is in ``carboy.serve``."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec
from flask.cli import load_dotenv
from msgspec.structs import replace
from sqlalchemy.engine import Engine

from .access import ACTIONS, ANONYMOUS, Actor
from .ops.api_keys import ApiKey, ApiKeyError, create_key, list_keys, revoke_key
from .ops.connections import room
from .ops.history import prune_history
from .ops.review import ReviewError, can, review
from .schema import Schema
from .serve import (
    Openness,
    Served,
    ServerOptions,
    Target,
    TargetError,
    check_target,
    describe,
    is_loopback,
    load,
    opened,
    reserve,
    resolve,
    reviewed,
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


_SPARE_THREADS = 8
_PUBLIC = click.option("--public", is_flag=True, help="Let everybody read, on any address.")
_WORKERS = click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64))
_THREADS = click.option(
    "--threads", default=8, show_default=True, type=click.IntRange(1, 256), help="In each worker."
)


@main.command()
@target_options
@_PUBLIC
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


def at_address(target: Target, address: str, public: bool) -> Target:
    """The target as it is served on an address; TargetError for an application that is public."""
    if not target.is_database:
        if public:
            raise TargetError("--public is for databases; an application has its own policies")
        return target
    elsewhere: Openness = "public" if public else "closed"
    return replace(target, openness="open" if is_loopback(address) else elsewhere)


def _serve(
    target: Target, address: str, port: int, workers: int, threads: int, reload: bool
) -> None:
    if reload and target.is_database:
        raise TargetError("--reload is for MODULE:APP; a database has no Python files")
    target = replace(target, connections=threads)
    served = load(target)
    if served.engine is not None:
        target = replace(target, connections=connections_each(served.engine, workers, threads))
        # Each worker opens its own connections.
        served.close()
    address, port = reserve(address, port)
    options = ServerOptions(address, port, workers, _all_threads(served, threads), reload)
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
        show_tables(describe.resource_tables(schema, prefix))

    with_faults(show)


def review_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where a database is served: its rules depend on that."""
    host = click.option(
        "--host", default="127.0.0.1", show_default=True, help="As a database is served there."
    )
    return target_options(_PUBLIC(host(_JSON(command))))


def who_of(text: str) -> Actor:
    """The actor that ``anonymous``, ``42`` or ``42:editor,admin`` means."""
    id_, _, roles = text.partition(":")
    if text == "anonymous":
        return ANONYMOUS
    if not id_ or id_ == "anonymous":
        raise click.BadParameter(f"{text!r} is no actor such as anonymous, 42 or 42:editor,admin")
    return Actor(id_, frozenset(role for role in roles.split(",") if role))


@main.command("can")
@review_options
@click.argument("actor", type=who_of)
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("resource", metavar="RESOURCE[/KEY]")
def can_(
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
            answer = can(api, actor, action, name, key or None)
        allowed = answer.allowed
        if as_json:
            click.echo(json.dumps(msgspec.to_builtins(answer), indent=2))
        else:
            click.echo("\n".join(describe.answer_lines(answer)))

    with_faults(ask)
    sys.exit(0 if allowed else 1)


@main.command("access")
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


def show_tables(tables: Sequence[tuple[str, list[str]]]) -> None:
    """Print headings with lines below them."""
    for number, (heading, lines) in enumerate(tables):
        click.echo(("\n" if number else "") + click.style(heading, bold=True))
        for line in lines:
            click.echo(f"  {line}")


@main.group()
def history() -> None:
    """The history of rows, of resources that keep one."""


@history.command()
@_TARGET
@click.option(
    "--days",
    type=click.IntRange(1, 36_500),
    help="How many days to keep.  [default: CARBOY_HISTORY_DAYS]",
)
def prune(target: str, days: int | None) -> None:
    """Delete entries of the history that are older than some days."""
    with_faults(lambda: _prune(Target(target, writable=True), days))


def _prune(target: Target, days: int | None) -> None:
    with opened(target) as found:
        kept = days if days is not None else found.settings.history_days
        if kept == 0:
            click.echo("Deleted nothing: CARBOY_HISTORY_DAYS is 0; --days names another number.")
            return
        number = prune_history(found.engine, kept)
    entries = "1 entry" if number == 1 else f"{number} entries"
    click.echo(f"Deleted {entries} older than {_counted(kept, 'day')}.")


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
        target = replace(target_of(**arguments), connections=threads)
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
        with opened(Target(target, writable=True)) as found:
            click.echo(create_key(found.engine, name, roles, id=id, expires_in=expires))

    with_faults(make)


@keys.command("list")
@_TARGET
@_JSON
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
@_TARGET
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
    except (TargetError, ApiKeyError, ReviewError) as error:
        click.echo(f"carboy: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
