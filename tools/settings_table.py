"""Prints the table of docs/reference/settings.md: ``python -m tools.settings_table``."""

from __future__ import annotations

from collections.abc import Iterable

from carboy.settings import PROFILES, TABLE, Setting

_HEADINGS = ("Setting", "Type", "Default", "In a profile", "Smallest", "What it is")


def table(settings: Iterable[Setting]) -> str:
    """The settings as a Markdown table."""
    rows = [_HEADINGS, ("---",) * len(_HEADINGS), *map(_cells, settings)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(setting: Setting) -> tuple[str, ...]:
    profiles = (
        f"{profile}: {_shown(values[setting.name])}"
        for profile, values in PROFILES.items()
        if setting.name in values
    )
    smallest = str(setting.minimum) if setting.kind == "whole number" else ""
    return (
        f"`{setting.name}`",
        setting.kind,
        _shown(setting.default),
        ", ".join(profiles),
        smallest,
        setting.help,
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"`{value}`" if value != "" else ""


if __name__ == "__main__":
    print(table(TABLE))
