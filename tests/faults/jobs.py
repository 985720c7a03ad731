"""What became of orders' jobs: the table of jobs beside what they did in it and elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from carboy.jobs import TABLE, is_there

from .app import Delivery, Order

SETTLE_SECONDS = 90
"""Until every job must be done: leases end, messages are sent again, and there is a queue."""


class Jobs(NamedTuple):
    """The jobs of one run; times in seconds after the end of the fault."""

    orders: int
    done: int
    """Orders that were delivered and charged once."""
    first: float | None
    """Until a job was done; None if none was."""
    last: float | None
    """Until those were done that had been queued before."""
    wrong: list[str]


def running(engine: sa.Engine) -> int:
    """How many jobs are being run."""
    query = sa.select(sa.func.count()).where(TABLE.c.state == "running")
    with engine.connect() as connection:
        return connection.scalar(query) or 0 if is_there(connection) else 0


def settled(engine: sa.Engine, charges: Path, run: str, ended: float) -> Jobs:
    """Wait until no job is left to do, and look; ``ended`` is a time of day."""
    end = time.monotonic() + SETTLE_SECONDS
    unfinished = sa.select(TABLE.c.state, sa.func.count()).where(TABLE.c.state != "done")
    with engine.connect() as connection:
        while left := connection.execute(unfinished.group_by(TABLE.c.state)).all():
            connection.rollback()
            if time.monotonic() > end:
                break
            time.sleep(0.1)
        moment, finished = int(ended * 1000), TABLE.c.finished_at
        first = connection.scalar(sa.select(sa.func.min(finished).filter(finished >= moment)))
        before = sa.select(sa.func.max(finished)).where(TABLE.c.created_at <= moment)
        last = connection.scalar(before)
        orders, deliveries = (
            _of(run, connection.scalars(sa.select(table.ref))) for table in (Order, Delivery)
        )
    charged = _of(run, (file.read_text() for file in charges.iterdir()))
    wrong = wrong_effects(orders, deliveries, charged)
    return Jobs(
        orders=orders.total(),
        done=sum(ref not in wrong for ref in orders),
        first=None if first is None else (first - moment) / 1000,
        last=None if last is None else max(last - moment, 0) / 1000,
        wrong=[*(f"{count} jobs are {state}" for state, count in left), *wrong.values()],
    )


def _of(run: str, refs: Iterable[str]) -> Counter[str]:
    return Counter(ref for ref in refs if ref.startswith(f"{run}-"))


def wrong_effects(
    orders: Counter[str], deliveries: Counter[str], charged: Counter[str]
) -> dict[str, str]:
    """The orders, by name, that weren't delivered and charged as often as they were stored."""
    return {
        ref: f"order {ref}: {orders[ref]} stored, {deliveries[ref]} delivered, {charged[ref]} paid"
        for ref in orders | deliveries | charged
        if not orders[ref] == deliveries[ref] == charged[ref]
    }
