"""An application that keeps its answers, for several processes that read and write at once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import flask
import sqlalchemy as sa

from carboy import OPEN, Carboy
from carboy.cache import redis

# The machine is busy with tests, and this isn't about a Redis that is away.
redis._TIMEOUT = 10

metadata = sa.MetaData()
counters = sa.Table(
    "counters",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)
asked = sa.Table("asked", metadata, sa.Column("id", sa.Integer, primary_key=True))

engine = sa.create_engine(os.environ.get("APP_DATABASE", "sqlite://"))
app = flask.Flask("cache_app")
app.config["SECRET_KEY"] = "of all processes, 32 bytes or more"
api = Carboy(app, engine, policy=OPEN)
api.resource(counters, name="counters", cache=600)


@app.get("/own/<int:key>")
@api.cached(600)
def own(key: int) -> Any:
    """The same by a view."""
    one = sa.select(counters.c.number.label("number")).where(counters.c.id == key)
    return api.read(one, one=True)


@app.get("/slow")
@api.cached(600)
def slow() -> Any:
    """What takes a while, and notes in a file that it was computed."""
    with Path(os.environ["APP_NOTES"]).open("a") as notes:
        notes.write("computed\n")
    time.sleep(0.5)
    one = sa.select(counters.c.number.label("number")).where(counters.c.id == 1)
    return api.read(one, one=True)


@app.post("/add/<int:key>")
def add(key: int) -> Any:
    """A write with a connection of the application's own."""
    with engine.begin() as connection:
        change = sa.update(counters).where(counters.c.id == key)
        connection.execute(change.values(number=counters.c.number + 1))
    return {"added": True}
