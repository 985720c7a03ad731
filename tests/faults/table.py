"""The table of faults: where each happens, for how long, and what is right meanwhile."""

from __future__ import annotations

from functools import partial

from . import jobs_faults as jobs
from . import other_faults as other
from . import postgresql_faults as pg
from .runner import BACK_SECONDS, Fault
from .site import (
    by_proxy,
    on_a_small_disk,
    on_mariadb,
    on_mariadb_with_a_small_disk,
    on_postgresql,
    on_sqlite,
    with_a_clock,
    with_celery,
    with_jobs,
)

AWAY = frozenset({503})
LATE = frozenset({503, 504})
STARTED = 10 + BACK_SECONDS
"""A process that runs jobs has to start first, on a machine that is busy."""
RECONNECTED = 6 + BACK_SECONDS
"""Celery looks for a lost broker after pauses of 2, 4, 6 ... seconds; one may just have begun."""
SENT_AGAIN = 10 + STARTED
"""What the broker has swallowed is sent again after 10 seconds; Celery may have ended itself."""

FAULTS = (
    Fault("PostgreSQL killed while idle", on_postgresql, pg.killed_while_idle, 1),
    Fault(
        "PostgreSQL killed in statements",
        on_postgresql,
        pg.killed_in_statements,
        3,
        AWAY,
        AWAY,
        quick=True,
    ),
    Fault("PostgreSQL killed in COMMITs", on_postgresql, pg.killed_in_commits, 3, AWAY, AWAY),
    Fault(
        "PostgreSQL killed after COMMITs",
        on_postgresql,
        pg.killed_after_commits,
        3,
        AWAY,
        AWAY,
        quick=True,
    ),
    Fault("A process of PostgreSQL's killed", on_postgresql, pg.backend_killed, 1, AWAY, AWAY),
    Fault("PostgreSQL restarted", on_postgresql, pg.restarted, 1, AWAY, AWAY),
    Fault("PostgreSQL stopped", on_postgresql, pg.stopped, 30, LATE, LATE, quick=True),
    Fault("Every connection allowed in use", on_postgresql, pg.no_connection_left, 4, AWAY, AWAY),
    Fault("A table locked", on_postgresql, pg.table_locked, 20, LATE, LATE),
    Fault("Read-only", on_postgresql, pg.read_only, 4, frozenset(), AWAY, quick=True),
    Fault("The pool empty", on_postgresql, pg.pool_empty, 0, AWAY, AWAY),
    Fault("Redis killed", on_postgresql, other.redis_killed, 6),
    Fault("Redis stopped", on_postgresql, other.redis_stopped, 30),
    Fault("Redis flushed", on_postgresql, other.redis_flushed, 1),
    Fault("Redis full", on_postgresql, other.redis_full, 6),
    Fault("A worker killed", on_postgresql, other.worker_killed, 2, breaks=True, quick=True),
    Fault("The server killed", on_postgresql, other.server_killed, 2, breaks=True, quick=True),
    Fault("Connections reset", by_proxy, pg.connections_reset, 4, AWAY, AWAY),
    Fault("Connections half-open", by_proxy, pg.half_open, 20, LATE, LATE),
    Fault("COMMITs lost", by_proxy, partial(pg.commit_lost, answer=False), 3, AWAY, AWAY),
    Fault("Answers to COMMITs lost", by_proxy, partial(pg.commit_lost, answer=True), 3, AWAY, AWAY),
    Fault("PostgreSQL's disk full", on_a_small_disk, pg.disk_full, 5, AWAY, AWAY),
    Fault("The clock two hours ahead", with_a_clock, partial(other.clock_moved, by="7200"), 4),
    Fault("The clock two hours behind", with_a_clock, partial(other.clock_moved, by="-7200"), 4),
    Fault("MariaDB killed in statements", on_mariadb, other.mariadb_killed, 3, AWAY, AWAY),
    Fault("MariaDB stopped", on_mariadb, other.mariadb_stopped, 30, LATE, LATE),
    Fault("MariaDB: a table locked", on_mariadb, other.mariadb_locked, 20, LATE, LATE),
    Fault("MariaDB read-only", on_mariadb, other.mariadb_read_only, 4, frozenset(), AWAY),
    Fault("MariaDB: every connection in use", on_mariadb, other.mariadb_full, 4, AWAY, AWAY),
    Fault(
        "MariaDB's disk full",
        on_mariadb_with_a_small_disk,
        other.mariadb_disk_full,
        5,
        AWAY,
        AWAY,
    ),
    Fault("SQLite's disk full", on_sqlite, other.file_limited, 4, AWAY, AWAY),
    Fault("SQLite's file locked", on_sqlite, other.file_locked, 12, LATE, LATE),
    Fault("Jobs: their process killed", with_jobs, jobs.runner_killed, 1, job_within=STARTED),
    Fault(
        "Jobs: the server killed",
        with_jobs,
        other.server_killed,
        2,
        breaks=True,
        job_within=STARTED,
    ),
    Fault("Jobs: PostgreSQL killed", with_jobs, jobs.database_killed, 3, AWAY, AWAY),
    Fault("Celery: its processes killed", with_celery, jobs.pool_killed, 1),
    Fault("Celery: the worker killed", with_celery, jobs.celery_killed, 2),
    Fault("Celery: PostgreSQL killed", with_celery, jobs.database_killed, 3, AWAY, AWAY),
    Fault("Celery: the broker killed", with_celery, other.redis_killed, 6, job_within=RECONNECTED),
    Fault("Celery: the broker stopped", with_celery, other.redis_stopped, 35),
    Fault("Celery: the broker flushed", with_celery, other.redis_flushed, 1),
    Fault("Celery: the broker full", with_celery, other.redis_full, 6, job_within=SENT_AGAIN),
)
