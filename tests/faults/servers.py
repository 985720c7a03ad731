"""PostgreSQL and Redis with a hold on their processes, and ``carboy serve``."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import redis
import sqlalchemy as sa

from tools.servers import SERVERS, find, search_path

from .processes import Daemon, children, send, tree, wait_for

ROOT = Path(__file__).parents[2]
WORKERS = 2
THREADS = 8
QUEUE = 10
"""How many requests of a worker may wait for a connection."""
USER = "carboy_app"
COMMIT_LOCK = 4711
"""The advisory lock that a COMMIT of a transfer waits for while somebody else has it."""

_SLOW_COMMIT = f"""
CREATE FUNCTION wait_in_commit() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared({COMMIT_LOCK}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER wait_in_commit AFTER INSERT ON transfers
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_in_commit();
"""


class PostgreSQL:
    """A cluster of tools.servers; ``url`` was its superuser's, and becomes the application's."""

    def __init__(self, url: str) -> None:
        self._admin = sa.make_url(url).set(drivername="postgresql")
        password = secrets.token_hex(16)
        with self.admin() as admin:
            # Not as superuser, who could write past a limit of connections.
            admin.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{password}'")
            admin.execute(f"CREATE DATABASE app OWNER {USER}")
            [self.data] = map(Path, _row(admin, "SHOW data_directory"))
        self._admin = self._admin.set(database="app")
        self.url = sa.make_url(url).set(username=USER, password=password, database="app")
        lines = (self.data / "postmaster.pid").read_text().splitlines()
        command = shlex.split((self.data / "postmaster.opts").read_text())
        self.postmaster = Daemon(int(lines[0]), command)

    def prepare(self) -> None:
        """Let the COMMIT of a transfer wait where somebody asks for it."""
        with self.admin() as admin:
            admin.execute(_SLOW_COMMIT)

    def admin(self) -> closing[psycopg.Connection[Any]]:
        """A superuser's connection, past the proxy, each statement a transaction of its own."""
        url = self._admin.render_as_string(hide_password=False)
        return closing(psycopg.connect(url, autocommit=True, connect_timeout=10))

    def kill(self) -> None:
        """End the server as a crash of the machine would, but for what the kernel holds."""
        self.postmaster.kill()

    def start(self) -> None:
        """Start it again, and wait until it has recovered."""
        self.postmaster.start()
        wait_for("PostgreSQL to start", self._answers)

    def restart(self) -> None:
        """Stop it in order, ending what clients do, and start it again."""
        send(signal.SIGINT, self.postmaster.pid)
        wait_for("PostgreSQL to stop", lambda: not self.postmaster.is_running)
        self.start()

    def wait_until_up(self) -> None:
        """Wait until it takes connections; start it where it has ended itself."""
        wait_for("PostgreSQL to recover", self._answers)

    def _answers(self) -> bool:
        if not self.postmaster.is_running:
            self.postmaster.start()
        with suppress(psycopg.OperationalError), self.admin():
            return True
        return False

    def backends(self, admin: psycopg.Connection[Any], condition: str = "true") -> list[int]:
        """The processes of the application's connections that fulfil a condition."""
        query = f"SELECT pid FROM pg_stat_activity WHERE usename = '{USER}' AND {condition}"
        return [pid for (pid,) in admin.execute(query)]

    def wait_for_backends(
        self, admin: psycopg.Connection[Any], condition: str, count: int = 2
    ) -> list[int]:
        """Those that fulfil a condition, once there are so many."""
        found: list[int] = []

        def enough() -> bool:
            found[:] = self.backends(admin, condition)
            return len(found) >= count

        wait_for(f"{count} connections of which {condition}", enough)
        return found

    def terminate(self, admin: psycopg.Connection[Any], condition: str = "true") -> None:
        """Close the application's connections that fulfil a condition."""
        for pid in self.backends(admin, condition):
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])


def _row(admin: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row = admin.execute(query).fetchone()
    assert row is not None
    return tuple(row)


class Redis:
    """A Redis of tools.servers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = redis.Redis.from_url(url, socket_timeout=5)
        info: Any = self.client.info("server")
        names = ("bind", "port", "requirepass", "dir", "save", "appendonly")
        known: Any = self.client.config_get(*names)
        said = "".join(f'{name} "{known[name]}"\n' for name in names)
        pid = int(info["process_id"])
        programs = SERVERS["redis"]
        command = [str(find(programs, search_path(programs)) / "redis-server"), "-"]
        self.process = Daemon(pid, command, said)

    def start(self) -> None:
        """Start it again, empty."""
        self.process.start()
        wait_for("Redis to start", self._answers)

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False


class Held(NamedTuple):
    """What the server holds: connections to the database, threads, and open files."""

    connections: int
    threads: int
    files: int

    def within(self, other: Held) -> bool:
        """Whether none of it is more than the other's."""
        return all(mine <= others for mine, others in zip(self, other, strict=True))


class Server:
    """``carboy serve tests.faults.app:create_app()``, as a service manager would run it."""

    def __init__(self, log: Path, settings: Mapping[str, str], command: tuple[str, ...] = ()):
        self.log = log
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        self.port = 0
        self._process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        begun = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "carboy.cli", "serve", "tests.faults.app:create_app()"),
                    *("--workers", str(WORKERS), "--threads", str(THREADS)),
                    *("--port", str(self.port)),
                ],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        def said() -> str:
            return self.log.read_bytes()[begun:].decode(errors="replace")

        wait_for("the server to start", lambda: "Ctrl-C" in said() or not self.is_running)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said())
        if not self.is_running or found is None:
            raise RuntimeError(f"the server didn't start:\n{said()}")
        self.port = int(found[1])

    def close(self) -> None:
        """Stop it, and by force if it doesn't."""
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            send(signal.SIGKILL, *tree(self._process.pid))
            raise

    @property
    def is_running(self) -> bool:
        """Whether its main process is there."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its main process."""
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The processes that answer requests."""
        return [pid for pid in children(self.pid) if b"spawn_main" in _command(pid)]

    def kill_main(self) -> list[int]:
        """End the main process as the kernel would; the workers that it leaves behind."""
        workers = self.workers
        self._process.kill()
        self._process.wait()
        return workers

    def held(self, connections: int) -> Held:
        """What its processes hold now, beside connections to the database."""
        processes = [self.pid, *self.workers]
        folders = {name: [f"/proc/{pid}/{name}" for pid in processes] for name in ("task", "fd")}
        threads, files = (sum(map(_entries, each)) for each in folders.values())
        return Held(connections, threads, files)

    @property
    def memory(self) -> int:
        """The bytes of memory that its processes have."""
        pages = (
            int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            for pid in [self.pid, *self.workers]
        )
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def is_listening(self) -> bool:
        """Whether anybody takes connections on its port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _command(pid: int) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _entries(folder: str) -> int:
    with suppress(FileNotFoundError):
        return len(os.listdir(folder))  # noqa: PTH208  many, and only counted
    return 0
