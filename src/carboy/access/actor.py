"""Who asks: an id and roles, however they were proven."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.sql.elements import ColumnClause


class NobodysId(ColumnClause[Any]):
    """The NULL that the id of nobody is in SQL: a name of its own, so that it can be told."""

    inherit_cache = True


class Nobody:
    """The id of whoever has proven nothing: false, equal to no value, and in SQL to no row.

    ``None`` wouldn't do: SQLAlchemy makes ``column == None`` to ``IS NULL``, which rows fulfil.
    """

    def __clause_element__(self) -> sa.ColumnElement[Any]:
        # No sa.null(), so that a comparison with it is never IS NULL.
        return NobodysId("NULL", is_literal=True)

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "NOBODY"


NOBODY = Nobody()


class Actor(Struct, frozen=True):
    """Whoever makes a request.

    ``id`` is a user's key, or text that names an API key's holder; policies compare it with
    columns. ``roles`` are names of the application's own choice.
    """

    id: Any
    roles: frozenset[str] = frozenset()

    def has(self, *roles: str) -> bool:
        """Whether one of these roles is among the actor's."""
        return not self.roles.isdisjoint(roles)

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing is known of who asks."""
        return self.id is NOBODY


ANONYMOUS = Actor(NOBODY)
