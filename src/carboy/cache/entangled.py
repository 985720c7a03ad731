"""What the database itself does with tables: views of them, triggers, cascades, partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.pool import ManagesConnection

from ..sql import dialect_for
from .versions import ANYTHING, EVERYTHING, Places, place_of


class Entangled(Struct, frozen=True):
    """The database's tables by how they hang together; names are in lower case.

    ``follows`` are the tables that a table's cascades change; ``same`` those that share rows with
    it. ``told`` says that triggers of Carboy's tell of each write.
    """

    views: frozenset[str]
    triggered: frozenset[str]
    follows: Mapping[str, frozenset[str]]
    same: Mapping[str, frozenset[str]]
    told: bool

    def read(self, tables: Iterable[str]) -> Places:
        """The places that an answer from these tables depends on."""
        names = {name.lower() for name in tables}
        places = {EVERYTHING, *map(place_of, names)}
        if names & self.views:
            # What a view reads is in the database's hands, so every write counts.
            places.add(ANYTHING)
        return tuple(sorted(places))

    def written(self, tables: Iterable[sa.Table], *, replaces: bool) -> Places:
        """The places of what a write to these tables changes.

        ``replaces`` says that rows may go or change their keys, so that others follow.
        """
        names = {table.name.lower() for table in tables}
        wanted = list(names)
        while wanted:
            name = wanted.pop()
            others = self.same.get(name, frozenset())
            if replaces:
                others |= self.follows.get(name, frozenset())
            wanted += others - names
            names |= others
        if names & (self.triggered | self.views):
            return (EVERYTHING, ANYTHING)
        return (ANYTHING, *sorted(map(place_of, names)))


def entangled(connection: ManagesConnection, dialect: str) -> Entangled:
    """Ask the database, in the connection's transaction, without an event of SQLAlchemy's."""
    driver = connection.driver_connection
    assert driver is not None
    cursor = driver.cursor()
    try:
        cursor.execute(dialect_for(dialect).entanglements)
        rows = [tuple(str(part).lower() for part in row) for row in cursor.fetchall()]
    finally:
        cursor.close()

    def pairs(kind: str, *, both: bool = False) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for what, one, other in rows:
            if what == kind:
                found.setdefault(one, set()).add(other)
                if both:
                    found.setdefault(other, set()).add(one)
        return {name: frozenset(others) for name, others in found.items()}

    return Entangled(
        views=frozenset(pairs("view")),
        triggered=frozenset(pairs("trigger")),
        follows=pairs("follows"),
        same=pairs("same", both=True),
        told=any(row[0] == "told" for row in rows),
    )
