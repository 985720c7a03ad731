"""Prints the table of docs/reference/settings.md: ``python -m tools.settings_table``."""

from __future__ import annotations

from collections.abc import Iterable

from carboy.settings import TABLE, Setting


def table(settings: Iterable[Setting]) -> str:
    """The settings as a Markdown table."""
    lines = ["| Setting | Default | Smallest | What it is |", "| --- | --- | --- | --- |"]
    for setting in settings:
        smallest = "" if isinstance(setting.default, str) else str(setting.minimum)
        default = f"`{setting.default}`" if setting.default != "" else ""
        lines.append(f"| `{setting.name}` | {default} | {smallest} | {setting.help} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(TABLE))
