"""What actors may do with a resource: rules that answer yes, no, or SQL over the row.

A rule is asked anew for each request, so it may look at the time or a flag. What it answers for
one actor goes into the statement; nothing is filtered afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from sqlalchemy import SQLColumnExpression

from .actor import Actor

Action: TypeAlias = Literal["read", "create", "update", "delete"]
Verdict: TypeAlias = bool | SQLColumnExpression[bool]
Rule: TypeAlias = bool | Callable[[Actor], Verdict]
"""Yes or no for every row, or a condition on the row, which may follow relationships."""
FieldRule: TypeAlias = bool | Callable[[Actor], bool]
"""Yes or no; a field can't be shown in some rows and not in others."""

ACTIONS: tuple[Action, ...] = ("read", "create", "update", "delete")
_NONE: Mapping[str, Any] = MappingProxyType({})


class PolicyError(ValueError):
    """A policy is declared wrongly; the message names the resource, the rule and the fix."""


class HasRole(Struct, frozen=True):
    """The rule that an actor has one of these roles."""

    names: tuple[str, ...]

    def __call__(self, who: Actor) -> bool:
        return who.has(*self.names)

    def __str__(self) -> str:
        return f"role {' or '.join(self.names)}"


class SignedIn(Struct, frozen=True):
    """The rule that it is known who asks."""

    def __call__(self, who: Actor) -> bool:
        return not who.is_anonymous

    def __str__(self) -> str:
        return "signed in"


def role(*names: str) -> HasRole:
    """The rule that an actor has one of these roles."""
    if not names:
        raise PolicyError("role() needs the name of a role, such as role('editor')")
    return HasRole(names)


signed_in = SignedIn()
writer = role("writer", "admin")


class Policy(Struct, frozen=True, eq=False, kw_only=True):
    """Who may read, create, update and delete which rows, and read and write which fields.

    What it doesn't say is closed: reading takes a credential, writing the role ``writer`` or
    ``admin``. ``create`` is about the new row, ``update`` about the row before and after.
    ``fields`` and ``write_fields`` limit single fields further; ``set_on_create`` and
    ``set_on_update`` fill in fields that a client then can't send.
    """

    read: Rule = signed_in
    create: Rule = writer
    update: Rule = writer
    delete: Rule = writer
    fields: Mapping[str, FieldRule] = _NONE
    write_fields: Mapping[str, FieldRule] = _NONE
    set_on_create: Mapping[str, Callable[[Actor], Any]] = _NONE
    set_on_update: Mapping[str, Callable[[Actor], Any]] = _NONE

    def rule(self, action: Action) -> Rule:
        """The rule for an action."""
        rules: dict[Action, Rule] = {
            "read": self.read,
            "create": self.create,
            "update": self.update,
            "delete": self.delete,
        }
        return rules[action]


CLOSED = Policy()
"""Whoever is known may read; writing takes a role."""
OPEN = Policy(read=True, create=True, update=True, delete=True)
"""Everybody may do everything."""
PUBLIC = Policy(read=True)
"""Everybody may read."""
