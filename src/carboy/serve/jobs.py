"""Jobs beside the server, or by a worker of their own: its process, its signals."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import click
from msgspec.structs import replace

from ..extension import jobs_of
from ..jobs import Jobs, Runner
from ..settings import SettingError, outside, read_settings
from .app import Target, application
from .errors import TargetError

_AGAIN_SECONDS = 1.0
_STOP_SECONDS = 30.0
# Beside the jobs', the runner's own and the one that renews leases.
_OWN_CONNECTIONS = 2


class Beside:
    """A process that runs jobs while the server serves; one that is lost is replaced."""

    def __init__(self, target: Target) -> None:
        self._target = target
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
        while not self._stopped.is_set():
            self._changed.clear()
            process = multiprocessing.get_context("spawn").Process(
                target=run_beside, args=(self._target,)
            )
            process.start()
            self._process = process
            if self._stopped.is_set():
                process.terminate()
            process.join()
            if process.exitcode == 0:
                # It had nothing to do, or can't do it: until the code is another.
                self._changed.wait()
            else:
                self._stopped.wait(_AGAIN_SECONDS)


def run_beside(target: Target) -> None:
    """What the process does, until SIGTERM or the end of the server."""
    # A terminal sends Ctrl-C to every process; it is for the server, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with_jobs(target, _run_beside)
    except TargetError:
        # The server has said so.
        return


def _run_beside(jobs: Jobs) -> None:
    settings = jobs.api.settings
    if settings.jobs_broker or not settings.jobs_threads:
        return
    runner = Runner(jobs, settings.jobs_threads)
    server = multiprocessing.parent_process()
    assert server is not None

    def follow() -> None:
        server.join()
        runner.stop()

    threading.Thread(target=follow, daemon=True).start()
    run_here(runner)


def run_here(runner: Runner) -> None:
    """Run jobs in this process until SIGTERM; Ctrl-C is the same, where it isn't ignored."""
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: runner.stop())
    runner.run()


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


def work(target: Target, threads: int | None) -> None:
    """``carboy worker``: run a target's jobs until SIGTERM or Ctrl-C."""

    def use(jobs: Jobs) -> None:
        number = threads or jobs.api.settings.jobs_threads or 1
        click.echo(f"Running the jobs of {target.shown}, {number} at a time. Ctrl-C stops it.")
        run_here(Runner(jobs, number))

    with_jobs(target, use)
