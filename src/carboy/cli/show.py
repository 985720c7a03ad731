"""``carboy routes`` and ``carboy schema``."""

from __future__ import annotations

import json
from typing import Any

import click

from ..serve import describe
from .targets import JSON, exposed_of, show_tables, target_of, target_options, with_faults


@click.command()
@target_options
@JSON
def routes(as_json: bool, **arguments: Any) -> None:
    """List the paths of an API and their methods."""

    def show() -> None:
        schema, prefix = exposed_of(target_of(**arguments))
        if as_json:
            click.echo(json.dumps({"routes": describe.routes(schema, prefix)}, indent=2))
        else:
            click.echo("\n".join(describe.routes_table(schema, prefix)))

    with_faults(show)


@click.command()
@target_options
@JSON
def schema(as_json: bool, **arguments: Any) -> None:
    """List the resources of an API, their fields and their relations."""

    def show() -> None:
        schema, prefix = exposed_of(target_of(**arguments))
        if as_json:
            click.echo(json.dumps({"resources": describe.describe(schema, prefix)}, indent=2))
            return
        show_tables(describe.resource_tables(schema, prefix))

    with_faults(show)
