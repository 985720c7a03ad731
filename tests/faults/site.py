"""Where a fault happens: a database, a Redis, and the application between them and the clients."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import jwt
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from carboy.ops.api_keys import create_key
from tools.servers import Programs, find_or_install, mariadb, postgresql, redis

from .app import CONNECTIONS, WRITER, Account, Base
from .load import ACCOUNTS, Load
from .mariadb import MariaDB
from .processes import marked, wait_for
from .proxy import Proxy
from .servers import JOBS, QUEUE, THREADS, WORKERS, Held, PostgreSQL, Redis, Server, Worker, held

_SECRET = "a secret that only the tests of faults know"
_SETTLE_SECONDS = 20
_LEASE_SECONDS = 2
_ORDERS = 6
COMPILER = Programs(
    title="A C compiler", programs=("gcc",), folders=(), debian="gcc", fedora="gcc", macos="gcc"
)


@dataclass
class Site:
    """All parts, and what they are at; what a kind of site hasn't is None."""

    folder: Path
    engine: sa.Engine
    """The database, past the proxy and the application."""
    redis: Redis
    server: Server
    credentials: tuple[str, ...]
    postgresql: PostgreSQL | None = None
    mariadb: MariaDB | None = None
    proxy: Proxy | None = None
    disk: Path | None = None
    clock: Path | None = None
    worker: Worker | None = None
    orders: int = 0
    """How many of about twenty things that clients do are orders, which queue a job each."""
    load: Load | None = None
    _idle: Held | None = None

    def connections(self) -> int:
        """How many connections the application has to a database that counts them."""
        if self.postgresql is not None:
            with self.postgresql.admin() as admin:
                return len(self.postgresql.backends(admin))
        if self.mariadb is not None:
            with self.mariadb.admin() as cursor:
                return self.mariadb.connections(cursor)
        return 0

    def most(self) -> Held:
        """What may be held: what was held when idle, and what the limits allow besides.

        Each thread may have a connection to Redis; each connection to the database is known twice,
        the second time to whatever ends it at a deadline.
        """
        if self._idle is None:
            self.wait_for_workers()
            self._idle = self.held_now()
        threads = CONNECTIONS + QUEUE + THREADS
        worker = Held(0, CONNECTIONS, threads + 1, 2 * CONNECTIONS + threads)
        # What runs jobs: one process, or Celery's, the one above them, and the one beside them.
        runner = Held(0, CONNECTIONS, JOBS + 1, 2 * CONNECTIONS)
        runners = JOBS + 2 if self.worker else 1
        each = zip(self._idle, worker, runner, strict=True)
        return Held(*(idle + WORKERS * one + runners * other for idle, one, other in each))

    def wait_for_workers(self) -> None:
        """Wait until every worker has answered, and what runs jobs is there."""
        found: set[int] = set()

        def all_answer() -> bool:
            with suppress(OSError):
                found.add(json.loads(self.ask("/busy"))["process"])
            return len(found & set(self.server.workers)) == WORKERS

        wait_for("every worker to answer", all_answer)
        if self.worker is None:
            wait_for("a process that runs jobs", lambda: self.server.runners)

    @property
    def charges(self) -> Path:
        """The folder of what jobs do elsewhere than in the database."""
        return self.folder / "charges"

    def held_now(self) -> Held:
        """What all processes of Carboy's hold, with those that nobody has ended."""
        return held(marked(f"CHARGES={self.charges}"), self.connections())

    def held(self, most: Held) -> Held:
        """The same; waits until it is within ``most``."""
        end = time.monotonic() + _SETTLE_SECONDS
        found = self.held_now()
        # Sockets of clients that have gone are closed a little later.
        while not found.within(most) and time.monotonic() < end:
            time.sleep(0.2)
            found = self.held_now()
        return found

    def ask(self, path: str, method: str = "GET") -> str:
        """The body of one answer, by the first of the clients."""
        headers = {"Authorization": f"Bearer {self.credentials[0]}", "Connection": "close"}
        url = f"http://127.0.0.1:{self.server.port}{path}"
        request = Request(url, headers=headers, method=method)
        with urlopen(request, timeout=60) as answer:  # noqa: S310  http://
            body: bytes = answer.read()
            return body.decode()

    def hold_all(self, seconds: float) -> None:
        """Let views of the application take every connection of every worker."""
        found: set[int] = set()

        def all_held() -> bool:
            found.add(json.loads(self.ask(f"/hold?seconds={seconds}", "POST"))["process"])
            return len(found) == WORKERS

        wait_for("views to hold every connection", all_held)


# --- the kinds of sites ---


@contextmanager
def on_postgresql() -> Iterator[Site]:
    """The application on PostgreSQL, which waits for the disk at each commit."""
    with _built(postgresql(durable=True)) as site:
        yield site


@contextmanager
def by_proxy() -> Iterator[Site]:
    """The same, with a proxy in between."""
    with _built(postgresql(durable=True), proxied=True) as site:
        yield site


