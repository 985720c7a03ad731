"""What may happen to Redis, to the server, and to other databases; each a block."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pymysql

from .disk import filled
from .mariadb import MariaDB
from .processes import send, wait_for
from .servers import WORKERS, Server
from .site import Site

_WAITING = "state LIKE 'Waiting for table%'"


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
    wait_for("another worker", lambda: len(set(server.workers) - {victim}) == WORKERS)
    site.wait_for_workers()


@contextmanager
def server_killed(site: Site) -> Iterator[None]:
    """The server's main process is killed, and started again as systemd would."""
    server = site.server
    left = server.workers
    server.kill_main()
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
    site.clock.write_text("0")


# --- MariaDB ---


@contextmanager
def mariadb_killed(site: Site) -> Iterator[None]:
    """MariaDB is killed while requests wait in their statements."""
    server = _mariadb(site)
    with server.admin() as admin:
        admin.execute("LOCK TABLES app.notes WRITE, app.transfers WRITE")
        with server.admin() as observer:
            wait_for("requests to wait", lambda: server.connections(observer, _WAITING) > 1)
        server.process.kill()
    yield
    server.start()


@contextmanager
def mariadb_stopped(site: Site) -> Iterator[None]:
    """MariaDB's process is stopped, and holds its connections."""
    process = _mariadb(site).process
    process.pause()
    try:
        yield
    finally:
        process.resume()


@contextmanager
def mariadb_locked(site: Site) -> Iterator[None]:
    """Another client has the table of notes for itself."""
    with _mariadb(site).admin() as admin:
        admin.execute("LOCK TABLES app.notes WRITE")
        yield


@contextmanager
def mariadb_read_only(site: Site) -> Iterator[None]:
    """MariaDB takes no writes, as a replica."""
    with _mariadb(site).admin() as admin:
        admin.execute("SET GLOBAL read_only = 1")
        try:
            yield
        finally:
            admin.execute("SET GLOBAL read_only = 0")


@contextmanager
def mariadb_full(site: Site) -> Iterator[None]:
    """Other clients take every connection that MariaDB allows."""
    server = _mariadb(site)
    with server.admin() as admin, ExitStack() as stack:
        admin.execute("SET GLOBAL max_connections = 20")
        others: list[int] = []
        while server.end_connections(admin, others):
            with suppress(pymysql.OperationalError):
                while True:
                    other = stack.enter_context(server.connection())
                    others.append(other.thread_id())  # type: ignore[no-untyped-call]
        yield
    with server.admin() as admin:
        admin.execute("SET GLOBAL max_connections = DEFAULT")


@contextmanager
def mariadb_disk_full(site: Site) -> Iterator[None]:
    """Nothing more fits on MariaDB's disk."""
    assert site.disk is not None
    with filled(site.disk):
        yield


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


def _mariadb(site: Site) -> MariaDB:
    assert site.mariadb is not None
    return site.mariadb
