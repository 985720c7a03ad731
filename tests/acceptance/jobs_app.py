"""An application with jobs, for processes that are killed while they run them."""

from __future__ import annotations

import os
import time
from typing import Any

import flask
import sqlalchemy as sa

from carboy import OPEN, Actor, Carboy, Job

metadata = sa.MetaData()
# Without a unique constraint: what happens twice is there twice.
effects = sa.Table(
    "effects",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
)

engine = sa.create_engine(os.environ["APP_DATABASE"])
app = flask.Flask("jobs_app")


if SLOW := float(os.environ.get("APP_SLOW_START", "0")):
    from celery.signals import worker_process_init

    worker_process_init.connect(lambda **_: time.sleep(SLOW), weak=False)


def everybody() -> Actor:
    """Whoever asks is an admin."""
    return Actor("tester", frozenset({"admin"}))


api = Carboy(app, engine, actor=everybody, policy=OPEN)
api.resource(effects, name="effects")


@api.job(attempts=50, backoff=0.2)
def effect(job: Job, number: int, seconds: float = 0) -> int:
    """One row, after some time in which the process may end; answers which process it was."""
    time.sleep(seconds)
    row = {"number": number, "attempt": job.attempt}
    job.session.execute(sa.insert(effects).values(row))
    return os.getpid()


@api.job(attempts=1)
def fail(job: Job) -> None:
    """It always does."""
    raise ValueError("no paper")


@app.post("/start/<int:count>")
def start(count: int) -> Any:
    """Queue some in one transaction."""
    seconds = float(flask.request.args.get("seconds", 0))
    return {"ids": queue(count, seconds)}


def queue(count: int, seconds: float) -> list[str]:
    """Queue some jobs in one transaction, and as many in one that is rolled back."""
    with app.app_context(), engine.connect() as connection:
        kept = connection.begin()
        ids = [
            api.enqueue(effect, {"number": n, "seconds": seconds}, session=connection)
            for n in range(count)
        ]
        kept.commit()
        gone = connection.begin()
        for n in range(count):
            api.enqueue(effect, {"number": -n}, session=connection)
        gone.rollback()
    return ids
