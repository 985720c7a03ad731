"""Carboy, as a reader of its quickstart would set it up."""

from __future__ import annotations

from flask import Flask

from carboy import OPEN, Carboy

from .flask_app import db, new_app
from .models import (
    Arrival,
    Category,
    LargeEvent,
    MediumEvent,
    Note,
    Post,
    SmallEvent,
    Tag,
    User,
)


def new_carboy() -> Flask:
    """An application with a resource for each table."""
    made = new_app(__name__)
    api = Carboy(made, db, policy=OPEN)
    for model in (User, Category, Tag, Note, SmallEvent, MediumEvent, LargeEvent, Arrival):
        api.resource(model)
    api.resource(Post, search=("title",))
    return made


app = new_carboy()
