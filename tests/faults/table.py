"""The table of faults, each a block: entering it is the fault's beginning, leaving it its end."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial

import psycopg

from .processes import send, wait_for
from .runner import Fault
from .servers import COMMIT_LOCK, PostgreSQL, Server
from .site import Site, by_proxy, on_a_small_disk, on_postgresql, on_sqlite, with_a_clock

_BLOCK_WRITES = "BEGIN; LOCK TABLE notes, transfers IN SHARE MODE"
_WAITING = "wait_event_type = 'Lock' AND query NOT LIKE 'COMMIT%'"
_COMMITTING = "wait_event = 'advisory' AND query LIKE 'COMMIT%'"
_COMMITTED = "wait_event = 'SyncRep'"


# --- PostgreSQL's processes ---


@contextmanager
def killed_while_idle(site: Site) -> Iterator[None]:
    """PostgreSQL is killed and started again while no request is under way."""
    cluster, load = _postgresql(site), site.load
    assert load is not None
    load.running.clear()
    time.sleep(0.5)
    cluster.kill()
    cluster.start()
    load.running.set()
    yield


@contextmanager
def killed_in_statements(site: Site) -> Iterator[None]:
    """PostgreSQL is killed while writes wait in their statements."""
    cluster = _postgresql(site)
    with cluster.admin() as admin:
        admin.execute(_BLOCK_WRITES)
        with cluster.admin() as observer:
            cluster.wait_for_backends(observer, _WAITING)
        cluster.kill()
    yield
    cluster.start()


@contextmanager
def killed_in_commits(site: Site) -> Iterator[None]:
    """PostgreSQL is killed while writes wait in their COMMIT, which hasn't happened yet."""
    cluster = _postgresql(site)
    with cluster.admin() as admin:
        admin.execute("SELECT pg_advisory_lock(%s)", [COMMIT_LOCK])
        cluster.wait_for_backends(admin, _COMMITTING)
        cluster.kill()
    yield
    cluster.start()


@contextmanager
def killed_after_commits(site: Site) -> Iterator[None]:
    """PostgreSQL is killed when writes are stored, and their COMMIT isn't answered yet."""
    cluster = _postgresql(site)
    with cluster.admin() as admin:
        # It then stores a commit, and waits for a standby that doesn't exist.
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        admin.execute("SELECT pg_reload_conf()")
        cluster.wait_for_backends(admin, _COMMITTED)
        cluster.kill()
    (cluster.data / "postgresql.auto.conf").write_text("")
    yield
    cluster.start()


@contextmanager
def backend_killed(site: Site) -> Iterator[None]:
    """One of PostgreSQL's processes is killed in a statement; PostgreSQL ends all others."""
    cluster = _postgresql(site)
    with cluster.admin() as admin:
        admin.execute(_BLOCK_WRITES)
        with cluster.admin() as observer:
            [victim, *_] = cluster.wait_for_backends(observer, _WAITING)
        send(signal.SIGKILL, victim)
    wait_for("PostgreSQL to recover", lambda: _answers(cluster))
    yield


@contextmanager
def restarted(site: Site) -> Iterator[None]:
    """PostgreSQL is restarted in order, which ends all connections."""
    _postgresql(site).restart()
    yield


@contextmanager
def stopped(site: Site) -> Iterator[None]:
    """PostgreSQL's processes are stopped, and hold their connections."""
    postmaster = _postgresql(site).postmaster
    postmaster.pause()
    try:
        yield
    finally:
        postmaster.resume()


# --- between the application and PostgreSQL ---


@contextmanager
def connections_reset(site: Site) -> Iterator[None]:
    """All connections are reset, and new ones too."""
    assert site.proxy is not None
    site.proxy.refusing = True
    site.proxy.reset()
    yield
    site.proxy.refusing = False


@contextmanager
def half_open(site: Site) -> Iterator[None]:
    """The network swallows everything; connections that were open then stay dead for good."""
    assert site.proxy is not None
    site.proxy.stalled = True
    yield
    site.proxy.stalled = False
    site.proxy.reset()


