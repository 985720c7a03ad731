"""PostgreSQL and Redis with a hold on their processes; ``carboy serve`` and ``carboy worker``."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import redis
import sqlalchemy as sa

from tools.servers import SERVERS, find, search_path

from .processes import Daemon, children, command, runs, send, tree, wait_for

ROOT = Path(__file__).parents[2]
APPLICATION = "tests.faults.app:create_app()"
WORKERS = 2
THREADS = 8
_AGAIN_SECONDS = 2.0
QUEUE = 10
"""How many requests of a worker may wait for a connection."""
JOBS = 4
"""How many jobs run at a time."""
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
    """What Carboy holds: processes, connections to the database, threads, and open files."""

    processes: int
    connections: int
    threads: int
    files: int

    def within(self, other: Held) -> bool:
        """Whether none of it is more than the other's."""
        return all(mine <= others for mine, others in zip(self, other, strict=True))


def held(processes: Sequence[int], connections: int) -> Held:
    """What processes hold now, beside connections to the database."""
    folders = {name: [f"/proc/{pid}/{name}" for pid in processes] for name in ("task", "fd")}
    threads, files = (sum(map(_entries, each)) for each in folders.values())
    return Held(len(processes), connections, threads, files)


class Command:
    """A command of Carboy's for the application, as a service manager would run it."""

    def __init__(self, log: Path, settings: Mapping[str, str]) -> None:
        self.log = log
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        self._process: subprocess.Popen[bytes]
        self.start()

    def arguments(self) -> tuple[str, ...]:
        """What stands behind ``carboy``."""
        raise NotImplementedError

    def start(self) -> str:
        """Start it, and wait until it says that it runs; answers what it said."""
        begun = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "carboy.cli", *self.arguments()],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        def said() -> str:
            return self.log.read_bytes()[begun:].decode(errors="replace")

        wait_for("a command to start", lambda: "Ctrl-C" in said() or not self.is_running)
        if not self.is_running:
            raise RuntimeError(f"the command didn't start:\n{said()}")
        return said()

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

    def kill_main(self) -> None:
        """End the main process as the kernel would."""
        self._process.kill()
        self._process.wait()


class Server(Command):
    """``carboy serve``: workers that answer, and a process beside them that runs jobs."""

    port = 0

    def arguments(self) -> tuple[str, ...]:
        """On the port that it had before."""
        numbers = {"workers": WORKERS, "threads": THREADS, "port": self.port}
        options = (text for name, value in numbers.items() for text in (f"--{name}", str(value)))
        return ("serve", APPLICATION, *options)

    def start(self) -> str:
        """Start it, and wait until it answers."""
        said = super().start()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        assert found is not None, said
        self.port = int(found[1])
        return said

    @property
    def workers(self) -> list[int]:
        """The processes that answer requests."""
        return [pid for pid in children(self.pid, self.pid) if b"spawn_main" in command(pid)]

    @property
    def runners(self) -> list[int]:
        """The process that runs jobs; it is started by a thread."""
        started = (pid for pid in children(self.pid) if b"spawn_main" in command(pid))
        return [pid for pid in started if pid not in self.workers and runs(pid)]

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


class Worker(Command):
    """``carboy worker`` with a broker: Celery's processes, and one that tells it of jobs.

    Where it has ended it is started again after a while, as a service manager would do it.
    """

    def __init__(self, log: Path, settings: Mapping[str, str]) -> None:
        super().__init__(log, settings)
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        while not self._closing.wait(_AGAIN_SECONDS):
            if not self.is_running:
                self.start()

    def close(self) -> None:
        """Stop it, and for good."""
        self._closing.set()
        self._keeper.join()
        super().close()

    def arguments(self) -> tuple[str, ...]:
        """So many jobs at a time."""
        return ("worker", APPLICATION, "--threads", str(JOBS))

    def start(self) -> str:
        """Start it, and wait until its processes are there."""
        said = super().start()
        self.wait_until_up()
        return said

    def wait_until_up(self, but: Collection[int] = ()) -> None:
        """Wait until all processes that run jobs are there, beside these."""
        wait_for("Celery's processes", lambda: len(set(self.pool) - set(but)) == JOBS)

    @property
    def pool(self) -> list[int]:
        """The processes that run jobs."""
        return [pid for pid in children(self.pid, self.pid) if b"carboy.cli" in command(pid)]


def _entries(folder: str) -> int:
    with suppress(FileNotFoundError):
        return len(os.listdir(folder))  # noqa: PTH208  many, and only counted
    return 0
