"""Load by wrk, and what wrk itself costs."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from tools.servers import Programs, find_or_install

WRK = Programs(title="wrk", programs=("wrk",), folders=(), debian="wrk", fedora="wrk", macos="wrk")
SCRIPT = Path(__file__).with_name("load.lua")


class LoadFailed(Exception):
    """wrk failed, or counted answers that weren't a success."""


class Sample(Struct, frozen=True):
    """What one run of wrk counted.

    ``cpu_share`` is wrk's part of all the CPU time that the machine had meanwhile, from 0 to 1.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_share: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class Counted(Struct, frozen=True):
    """What load.lua prints."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int


class Load:
    """wrk with one thread and a number of connections that are kept open."""

    def __init__(self, connections: int, largest_key: int) -> None:
        self.connections = connections
        self._largest_key = largest_key
        self._wrk = find_or_install(WRK) / "wrk"

    def put(
        self, base_url: str, path: str, headers: Mapping[str, str], seconds: int, seed: int
    ) -> Sample:
        """Ask for a path as fast as the answers come. Raises LoadFailed if any isn't a success.

        Of ``headers``, Authorization is sent.
        """
        command = [
            str(self._wrk), "--threads", "1", "--connections", str(self.connections),
            "--duration", f"{seconds}s", "--timeout", "10s", "--script", str(SCRIPT), base_url,
            "--", path, str(self._largest_key), str(seed), *headers.values(),
        ]  # fmt: skip
        before = _children_cpu()
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        cpu = _children_cpu() - before
        if ended.returncode:
            raise LoadFailed(f"wrk ended with status {ended.returncode}: {ended.stderr.strip()}")
        counted = msgspec.json.decode(ended.stderr, type=Counted)
        if counted.refused or counted.broken or not counted.requests:
            raise LoadFailed(
                f"{base_url}{path}: of {counted.requests} requests {counted.refused} were answered "
                f"by an error and {counted.broken} broke off"
            )
        return Sample(
            requests=counted.requests,
            seconds=counted.seconds,
            p50_ms=counted.p50_ms,
            p99_ms=counted.p99_ms,
            cpu_share=cpu / counted.seconds / (os.cpu_count() or 1),
        )


def _children_cpu() -> float:
    """Seconds of CPU that the processes waited for so far have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