@contextmanager
def with_a_clock() -> Iterator[Site]:
    """The same, where the server believes the time that a file says."""
    with _built(postgresql(durable=True), clocked=True) as site:
        yield site


@contextmanager
def with_jobs() -> Iterator[Site]:
    """The same, where clients order, and a process beside the server runs the jobs."""
    with _built(postgresql(durable=True)) as site:
        site.orders = _ORDERS
        yield site


@contextmanager
def with_celery() -> Iterator[Site]:
    """The same, where Celery runs the jobs; its broker counts requests, too."""
    with _built(postgresql(durable=True), celery=True) as site:
        site.orders = _ORDERS
        yield site


@contextmanager
def on_a_small_disk() -> Iterator[Site]:
    """The same, with PostgreSQL's files on a disk of their own, of 160 MiB."""
    with _small_disk(160) as disk, _placed(disk), _built(postgresql(durable=True)) as site:
        site.disk = disk
        yield site


@contextmanager
def on_sqlite() -> Iterator[Site]:
    """The application on a file of SQLite's, in WAL mode."""
    with _built(None) as site:
        yield site


@contextmanager
def on_mariadb() -> Iterator[Site]:
    """The application on MariaDB, which waits for the disk at each commit."""
    with mariadb(durable=True) as url:
        server = MariaDB(url)
        try:
            with _built(server.url) as site:
                site.mariadb = server
                yield site
        finally:
            server.process.close()


@contextmanager
def on_mariadb_with_a_small_disk() -> Iterator[Site]:
    """The same, with MariaDB's files on a disk of their own, of 256 MiB."""
    with _small_disk(256) as disk, _placed(disk), on_mariadb() as site:
        site.disk = disk
        yield site


Kind = Callable[[], AbstractContextManager[Site]]


@contextmanager
def _built(
    database: AbstractContextManager[str] | sa.URL | None,
    *,
    proxied: bool = False,
    clocked: bool = False,
    celery: bool = False,
) -> Iterator[Site]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carboy-faults-")))
        broker = Redis(stack.enter_context(redis()))
        stack.callback(broker.process.close)
        cluster, proxy, clock = None, None, None
        url = direct = sa.make_url(f"sqlite:///{folder / 'app.sqlite'}")
        if isinstance(database, sa.URL):
            url = direct = database
        elif database is not None:
            cluster = PostgreSQL(stack.enter_context(database))
            stack.callback(cluster.postmaster.close)
            url = direct = cluster.url
        if proxied:
            proxy = Proxy(direct.host or "", direct.port or 0)
            stack.callback(proxy.close)
            url = direct.set(port=proxy.port)
        engine = sa.create_engine(direct, poolclass=NullPool)
        credentials = _fill(engine)
        if cluster is not None:
            cluster.prepare()
        settings = {
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "CARBOY_JWT_SECRET": _SECRET,
            "CARBOY_QUEUE": str(QUEUE),
            "CARBOY_RATE_LIMIT": "1000000/minute",
            "CARBOY_RATE_LIMIT_STORAGE": broker.url,
            "CARBOY_JOBS_THREADS": str(JOBS),
            "CARBOY_JOBS_LEASE": str(_LEASE_SECONDS),
            "CHARGES": str(folder / "charges"),
        }
        (folder / "charges").mkdir()
        if celery:
            settings["CARBOY_JOBS_BROKER"] = broker.url
        if clocked:
            clock = folder / "clock"
            clock.write_text("0")
            settings |= _clock_settings(folder)
        server = Server(folder / "log", settings)
        stack.callback(server.close)
        worker = Worker(folder / "jobs.log", settings) if celery else None
        if worker is not None:
            stack.callback(worker.close)
        yield Site(
            folder,
            engine,
            broker,
            server,
            credentials,
            postgresql=cluster,
            proxy=proxy,
            clock=clock,
            worker=worker,
        )


def _fill(engine: sa.Engine) -> tuple[str, ...]:
    """Make the tables and accounts; the credentials of clients: an API key, and a token."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        Base.metadata.create_all(connection)
        accounts = [{"owner": f"owner {number}"} for number in range(ACCOUNTS)]
        connection.execute(sa.insert(Account), accounts)
    key = create_key(engine, "client", [WRITER])
    claims = {"sub": "client", "roles": [WRITER], "exp": int(time.time()) + 86400}
    return key, jwt.encode(claims, _SECRET, "HS256")


def _clock_settings(folder: Path) -> dict[str, str]:
    """What makes a process add to its clock what the file ``clock`` of the folder says."""
    library = folder / "clock.so"
    compiler = find_or_install(COMPILER) / "gcc"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(folder / "clock")}


@contextmanager
def _small_disk(mebibytes: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="carboy-disk-") as name:
        size = f"size={mebibytes}m,mode=1777"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "carboy", name], check=False, capture_output=True
        )
        if mounted.returncode:
            raise RuntimeError(f"a small disk takes root: {mounted.stderr.decode().strip()}")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


@contextmanager
def _placed(folder: Path) -> Iterator[None]:
    """Let new processes put their temporary files into a folder."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
