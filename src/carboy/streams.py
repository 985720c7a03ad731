"""A streamed answer to its end: whoever reads it has to see when it breaks off.

granian ends the body of an application that raises as if it were whole: the last chunk says so,
and nothing that an application can do makes it leave that out. So the connection is shut before
it learns of the error. It doesn't tell which that is; it is the one of this client's on which
just as many bytes were written as the answer has so far.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_HEAD_BYTES = 2048
"""What the server adds to the headers, at most."""
_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.02
# Linux's struct tcp_info: tcpi_bytes_acked.
_ACKED = 120
logger = logging.getLogger("carboy")


class Streamed:
    """A streamed body; ``ended`` is called once it is sent, given up or broken."""

    def __init__(
        self, body: Iterable[bytes], connection: Connection | None, ended: Callable[[], None]
    ) -> None:
        self._body = body
        self._chunks = iter(body)
        self._connection = connection
        self._ended: Callable[[], None] | None = ended

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            raise
        except BaseException:
            if self._connection is not None:
                self._connection.shut()
            raise
        if self._connection is not None:
            self._connection.sent(chunk)
        return chunk

    def close(self) -> None:
        """WSGI's."""
        ended, self._ended = self._ended, None
        if ended is None:
            return
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            ended()


class Connection:
    """The one that granian answers a request on, found by what is written to it."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._address = (environ["REMOTE_ADDR"], int(environ["SERVER_PORT"]))
        self._before = {inode: _written(fd) for fd, inode in _sockets(self._address)}
        self._sent = 0

    def sent(self, chunk: bytes) -> None:
        """A chunk is about to be written, with its length before it."""
        self._sent += len(f"{len(chunk):x}") + 2 + len(chunk) + 2 if chunk else 0

    def shut(self) -> None:
        """Shut it once all has been written, unless the client doesn't read for long."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            found = list(self._found())
            if len(found) == 1:
                with suppress(OSError), socket.socket(fileno=os.dup(found[0])) as own:
                    own.shutdown(socket.SHUT_RDWR)
                return
            if not any(inode in self._before for _, inode in _sockets(self._address)):
                return
            time.sleep(_POLL_SECONDS)
        logger.error("a stream broke off, and its client may not see it")

    def _found(self) -> Iterator[int]:
        for fd, inode in _sockets(self._address):
            if inode in self._before:
                head = _written(fd) - self._before[inode] - self._sent
                if 0 < head < _HEAD_BYTES:
                    yield fd


def connection_of(environ: WSGIEnvironment) -> Connection | None:
    """The connection of a request, where its server needs help to break it off."""
    if environ.get("SERVER_SOFTWARE") != "Granian" or sys.platform != "linux":
        return None
    return Connection(environ)


def _sockets(address: tuple[str, int]) -> Iterator[tuple[int, int]]:
    """This process's connections to a port of its own from an address: number and inode."""
    for entry in Path("/proc/self/fd").iterdir():
        fd = int(entry.name)
        with suppress(OSError):
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(fd)) as own:
                if own.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                host, port = own.getpeername()[0], own.getsockname()[1]
                if (host.removeprefix("::ffff:"), port) == address:
                    yield fd, os.fstat(fd).st_ino


def _written(fd: int) -> int:
    """How many bytes were ever written to a connection, on their way or arrived."""
    with socket.socket(fileno=os.dup(fd)) as own:
        info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        waiting = fcntl.ioctl(own, termios.TIOCOUTQ, struct.pack("i", 0))
    acked = struct.unpack_from("Q", info, _ACKED)[0]
    return int(acked + struct.unpack("i", waiting)[0])
