"""What may happen to PostgreSQL, each a block: it begins and ends with the fault."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import psycopg

from .disk import filled
from .processes import send, wait_for
from .servers import COMMIT_LOCK, PostgreSQL
from .site import Site

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
    with filled(site.disk):
        yield
    cluster.wait_until_up()


def _postgresql(site: Site) -> PostgreSQL:
    assert site.postgresql is not None
    return site.postgresql


def _answers(cluster: PostgreSQL) -> bool:
    with suppress(psycopg.OperationalError), cluster.admin():
        return True
    return False
