"""The server: granian, with processes that each make an application of their own."""

from __future__ import annotations

import atexit
import ipaddress
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import click
from msgspec import Struct

from .app import Target, load
from .errors import TargetError
from .jobs import Beside, run_beside
from .metrics import metrics_folder

_STOP_SECONDS = 30
_POLL_SECONDS = 0.05


class ServerOptions(Struct, frozen=True):
    """Where to listen, and how many requests to work on at a time: ``workers * threads``.

    So many threads are there at most: they start as they are needed. With ``metrics`` the workers,
    and what runs jobs beside them, count together.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int = 8
    reload: bool = False
    metrics: bool = False


def run(target: Target, options: ServerOptions, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; then requests in progress are answered, and it returns.

    ``ready`` is called once, from a thread of its own, when requests are answered. The address
    is one that ``reserve`` returned.
    """
    granian, constants, log = _granian()
    # A forked process would share the connections of this one, and modules that have changed.
    multiprocessing.set_start_method("spawn", force=True)
    server = granian.Granian(
        target="carboy",
        address=options.host,
        port=options.port,
        interface=constants.Interfaces.WSGI,
        workers=options.workers,
        blocking_threads=options.threads,
        websockets=False,
        workers_kill_timeout=_STOP_SECONDS,
        # One that the kernel has killed; without this the others would be ended, too.
        respawn_failed_workers=True,
        log_level=log.LogLevels.error,
        **(_reloading() if options.reload else {}),
    )
    stopped, listening = threading.Event(), threading.Event()

    def begin() -> None:
        listening.set()
        ready()

    _heed_signals()
    waiter = threading.Thread(target=_when_listening, args=(options, stopped, begin), daemon=True)
    waiter.start()
    try:
        counting = metrics_folder() if options.metrics else nullcontext()
        with counting, _jobs_beside(target, options, listening):
            server.serve(target_loader=partial(worker_application, target), wrap_loader=False)
    finally:
        stopped.set()


def _jobs_beside(
    target: Target, options: ServerOptions, listening: threading.Event
) -> AbstractContextManager[object]:
    if target.is_database and not target.writable:
        # Nothing can be queued there.
        return nullcontext()
    beside = Beside(run_beside, target, listening)
    if options.reload:
        beside.restart_on_changes()
    return beside


def worker_application(target: Target) -> Callable[..., Any]:
    """The application, in a process that serves it."""
    # A terminal sends Ctrl-C to every process; it is for the server, which ends its workers.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _heed_signals()
    atexit.register(_leave)
    try:
        return load(target).wsgi
    except TargetError as error:
        atexit.unregister(_leave)
        click.echo(f"carboy: {error}", err=True)
        sys.exit(1)


def _end_with_parent() -> None:
    """Stop this worker when the server is gone without a word; it would keep the port taken."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _heed_signals() -> None:
    """Wake the main thread again and again, once a signal has come that ends this process.

    Python calls a handler when the main thread runs. Where that waits without an end, a signal is
    slept over that came just before, or that another thread got.
    """
    if not hasattr(signal, "pthread_kill"):
        return
    come, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    # Not the same again, whose handler is for once; and what nobody handles interrupts no wait.
    signal.signal(signal.SIGURG, lambda *_: None)
    main = threading.main_thread().ident
    assert main is not None

    def wake() -> None:
        # With ``told``, of which Python keeps the number alone.
        with come, told:
            while come.recv(1)[0] not in (signal.SIGTERM, signal.SIGINT):
                pass
            while True:
                signal.pthread_kill(main, signal.SIGURG)
                time.sleep(_POLL_SECONDS)

    threading.Thread(target=wake, daemon=True).start()


def _leave() -> None:
    """End a worker that has answered everything, once the application's own ends have run.

    Threads of the server that wake up while Python itself ends would abort the process.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def resolve(host: str) -> str:
    """The address that a host's name stands for; TargetError where it is none."""
    return str(_resolved(host, 0)[1][0])


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise TargetError(f"--host {host} is no address of this machine") from None
    return family, address


def reserve(host: str, port: int) -> tuple[str, int]:
    """The address and port to listen on, port 0 being any free one; TargetError if it's taken."""
    family, address = _resolved(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Not SO_REUSEPORT, which would share a port that another server has.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            # Only listening tells a port that is free from one that is shared.
            probe.listen()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise TargetError(f"can't listen on {host}:{port}: {reason}; see --port") from None
        bound = probe.getsockname()
    return str(bound[0]), int(bound[1])


def _granian() -> tuple[Any, Any, Any]:
    try:
        import granian
        from granian import constants, log
    except ModuleNotFoundError:
        raise TargetError("the server isn't installed; run: pip install 'carboy[server]'") from None
    return granian, constants, log


def _reloading() -> dict[str, Any]:
    try:
        import watchfiles
    except ModuleNotFoundError:
        raise TargetError("--reload needs more; run: pip install 'carboy[server]'") from None
    return {
        "reload": True,
        # Not every file: an SQLite file beside the code changes with each write.
        "reload_filter": watchfiles.PythonFilter,
        "reload_ignore_worker_failure": True,
    }


def _when_listening(
    options: ServerOptions, stopped: threading.Event, ready: Callable[[], None]
) -> None:
    while not stopped.wait(_POLL_SECONDS):
        try:
            socket.create_connection((options.host, options.port), timeout=1).close()
        except OSError:
            continue
        ready()
        return
