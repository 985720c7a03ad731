"""Processes that queue and run the jobs of jobs_app.py, and what they leave in the database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "carboy.cli"]
TARGET = "tests.acceptance.jobs_app:app"
SECONDS = 120


class World:
    """A database with the application's tables, and commands over it."""

    def __init__(self, url: str, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.engine = sa.create_engine(url)
        effects = "CREATE TABLE effects (id {}, number INTEGER NOT NULL, attempt INTEGER NOT NULL)"
        keys = {
            "postgresql": "SERIAL PRIMARY KEY",
            "sqlite": "INTEGER PRIMARY KEY",
        }
        key = keys.get(self.engine.dialect.name, "INTEGER PRIMARY KEY AUTO_INCREMENT")
        with self.engine.begin() as connection:
            connection.execute(sa.text(effects.format(key)))
        self.environment = os.environ | {
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "APP_DATABASE": url,
            "CARBOY_JOBS_LEASE": "2",
            **environment,
        }

    def queue(self, count: int, seconds: float = 0) -> list[str]:
        """Queue jobs from a process of their own."""
        code = (
            "import json; from tests.acceptance.jobs_app import queue;"
            f"print(json.dumps(queue({count}, {seconds})))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        ids: list[str] = json.loads(done.stdout)
        return ids

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command in a group of its own, which ends with the block."""
        with subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                kill_group(process)

    def effects(self) -> list[int]:
        """The numbers that are there, in order."""
        with self.engine.connect() as connection:
            query = sa.text("SELECT number FROM effects ORDER BY number")
            return list(connection.scalars(query))

    def states(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with self.engine.connect() as connection:
            query = sa.text("SELECT state, count(*) FROM carboy_jobs GROUP BY state")
            return {row[0]: row[1] for row in connection.execute(query)}


def kill_group(process: subprocess.Popen[str]) -> None:
    """End a command and all it has started, with -9."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(SECONDS)


def until(condition: Callable[[], Any], what: str = "it") -> None:
    """Wait until something holds."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} never came true")
