"""Peers while they are served: each by a granian of its own, all in the same way."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from tools.servers import free_port

from .contest import ROOT, SECRET, Peer
from .environment import interpreter

TIMEOUT = 60
"""Seconds that a peer may take to start or to stop."""


class PeerFailed(Exception):
    """A peer didn't start; the message has what it said."""


class Workers(Struct, frozen=True):
    """How each peer is served: the same for all."""

    processes: int
    threads: int


class Served(Struct, frozen=True):
    """A server: its URL, its first process, and how long it took to answer."""

    url: str
    pid: int
    started_in: float

    def resting_mb(self) -> float | None:
        """Memory of its largest worker now, in MB; None where that can't be known."""
        return self._largest("VmRSS")

    def peak_mb(self) -> float | None:
        """The most that a worker has had since it started, or since ``forget_peak``."""
        return self._largest("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak be what the workers have now."""
        for worker in self._workers():
            with suppress(OSError):
                Path(f"/proc/{worker}/clear_refs").write_text("5")

    def _workers(self) -> list[str]:
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return []

    def _largest(self, field: str) -> float | None:
        found = []
        for worker in self._workers():
            with suppress(OSError, ValueError):
                for line in Path(f"/proc/{worker}/status").read_text().splitlines():
                    if line.startswith(f"{field}:"):
                        found.append(int(line.split()[1]) * 1024 / 1e6)
        return max(found, default=None)


@contextmanager
def serving(
    peer: Peer, environment: Mapping[str, str], workers: Workers, probe: str
) -> Iterator[Served]:
    """Serve a peer on a free port of 127.0.0.1. Raises PeerFailed.

    It is served once it answers ``probe``, a path, in whatever way.
    """
    port = free_port()
    command = [
        interpreter(peer), "-m", "granian", "--interface", peer.interface, "--no-ws", "--http", "1",
        "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning",
        "--workers", str(workers.processes),
        *(("--loop", "uvloop") if peer.interface == "asgi" else
          ("--blocking-threads", str(workers.threads))),
        peer.app,
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                **os.environ,
                "THREADS": str(workers.threads),
                "JWT_SECRET": SECRET,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        try:
            if not _answers(port, probe, server):
                log.seek(0)
                raise PeerFailed(f"{peer.title} ({peer.app}) didn't start:\n{log.read().strip()}")
            took = time.perf_counter() - began
            yield Served(f"http://127.0.0.1:{port}", server.pid, took)
        finally:
            _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(TIMEOUT)
    # A granian that has to end while it still starts leaves its workers behind.
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _answers(port: int, probe: str, server: subprocess.Popen[bytes]) -> bool:
    """Whether there comes an answer of any kind before the time is up."""
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", probe)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.01)
        else:
            return True
        finally:
            connection.close()
    return False
