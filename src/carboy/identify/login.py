"""Logins that applications have already, as ``Carboy(app, db, actor=...)`` takes them."""

from __future__ import annotations

import enum

from ..access import Actor


def flask_login_actor() -> Actor | None:
    """Flask-Login's current user: its ``get_id()``, and its ``roles`` or ``role`` if it has such.

    A role is text, an enum's member (its value counts), or an object with a ``name``.
    """
    import flask_login

    user = flask_login.current_user
    if not user.is_authenticated:
        return None
    roles = getattr(user, "roles", None)
    if roles is None:
        roles = getattr(user, "role", None)
    if roles is None:
        roles = ()
    elif isinstance(roles, str | enum.Enum) or hasattr(roles, "name"):
        roles = (roles,)
    return Actor(user.get_id(), frozenset(map(_name, roles)))


def _name(role: object) -> str:
    if isinstance(role, enum.Enum):
        role = role.value
    name = role if isinstance(role, str) else getattr(role, "name", None)
    if not isinstance(name, str):
        raise TypeError(f"a role must be text, or have a name that is; it is {role!r}")
    return name
