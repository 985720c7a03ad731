"""Carboy under row policies; and without any, for the same rows to be asked for by hand."""

from __future__ import annotations

import os

from flask import Flask
from sqlalchemy import ColumnElement, or_

from carboy import OPEN, Actor, Carboy, Policy

from .flask_app import db, new_app
from .models import Category, Post, Tag, User


def visible_post(who: Actor) -> ColumnElement[bool]:
    """What is published, and one's own."""
    return or_(Post.published, Post.author_id == who.id)


def visible_user(who: Actor) -> ColumnElement[bool]:
    """Who is active, and oneself."""
    return or_(User.is_active, User.id == who.id)


def _app(name: str, posts: Policy, users: Policy) -> Flask:
    app = new_app(f"{__name__}.{name}")
    app.config["CARBOY_JWT_SECRET"] = os.environ["JWT_SECRET"]
    api = Carboy(app, db, policy=OPEN)
    api.resource(Post, policy=posts)
    api.resource(User, policy=users)
    api.resource(Category)
    api.resource(Tag)
    return app


limited = _app("limited", Policy(read=visible_post), Policy(read=visible_user))
by_hand = _app("by_hand", OPEN, OPEN)
