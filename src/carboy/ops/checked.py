"""What is checked, and what a check finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.engine import Engine

from ..access import Policy
from ..execute.gate import limit_of
from ..schema import Schema
from ..settings import Settings
from .migrate import Migrations


class Checked(Struct, frozen=True, eq=False):
    """An application, and how it is to be served; ``binds`` are its other databases.

    ``replica`` is what the default database's reads may go to.

    ``config`` is Flask's; None where Carboy serves a database and there is no code to set it.
    ``logins`` says that cookies stand for actors.
    """

    config: Mapping[str, Any] | None
    settings: Settings
    engine: Engine
    schema: Schema
    policies: Mapping[str, Policy]
    binds: Mapping[str, Engine] = MappingProxyType({})
    replica: Engine | None = None
    logins: bool = False
    migrations: Migrations | None = None
    workers: int = 1
    threads: int = 8

    def databases(self) -> Iterator[Checked]:
        """For each database the part of the application that is in it."""
        for bind, engine in ((None, self.engine), *self.binds.items()):
            resources = {n: r for n, r in self.schema.resources.items() if r.bind == bind}
            yield replace(self, engine=engine, schema=Schema(MappingProxyType(resources)))

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
