"""Who may do what in the blog. Whoever asks is known by an id, which is a user's, and roles."""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_

from carboy import Actor, Policy, role, signed_in

from .models import Post, User

admin = role("admin")
editor = role("editor", "admin")


def oneself(who: Actor) -> bool | ColumnElement[bool]:
    """One's own account; an admin's are all."""
    return admin(who) or User.id == who.id


def own_post(who: Actor) -> bool | ColumnElement[bool]:
    """What one has written; an editor's are all."""
    return editor(who) or Post.author_id == who.id


def visible_post(who: Actor) -> bool | ColumnElement[bool]:
    """What is published, and one's own drafts; an editor's are all."""
    return editor(who) or or_(Post.published, Post.author_id == who.id)


USERS = Policy(
    read=True,
    create=True,  # anybody may sign up
    update=oneself,
    delete=oneself,
    write_fields={"is_active": admin},
)
POSTS = Policy(
    read=visible_post,
    create=signed_in,
    update=own_post,
    delete=own_post,
    set_on_create={"author_id": lambda who: who.id},
)
EDITED = Policy(read=True, create=editor, update=editor, delete=editor)
