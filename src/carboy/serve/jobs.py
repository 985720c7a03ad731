"""Jobs beside the server, or by a worker of their own: its process, its signals."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

import click
from msgspec.structs import replace

from ..extension import jobs_of
from ..jobs import Jobs, Runner
from ..settings import SettingError, outside, read_settings
from .app import Target, application
from .errors import TargetError
from .metrics import forget_process

_AGAIN_SECONDS = 1.0
_STOP_SECONDS = 30.0
# Beside the jobs', the runner's own and the one that renews leases.
_OWN_CONNECTIONS = 2


class Beside:
    """A process with a task of its own beside this one's; one that is lost is replaced.

    It is started once ``begin`` is set, so that it keeps nothing else from starting.
    """

    def __init__(
        self, task: Callable[[Target], None], target: Target, begin: threading.Event
    ) -> None:
        self._task = task
        self._target = target
        self._begin = begin
        self._process: BaseProcess | None = None
        self._stopped = threading.Event()
        self._changed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Beside:
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it: jobs that run have some seconds to end, or are given back."""
        self._stopped.set()
        self._begin.set()
        self.restart()
        self._keeper.join(_STOP_SECONDS)
        if self._process is not None and self._process.is_alive():
            self._process.kill()

    def restart(self) -> None:
        """Let another process take over, as for code that has changed."""
        self._changed.set()
        if self._process is not None:
            self._process.terminate()

    def restart_on_changes(self) -> None:
        """Do so whenever a Python file in this folder or below changes."""
        from watchfiles import PythonFilter, watch

        def follow() -> None:
            for _ in watch(Path.cwd(), watch_filter=PythonFilter(), stop_event=self._stopped):
                self.restart()

        threading.Thread(target=follow, daemon=True).start()

    def _keep(self) -> None:
        # A terminal sends Ctrl-C to every process. It is for the server, which ends this one; and
        # while Python starts, it would print a traceback. A process has its starter's mask.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        self._begin.wait()
        while True:
            self._changed.clear()
            # Only now: whoever stops it sets the one before the other.
            if self._stopped.is_set():
                return
            process = multiprocessing.get_context("spawn").Process(
                target=self._task, args=(self._target,)
            )
            process.start()
            self._process = process
            if self._stopped.is_set():
                process.terminate()
            process.join()
            forget_process(process.pid)
            if process.exitcode == 0:
                # It had nothing to do, or can't do it: until the code is another.
                self._changed.wait()
            else:
                self._stopped.wait(_AGAIN_SECONDS)


def run_beside(target: Target) -> None:
    """Beside a server: run jobs until it ends, or SIGTERM."""

    def use(jobs: Jobs) -> None:
        settings = jobs.api.settings
        if settings.jobs_threads and not settings.jobs_broker:
            _follow(Runner(jobs, settings.jobs_threads))

    _beside(target, use)


def relay_beside(target: Target) -> None:
    """Beside a Celery worker: tell the broker of jobs until that ends, or SIGTERM."""

    def use(jobs: Jobs) -> None:
        from ..jobs.relay import Relay

        _follow(Relay(jobs))

    _beside(target, use)


def _beside(target: Target, use: Callable[[Jobs], None]) -> None:
    # A terminal sends Ctrl-C to every process; it is for the parent, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with_jobs(target, use)
    except TargetError:
        # The parent has said so.
        return


class Stoppable(Protocol):
    """What runs until it is told to stop."""

    def run(self) -> None:
        """Run, in the main thread."""

    def stop(self) -> None:
        """Let it end, from a signal's handler or another thread."""


def _follow(task: Stoppable) -> None:
    """Run until SIGTERM, or until the parent has ended in whatever way."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        task.stop()

    threading.Thread(target=follow, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: task.stop())
    task.run()


def with_jobs(target: Target, use: Callable[[Jobs], None]) -> None:
    """Hand the jobs of a target over; raises TargetError where it can't have any."""
    if target.is_database:
        try:
            threads = read_settings({}, outside()).jobs_threads
        except SettingError as error:
            raise TargetError(str(error)) from None
        target = replace(target, writable=True, connections=threads + _OWN_CONNECTIONS)
    with application(target) as app:
        with app.app_context():
            jobs = jobs_of(app)
        use(jobs)


def work(target: Target, number: int | None) -> None:
    """``carboy worker``: run a target's jobs, so many at a time, until SIGTERM or Ctrl-C."""

    def use(jobs: Jobs) -> None:
        settings = jobs.api.settings
        at_once = number or settings.jobs_threads or 1
        by = " by Celery" if settings.jobs_broker else ""
        click.echo(f"Running the jobs of {target.shown}{by}, {at_once} at a time. Ctrl-C stops it.")
        if settings.jobs_broker:
            _work_by_celery(target, jobs, at_once)
            return
        runner = Runner(jobs, at_once)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: runner.stop())
        runner.run()

    with_jobs(target, use)


def _work_by_celery(target: Target, jobs: Jobs, number: int) -> None:
    try:
        from celery import signals

        from ..jobs.broker import add_task, make_celery
    except ModuleNotFoundError:
        raise TargetError(
            "CARBOY_JOBS_BROKER needs Celery; run: pip install 'carboy[jobs]'"
        ) from None
    engine = jobs.api.database.engine
    engine.dispose()

    def forget_connections(**_: object) -> None:
        # They are the parent's.
        engine.dispose(close=False)

    signals.worker_process_init.connect(forget_connections, weak=False)
    celery = make_celery(jobs.api.settings)
    add_task(celery, jobs)
    begin = threading.Event()
    begin.set()
    with Beside(relay_beside, target, begin):
        worker = celery.Worker(
            hostname=f"carboy-{os.getpid()}@{socket.gethostname()}",
            concurrency=number,
            pool="prefork",
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_heartbeat=True,
            without_mingle=True,
        )
        worker.start()
    if worker.exitcode:
        # It has logged why, as where Redis refuses writes. What has started this may do so again.
        sys.exit(worker.exitcode)
