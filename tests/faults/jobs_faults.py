"""What may happen while jobs run, each a block: to what runs them, and to their database."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from .jobs import running
from .processes import send, wait_for
from .site import Site


@contextmanager
def runner_killed(site: Site) -> Iterator[None]:
    """The process beside the server is killed in the middle of jobs; another takes its place."""
    server = site.server
    _wait_for_jobs(site)
    victims = server.runners
    send(signal.SIGKILL, *victims)
    yield
    wait_for("another process", lambda: set(server.runners) - set(victims))


@contextmanager
def pool_killed(site: Site) -> Iterator[None]:
    """Celery's processes are killed in the middle of jobs; it starts others."""
    worker = site.worker
    assert worker is not None
    _wait_for_jobs(site)
    victims = worker.pool
    send(signal.SIGKILL, *victims)
    yield
    worker.wait_until_up(victims)


@contextmanager
def celery_killed(site: Site) -> Iterator[None]:
    """The worker's main process is killed in the middle of jobs, and started again."""
    worker = site.worker
    assert worker is not None
    _wait_for_jobs(site)
    victims = worker.pool
    worker.kill_main()
    yield
    worker.wait_until_up(victims)


@contextmanager
def database_killed(site: Site) -> Iterator[None]:
    """PostgreSQL is killed in the middle of jobs."""
    assert site.postgresql is not None
    _wait_for_jobs(site)
    site.postgresql.kill()
    yield
    site.postgresql.start()


def _wait_for_jobs(site: Site) -> None:
    wait_for("jobs to run", lambda: running(site.engine) > 1)
