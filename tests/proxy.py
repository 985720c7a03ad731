"""A TCP proxy between a program and its server, that can be made to fail as networks do."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import sqlalchemy as sa

Mode = Literal["open", "pause", "half-open", "reset", "delay"]


class Proxy:
    """Passes bytes on, to and from ``target``, as its ``mode`` says; ``port`` is where it listens.

    - ``open``: as they come.
    - ``pause``: connections are accepted and stay open, and nothing is passed on.
    - ``half-open``: what clients send is passed on, and nothing comes back.
    - ``reset``: open connections and new ones are reset.
    - ``delay``: each piece comes ``seconds`` later.

    ``accepted`` counts the connections so far.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._mode: Mode = "open"
        self._seconds = 0.0
        self._changed = threading.Condition()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, mode: Mode, seconds: float = 0.0) -> None:
        """Change what happens from now on, to connections that are open as well."""
        with self._changed:
            self._mode, self._seconds = mode, seconds
            if mode == "reset":
                for pair in self._pairs:
                    _reset(*pair)
                self._pairs.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """End everything."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # A thread in accept() doesn't notice a close.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            for pair in self._pairs:
                _reset(*pair)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self._mode == "reset" or not self._passes("up"):
            _reset(client)
            return
        try:
            server = socket.create_connection(self._target, timeout=10)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        with self._changed:
            self._pairs.append((client, server))
        for source, sink, way in ((client, server, "up"), (server, client, "down")):
            threading.Thread(target=self._pass, args=(source, sink, way), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                if not self._passes(way):
                    return
                sink.sendall(piece)
            if self._passes(way):
                sink.shutdown(socket.SHUT_WR)

    def _passes(self, way: str) -> bool:
        """Wait until a piece may be passed on; false where it never is."""
        with self._changed:
            if self._mode == "delay":
                self._changed.wait(self._seconds)
            while not self._closed and (
                self._mode == "pause" or (self._mode == "half-open" and way == "down")
            ):
                self._changed.wait()
            return not self._closed


def _reset(*sockets: socket.socket) -> None:
    """Close at once, with a RST, so that nobody takes it for an orderly end."""
    for each in sockets:
        with suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # A thread that waits in recv() would keep it open.
            each.shutdown(socket.SHUT_RD)
        each.close()


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy in front of a database's server, and the database's URL through it."""
    parsed = sa.make_url(url)
    assert parsed.host is not None
    assert parsed.port is not None
    proxy = Proxy((parsed.host, parsed.port))
    try:
        through = parsed.set(host="127.0.0.1", port=proxy.port)
        yield proxy, through.render_as_string(hide_password=False)
    finally:
        proxy.close()