@contextmanager
def commit_lost(site: Site, *, answer: bool) -> Iterator[None]:
    """Connections are reset at each COMMIT: before it arrives, or in the place of its answer."""
    proxy = site.proxy
    assert proxy is not None
    lost = proxy.lost
    proxy.lose_answer = answer
    proxy.lose = b"COMMIT"
    wait_for("COMMITs to be lost", lambda: proxy.lost > lost + 3)
    yield
    proxy.lose = None


# --- what PostgreSQL refuses ---


@contextmanager
def no_connection_left(site: Site) -> Iterator[None]:
    """Other clients take every connection that PostgreSQL allows."""
    cluster = _postgresql(site)
    url = cluster.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with cluster.admin() as admin, ExitStack() as stack:
        while cluster.backends(admin, "application_name <> 'other'"):
            cluster.terminate(admin, "application_name <> 'other'")
            with suppress(psycopg.OperationalError):
                while True:
                    other = psycopg.connect(url, application_name="other")
                    stack.enter_context(closing(other))
        yield


@contextmanager
def table_locked(site: Site) -> Iterator[None]:
    """Another client has the table of notes for itself."""
    with _postgresql(site).admin() as admin:
        admin.execute("BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def read_only(site: Site) -> Iterator[None]:
    """PostgreSQL takes no writes, as a standby that the application was led to."""
    cluster = _postgresql(site)
    with cluster.admin() as admin:
        admin.execute("ALTER DATABASE app SET default_transaction_read_only = on")
        cluster.terminate(admin)
        try:
            yield
        finally:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute("ALTER DATABASE app RESET default_transaction_read_only")
            cluster.terminate(admin)


@contextmanager
def pool_empty(site: Site) -> Iterator[None]:
    """Views of the application hold every connection of its pools."""
    begun = time.monotonic()
    site.hold_all(8)
    yield
    time.sleep(max(0, begun + 9 - time.monotonic()))


@contextmanager
def disk_full(site: Site) -> Iterator[None]:
    """Nothing more fits on PostgreSQL's disk; it ends itself where it can't write its log."""
    assert site.disk is not None
    cluster = _postgresql(site)
    filler = site.disk / "filler"
    with filler.open("wb") as file:
        _fill(file.fileno())
    yield
    filler.unlink()
    cluster.wait_until_up()


# --- Redis ---


@contextmanager
def redis_killed(site: Site) -> Iterator[None]:
    """Redis is killed, and comes back empty."""
    site.redis.process.kill()
    yield
    site.redis.start()


@contextmanager
def redis_stopped(site: Site) -> Iterator[None]:
    """Redis is stopped, and holds its connections."""
    site.redis.process.pause()
    try:
        yield
    finally:
        site.redis.process.resume()


@contextmanager
def redis_flushed(site: Site) -> Iterator[None]:
    """Redis forgets everything."""
    site.redis.client.flushall()
    yield


@contextmanager
def redis_full(site: Site) -> Iterator[None]:
    """Redis has no memory left, and refuses writes."""
    client = site.redis.client
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    yield
    client.config_set("maxmemory", 0)


# --- the server ---


@contextmanager
def worker_killed(site: Site) -> Iterator[None]:
    """One of the server's workers is killed in the middle of requests."""
    server = site.server
    victim = server.workers[0]
    send(signal.SIGKILL, victim)
    yield
    wait_for("another worker", lambda: len(set(server.workers) - {victim}) == 2)


@contextmanager
def server_killed(site: Site) -> Iterator[None]:
    """The server's main process is killed, and started again as systemd would."""
    server = site.server
    left = server.kill_main()
    wait_for("the workers to end", lambda: not server.is_listening(), 10)
    assert left
    yield
    server.start()


@contextmanager
def clock_moved(site: Site, *, by: str) -> Iterator[None]:
    """The clock of the server jumps, and back again."""
    assert site.clock is not None
    site.clock.write_text(by)
    yield
    site.clock.write_text("+0")


# --- SQLite ---


@contextmanager
def file_limited(site: Site) -> Iterator[None]:
    """No file of the server's may grow beyond what SQLite's has."""
    log = site.folder / "app.sqlite-wal"
    limit = max(log.stat().st_size, (site.folder / "app.sqlite").stat().st_size) // 2
    _limit_files(site.server, limit)
    yield
    _limit_files(site.server, resource.RLIM_INFINITY)


@contextmanager
def file_locked(site: Site) -> Iterator[None]:
    """Another process writes to SQLite's file, and doesn't end."""
    with site.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        connection.rollback()


def _limit_files(server: Server, size: int) -> None:
    for pid in server.workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _postgresql(site: Site) -> PostgreSQL:
    assert site.postgresql is not None
    return site.postgresql


def _answers(cluster: PostgreSQL) -> bool:
    with suppress(psycopg.OperationalError), cluster.admin():
        return True
    return False


def _fill(file: int) -> None:
    size = 1 << 20
    while size:
        try:
            os.write(file, bytes(size))
        except OSError:
            size //= 2


AWAY = frozenset({503})
LATE = frozenset({503, 504})

FAULTS = (
    Fault("PostgreSQL killed while idle", on_postgresql, killed_while_idle, 1),
    Fault("PostgreSQL killed in statements", on_postgresql, killed_in_statements, 3, AWAY, AWAY, quick=True),
    Fault("PostgreSQL killed in COMMITs", on_postgresql, killed_in_commits, 3, AWAY, AWAY),
    Fault("PostgreSQL killed after COMMITs", on_postgresql, killed_after_commits, 3, AWAY, AWAY, quick=True),
    Fault("A process of PostgreSQL's killed", on_postgresql, backend_killed, 1, AWAY, AWAY),
    Fault("PostgreSQL restarted", on_postgresql, restarted, 1, AWAY, AWAY),
    Fault("PostgreSQL stopped", on_postgresql, stopped, 30, LATE, LATE, quick=True),
    Fault("Every connection allowed in use", on_postgresql, no_connection_left, 4, AWAY, AWAY),
    Fault("A table locked", on_postgresql, table_locked, 20, LATE, LATE),
    Fault("Read-only", on_postgresql, read_only, 4, frozenset(), AWAY, quick=True),
    Fault("The pool empty", on_postgresql, pool_empty, 0, AWAY, AWAY),
    Fault("Redis killed", on_postgresql, redis_killed, 6),
    Fault("Redis stopped", on_postgresql, redis_stopped, 30),
    Fault("Redis flushed", on_postgresql, redis_flushed, 1),
    Fault("Redis full", on_postgresql, redis_full, 6),
    Fault("A worker killed", on_postgresql, worker_killed, 2, breaks=True, quick=True),
    Fault("The server killed", on_postgresql, server_killed, 2, breaks=True, quick=True),
    Fault("Connections reset", by_proxy, connections_reset, 4, AWAY, AWAY),
    Fault("Connections half-open", by_proxy, half_open, 20, LATE, LATE),
    Fault("COMMITs lost", by_proxy, partial(commit_lost, answer=False), 3, AWAY, AWAY),
    Fault("Answers to COMMITs lost", by_proxy, partial(commit_lost, answer=True), 3, AWAY, AWAY),
    Fault("PostgreSQL's disk full", on_a_small_disk, disk_full, 5, AWAY, AWAY),
    Fault("The clock two hours ahead", with_a_clock, partial(clock_moved, by="+7200"), 4),
    Fault("The clock two hours behind", with_a_clock, partial(clock_moved, by="-7200"), 4),
    Fault("SQLite's disk full", on_sqlite, file_limited, 4, AWAY, AWAY),
    Fault("SQLite's file locked", on_sqlite, file_locked, 12, frozenset(), LATE),
)
