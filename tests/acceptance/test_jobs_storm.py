"""Jobs whose workers are killed with -9 all the time: each has its effect, and once.

``JOBS_STORM=1000`` runs it with so many jobs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis import Redis

from carboy.jobs.broker import BrokerError, Carrier
from carboy.settings import Settings
from tools.servers import SERVERS, find_or_install, free_port

from .jobs_world import SECONDS, TARGET, World, kill_group, until

JOBS = int(os.environ.get("JOBS_STORM", "150"))
JOB_SECONDS = 0.05
BETWEEN_KILLS = 1.0


class Broker:
    """A Redis on one port, which forgets everything when it is killed."""

    def __init__(self) -> None:
        self._program = find_or_install(SERVERS["redis"]) / "redis-server"
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {"port": str(self._port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        self._server = subprocess.Popen(
            [str(self._program), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, "the broker")

    def kill(self) -> None:
        """End it with -9."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(SECONDS)
            self._server = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


@pytest.fixture
def broker() -> Iterator[Broker]:
    """One for a test."""
    made = Broker()
    made.start()
    yield made
    made.kill()


def done(world: World) -> int:
    """How many jobs are done."""
    return world.states().get("done", 0)


def storm(world: World, count: int) -> int:
    """Start workers, and kill each a second after its first job; answers how many."""
    kills = 0
    while done(world) < count:
        with started(world) as worker:
            time.sleep(BETWEEN_KILLS)
            kill_group(worker)
        kills += 1
    return kills


def celery_storm(world: World, ids: list[str], broker: Broker) -> int:
    """The same with Celery's: their processes are killed each second, and all of it each fourth.

    Each job is sent a second time as well; the broker is killed once, and started anew.
    """
    kills = 0
    while done(world) < len(ids):
        with started(world) as worker:
            Carrier(Settings(jobs_broker=broker.url)).send(ids)
            for second in range(3):
                time.sleep(BETWEEN_KILLS)
                kill_children(worker.pid)
                if kills == 0 and second == 1:
                    broker.kill()
                    broker.start()
            time.sleep(BETWEEN_KILLS)
            kill_group(worker)
        kills += 1
    return kills


@contextmanager
def started(world: World) -> Iterator[subprocess.Popen[str]]:
    """A worker that has done a job."""
    before = done(world)
    with world.started("worker", TARGET, "--threads", "4") as worker:
        until(lambda: done(world) > before, "a job")
        yield worker


def kill_children(parent: int) -> None:
    """Kill what a process has started with -9, and not the process."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        process, above = map(int, line.split())
        if above == parent:
            with suppress(ProcessLookupError):  # it may have ended since
                os.kill(process, signal.SIGKILL)


def require_each_once(world: World, count: int) -> None:
    """Every effect is there, none twice, and none of what was rolled back."""
    assert world.states() == {"done": count}
    assert world.effects() == list(range(count))
    with world.engine.connect() as connection:
        repeated = connection.scalar(sa.text("SELECT count(*) FROM effects WHERE attempt > 1"))
    assert repeated, "no job was interrupted"


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_each_job_has_its_effect_once_though_workers_are_killed(
    database_url: str, tmp_path: Path
) -> None:
    """By Carboy's own runner, on a file and on a server."""
    world = World(database_url, tmp_path, CARBOY_JOBS_LEASE="1")
    ids = world.queue(JOBS, JOB_SECONDS)
    assert len(set(ids)) == JOBS
    assert storm(world, JOBS) > 1
    require_each_once(world, JOBS)
    world.engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_celery_is_no_worse(database_url: str, tmp_path: Path, broker: Broker) -> None:
    """Though the broker forgets all, and everything is delivered twice."""
    world = World(database_url, tmp_path, CARBOY_JOBS_LEASE="1", CARBOY_JOBS_BROKER=broker.url)
    ids = world.queue(JOBS, JOB_SECONDS)
    assert celery_storm(world, ids, broker) > 0
    require_each_once(world, JOBS)
    world.engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_celery_worker_stops_when_it_is_told(
    database_url: str, tmp_path: Path, broker: Broker
) -> None:
    """It completes what it has begun, and its processes end with it."""
    world = World(database_url, tmp_path, CARBOY_JOBS_BROKER=broker.url)
    world.queue(40, 0.3)
    with started(world) as worker:
        worker.terminate()
        assert worker.wait(SECONDS) == 0
        until(lambda: not group_lives(worker.pid), "the end of its processes")
    states = world.states()
    assert states == {"done": len(world.effects()), "queued": 40 - len(world.effects())}
    world.engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_celery_worker_that_gives_up_says_so(
    database_url: str, tmp_path: Path, broker: Broker
) -> None:
    """Celery ends itself where Redis is full; whatever has started it learns that from the code."""
    world = World(database_url, tmp_path, CARBOY_JOBS_BROKER=broker.url)
    world.queue(100, 0.2)
    with started(world) as worker, Redis.from_url(broker.url) as client:
        client.config_set("maxmemory", 1)
        assert worker.wait(SECONDS) == 1
    world.engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_celerys_processes_may_take_their_time(
    database_url: str, tmp_path: Path, broker: Broker
) -> None:
    """On a busy machine new ones take more than the 4 seconds after which Celery would end them."""
    world = World(database_url, tmp_path, CARBOY_JOBS_BROKER=broker.url, APP_SLOW_START="5")
    world.queue(1)
    with started(world) as worker:
        kill_children(worker.pid)
        world.queue(1)
        until(lambda: done(world) == 2, "a job of others")
    world.engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_that_cannot_acknowledge_connects_again(
    database_url: str, tmp_path: Path, broker: Broker
) -> None:
    """Where the broker goes while all that the worker may hold is being done."""
    world = World(database_url, tmp_path, CARBOY_JOBS_BROKER=broker.url)
    world.queue(1, 3)
    with world.started("worker", TARGET, "--threads", "1"):
        until(lambda: world.states() == {"running": 1}, "a job that runs")
        broker.kill()
        until(lambda: done(world) == 1, "its end")
        broker.start()
        world.queue(1)
        until(lambda: done(world) == 2, "a job after it")
    world.engine.dispose()


def group_lives(leader: int) -> bool:
    """Whether a process of the group is left."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_broker_that_is_away_is_told_to_whoever_sends() -> None:
    """At once, and not after a minute."""
    with pytest.raises(BrokerError):
        Carrier(Settings(jobs_broker="redis://127.0.0.1:1/0")).waiting()
