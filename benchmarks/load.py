"""Load by wrk, transfers by a client of our own, and what either costs the machine."""

from __future__ import annotations

import http.client
import os
import resource
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tools.servers import Programs, find_or_install

WRK = Programs(title="wrk", programs=("wrk",), folders=(), debian="wrk", fedora="wrk", macos="wrk")
SCRIPT = Path(__file__).with_name("load.lua")
LONGEST = 30
"""Seconds after which no answer is a failure."""
CHUNK = 256 * 1024
TRANSFER_TIMEOUT = 300


class LoadFailed(Exception):
    """A request broke off, or was answered by an error."""


class Request(Struct, frozen=True):
    """What a server is asked for; ``{key}`` in the path is a number from 1 to ``largest_key``.

    ``rows`` is how many rows a transfer has.
    """

    server: str
    path: str
    method: str
    headers: Mapping[str, str]
    body: bytes
    largest_key: int
    connections: int
    rows: int

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.server + self.path


class Sample(Struct, frozen=True):
    """One measurement: so many requests, or rows, in so many seconds.

    ``cpu_share`` is the client's part of all the CPU time that the machine had meanwhile, from 0 to
    1. Memory is that of the largest worker, in MB.
    """

    amount: float
    seconds: float
    cpu_share: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    rest_mb: float | None = None
    peak_mb: float | None = None

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.amount / self.seconds


class Counted(Struct, frozen=True):
    """What load.lua prints."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int


def put_load(request: Request, seconds: int, seed: int) -> Sample:
    """Ask as fast as the answers come, by one thread of wrk on connections that are kept open.

    It lasts longer where nothing is answered in that time. Raises LoadFailed if any answer isn't a
    success.
    """
    before = _cpu(resource.RUSAGE_CHILDREN)
    counted = _wrk(request, seconds, seed)
    cpu = _cpu(resource.RUSAGE_CHILDREN) - before
    if counted.refused or counted.broken:
        raise LoadFailed(
            f"{request.url}: of {counted.requests} requests {counted.refused} were answered "
            f"by an error and {counted.broken} broke off"
        )
    if not counted.requests:
        if seconds > LONGEST:
            raise LoadFailed(f"{request.url}: no answer in {seconds} seconds")
        return put_load(request, 4 * seconds, seed)
    return Sample(
        amount=counted.requests,
        seconds=counted.seconds,
        cpu_share=_share(cpu, counted.seconds),
        p50_ms=counted.p50_ms,
        p99_ms=counted.p99_ms,
    )


def _wrk(request: Request, seconds: int, seed: int) -> Counted:
    command = [
        str(find_or_install(WRK) / "wrk"), "--threads", "1",
        "--connections", str(request.connections), "--duration", f"{seconds}s",
        "--timeout", "30s", "--script", str(SCRIPT), request.server,
        "--", request.method, request.path, str(request.largest_key), str(seed),
        request.body.decode(),
        *(text for header in request.headers.items() for text in header),
    ]  # fmt: skip
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise LoadFailed(f"wrk ended with status {ended.returncode}: {ended.stderr.strip()}")
    return msgspec.json.decode(ended.stderr, type=Counted)


def transfer(request: Request) -> Sample:
    """One request that sends or takes many rows; what comes is counted and thrown away.

    Raises LoadFailed where it isn't answered by success, or by fewer rows.
    """
    connection = http.client.HTTPConnection(
        urlsplit(request.server).netloc, timeout=TRANSFER_TIMEOUT
    )
    before, began = _cpu(resource.RUSAGE_SELF), time.perf_counter()
    try:
        connection.request(
            request.method, request.path, request.body or None, dict(request.headers)
        )
        response = connection.getresponse()
        lines = 0
        while chunk := response.read(CHUNK):
            lines += chunk.count(b"\n")
    except (OSError, http.client.HTTPException) as error:
        raise LoadFailed(f"{request.url} broke off: {error!r}") from error
    finally:
        connection.close()
    seconds = time.perf_counter() - began
    if response.status >= 300 or (request.method == "GET" and lines < request.rows):
        raise LoadFailed(
            f"{request.url}: status {response.status}, {lines} lines of {request.rows}"
        )
    share = _share(_cpu(resource.RUSAGE_SELF) - before, seconds)
    return Sample(amount=request.rows, seconds=seconds, cpu_share=share)


def _cpu(who: int) -> float:
    """Seconds of CPU that this process, or those that it waited for, has used so far."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _share(cpu: float, seconds: float) -> float:
    return cpu / seconds / (os.cpu_count() or 1)
