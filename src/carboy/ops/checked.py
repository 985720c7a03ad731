"""What is checked, and what a check finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from sqlalchemy.engine import Engine

from ..access import Policy
from ..execute.gate import limit_of
from ..schema import Schema
from ..settings import Settings


class Checked(Struct, frozen=True, eq=False):
    """An application, and how it is to be served.

    ``config`` is Flask's; None where Carboy serves a database and there is no code to set it.
    ``logins`` says that cookies stand for actors.
    """

    config: Mapping[str, Any] | None
    settings: Settings
    engine: Engine
    schema: Schema
    policies: Mapping[str, Policy]
    logins: bool = False
    workers: int = 1
    threads: int = 8

    @property
    def connections(self) -> int | None:
        """The most that a worker's pool opens; None where it has no limit, or can't be told."""
        return limit_of(self.engine.pool)


class Fault(Struct, frozen=True):
    """What is wrong, and what to do about it."""

    detail: str
    fix: str


def listed(names: list[str]) -> str:
    """``'a', 'b' and 3 more``."""
    shown = ", ".join(map(repr, names[:8]))
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
