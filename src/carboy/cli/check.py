"""``carboy check``."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from ..serve import check_target
from .targets import JSON, THREADS, WORKERS, counted, target_of, target_options, with_faults


@click.command("check")
@target_options
@WORKERS
@THREADS
@JSON
def check(workers: int, threads: int, as_json: bool, **arguments: Any) -> None:
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
        click.echo(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}")

    with_faults(show)
    sys.exit(1 if errors else 0)
