"""An application with jobs, and a login that believes a header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import Actor, Carboy, Job, Policy, role, signed_in
from carboy.errors import Unavailable
from carboy.extension import jobs_of
from carboy.jobs import Jobs


class Base(DeclarativeBase):
    """The models of this module."""


class Note(Base):
    """A row that belongs to somebody."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.String(20))
    owner: Mapped[str] = mapped_column(sa.String(20))
    mark: Mapped[str] = mapped_column(sa.String(20), default="")


def mine(who: Actor) -> bool | sa.ColumnElement[bool]:
    """One's own; an admin's are all."""
    return who.has("admin") or Note.owner == who.id


NOTES = Policy(
    read=signed_in, create=signed_in, update=mine, delete=mine, write_fields={"mark": role("admin")}
)


def logged_in() -> Actor | None:
    """``X-User: ada:writer,admin``."""
    name, _, roles = flask.request.headers.get("X-User", "").partition(":")
    return Actor(name, frozenset(filter(None, roles.split(",")))) if name else None


class Errands:
    """An application over an empty database, whose jobs run when a test says so."""

    def __init__(self, url: str, policy: Policy = NOTES, **config: Any) -> None:
        self.engine = sa.create_engine(url)
        Base.metadata.create_all(self.engine)
        self.app = flask.Flask("errands")
        self.app.config.update(config)
        self.api = Carboy(self.app, self.engine, actor=logged_in)
        self.api.resource(Note, policy=policy)
        self.seen: list[Any] = []

    def add(self, *texts: str, owner: str = "ada") -> None:
        """Notes to begin with."""
        with self.engine.begin() as connection:
            rows = [{"text": text, "owner": owner, "mark": ""} for text in texts]
            connection.execute(sa.insert(Note), rows)

    def texts(self) -> list[str]:
        """The notes' texts in order."""
        with self.engine.connect() as connection:
            return list(connection.scalars(sa.select(Note.text).order_by(Note.text)))

    def send(self, method: str, path: str, body: Any = None, user: str = "ada", **more: str) -> Any:
        """One request of a user; ``Idempotency_Key=`` is the header Idempotency-Key."""
        headers = {"X-User": user, "Sec-Fetch-Site": "same-origin"} | {
            k.replace("_", "-"): v for k, v in more.items()
        }
        return self.app.test_client().open(path, method=method, json=body, headers=headers)

    def job(self, id_: str, user: str = "root:admin") -> Any:
        """A job as the API shows it."""
        answer = self.send("GET", f"/api/jobs/{id_}", user=user)
        assert answer.status_code == 200, answer.text
        return answer.json

    def enqueue(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
        """Queue outside of a request."""
        with self.app.app_context():
            return self.api.enqueue(function, *arguments, **options)

    def run(self) -> int:
        """Run what is due."""
        with self.app.app_context():
            return self.api.run_jobs()

    def jobs(self) -> Jobs:
        """What runs them."""
        with self.app.app_context():
            return jobs_of(self.app)

    def due_now(self) -> None:
        """Let the pauses of failed jobs, and the leases of running ones, be over."""
        with self.engine.begin() as connection:
            over = "UPDATE carboy_jobs SET due_at = 0 WHERE due_at IS NOT NULL"
            connection.execute(sa.text(over))


def write_note(job: Job, text: str) -> str:
    """A job with an effect in the database."""
    job.session.add(Note(text=text, owner="job"))
    return text


def write_and_fail(job: Job, text: str) -> None:
    """A job whose effect must not stay."""
    job.session.add(Note(text=text, owner="job"))
    job.session.flush()
    raise Unavailable("the printer is out of paper")
