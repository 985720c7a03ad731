"""Prints the table of docs/reference/check.md: ``python -m tools.checks_table``."""

from __future__ import annotations

from collections.abc import Iterable

from carboy.ops.check import CHECKS, DATABASE_CHECKS, REACHABLE, Check


def table(checks: Iterable[Check]) -> str:
    """The checks as a Markdown table."""
    lines = ["| Name | Level | What it finds |", "| --- | --- | --- |"]
    lines += [f"| `{check.name}` | {check.level} | {check.finds} |" for check in checks]
    return "\n".join(lines)


ALL = (*CHECKS, REACHABLE, *DATABASE_CHECKS)

if __name__ == "__main__":
    print(table(ALL))
