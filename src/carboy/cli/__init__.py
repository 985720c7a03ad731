"""The ``carboy`` command: thin, for what it does is in ``carboy.serve`` and ``carboy.ops``."""

from __future__ import annotations

import click
from flask.cli import load_dotenv

from .access import access, can
from .backup import backup, restore
from .cache import cache
from .check import check
from .export import export
from .history import history
from .imports import import_
from .jobs import jobs, worker
from .keys import keys
from .serve import serve
from .show import routes, schema


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="carboy", message="carboy %(version)s")
def main() -> None:
    """A REST API from SQLAlchemy models, or from an existing database."""
    # As the command `flask` does, so that an application finds the same in either.
    try:
        load_dotenv()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f".env can't be read: {error}") from None


for command in (
    serve,
    worker,
    jobs,
    routes,
    schema,
    can,
    access,
    keys,
    history,
    cache,
    import_,
    check,
    backup,
    restore,
    export,
):
    main.add_command(command)
