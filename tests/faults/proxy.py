"""A TCP proxy that behaves badly on demand: it stalls, resets, or loses a message on its way."""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress

_RESET = struct.pack("ii", 1, 0)
_TICK_SECONDS = 0.05


class Proxy:
    """Passes bytes between ``port`` and the address behind it, until it is told otherwise.

    ``stalled``: it takes connections and bytes, and says nothing. ``refusing``: it resets what
    comes. ``lose``: a text; the connection that sends it is reset, before the server has read the
    text or, with ``lose_answer``, once the server has answered it.
    """

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.stalled = False
        self.refusing = False
        self.lose: bytes | None = None
        self.lose_answer = False
        self.lost = 0
        self._resets = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Stop listening, and reset what is open."""
        # Only a shutdown wakes the thread that waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    def reset(self) -> None:
        """Reset every connection, to both sides."""
        self._resets += 1

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        with suppress(OSError):
            if not self.refusing:
                server.connect(self._behind)
                self._pass(client, server)
        for each in (client, server):
            # It sends a reset then, and no end of the stream.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.close()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what comes until an end closes or it must reset."""
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        resets, losing = self._resets, False
        while self._resets == resets:
            ready, _, _ = select.select([client, server], [], [], _TICK_SECONDS)
            for source in ready:
                data = source.recv(65536)
                if not data or losing:
                    return
                if self.stalled:
                    continue
                if source is client and self.lose is not None and self.lose in data:
                    self.lost += 1
                    losing = True
                    if not self.lose_answer:
                        return
                (server if source is client else client).sendall(data)
