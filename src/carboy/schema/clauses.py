"""SQL that an application wrote, made ready to be compiled once and kept."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BindParameter

T = TypeVar("T", bound=visitors.ExternallyTraversible)


def flat_lists(clause: T) -> T:
    """The clause with each list of an ``in_()`` as parameters of its own.

    SQLAlchemy puts such a list in when the statement is executed, so that the SQL differs from
    one execution to the next. Lists are filled up to powers of two, so that few forms do for all.
    """

    def replace(element: Any, **_: Any) -> Any:
        if not (isinstance(element, BindParameter) and element.expanding):
            return None
        values = list(element.effective_value or ())
        if not values:
            return sa.select(sa.null()).where(sa.false()).scalar_subquery()
        values += values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values))
        return sa.tuple_(*(sa.literal(value, element.type) for value in values))

    return cast(T, visitors.replacement_traverse(clause, {}, replace))
