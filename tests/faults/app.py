"""The application under test: accounts, transfers between them, notes, and orders.

A transfer moves money when it is stored, by an event of the mapper; so a transfer that is lost or
done twice shows in the balances. Nothing but Idempotency-Key keeps a row from being stored twice.
An order queues a job in its own transaction, which delivers it.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column, relationship

from carboy import Carboy, Job, Policy, role

CONNECTIONS = 5
"""What a worker's pool holds."""
READER, WRITER = "reader", "writer"
_JOB_SECONDS = 0.1


class Base(DeclarativeBase):
    """The models of this application."""


class Account(Base):
    """Whose balance is what it began with, and all transfers to it, less those from it."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(sa.String(50))
    balance: Mapped[int] = mapped_column(default=0)


class Transfer(Base):
    """An amount from one account to another; ``ref`` is the client's name for it."""

    __tablename__ = "transfers"

    id: Mapped[int] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(sa.String(50), index=True)
    source_id: Mapped[int] = mapped_column(sa.ForeignKey("accounts.id"))
    target_id: Mapped[int] = mapped_column(sa.ForeignKey("accounts.id"))
    amount: Mapped[int]
    source: Mapped[Account] = relationship(foreign_keys=source_id)
    target: Mapped[Account] = relationship(foreign_keys=target_id)


class Note(Base):
    """A text that is written, changed, searched and deleted."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(sa.String(50), index=True)
    text: Mapped[str] = mapped_column(sa.String(200))


class Order(Base):
    """What is delivered by a job, once."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(sa.String(50), index=True)


class Delivery(Base):
    """What a job has done in the database; nothing here keeps it from being done twice."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(sa.String(50))


@sa.event.listens_for(Transfer, "after_insert")
def move_money(_: Mapper[Any], connection: sa.Connection, transfer: Transfer) -> None:
    """Change both balances, in the order of the keys, so that no two transfers wait in a circle."""
    changes = sorted(
        ((transfer.source_id, -transfer.amount), (transfer.target_id, transfer.amount))
    )
    for key, amount in changes:
        row = sa.update(Account).where(Account.id == key)
        connection.execute(row.values(balance=Account.balance + amount))


def create_app() -> flask.Flask:
    """The application on DATABASE_URL; every other setting comes from the environment."""
    app = flask.Flask(__name__)
    engine = sa.create_engine(
        os.environ["DATABASE_URL"], pool_size=CONNECTIONS, max_overflow=0, pool_timeout=5
    )
    known = role(READER, WRITER)
    policy = Policy(read=known, create=role(WRITER), update=role(WRITER), delete=role(WRITER))
    api = Carboy(app, engine, policy=policy)
    api.resource(Account, read_only=True)
    api.resource(Transfer)
    api.resource(Note, search=("text",))
    api.resource(Order)
    _add_jobs(api)

    @app.get("/busy")
    def busy() -> flask.Response:
        """Use a connection for a while, and say which process answers."""
        with engine.connect() as connection:
            connection.scalar(sa.select(sa.func.count(Note.id)))
            time.sleep(0.2)
        return flask.jsonify(process=os.getpid())

    holding = threading.Lock()

    @app.post("/hold")
    def hold() -> flask.Response:
        """Take every connection of this process, and keep them for as many seconds as are asked."""

        def give_back() -> None:
            for connection in held:
                connection.close()
            holding.release()

        if holding.acquire(blocking=False):
            held = [engine.raw_connection() for _ in range(CONNECTIONS)]
            threading.Timer(flask.request.args.get("seconds", 5, type=int), give_back).start()
        return flask.jsonify(process=os.getpid())

    return app


def _add_jobs(api: Carboy) -> None:
    @api.job(attempts=50, backoff=0.2)
    def deliver(job: Job, ref: str) -> None:
        """Charge for an order elsewhere, by the job's key; then deliver it, with time between."""
        (Path(os.environ["CHARGES"]) / job.key).write_text(ref)
        time.sleep(_JOB_SECONDS)
        job.session.execute(sa.insert(Delivery).values(ref=ref))

    @sa.event.listens_for(Order, "after_insert")
    def queue_delivery(_: Mapper[Any], connection: sa.Connection, order: Order) -> None:
        api.enqueue(deliver, {"ref": order.ref}, session=connection)
