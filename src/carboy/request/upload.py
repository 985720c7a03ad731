"""A request's body, read piece by piece, with an end that is known to be its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_content_length, get_input_stream

from ..errors import BadRequest, PayloadTooLarge

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_PIECE = 2**18


def lower_limit(own: int | None, limit: int, setting: str) -> tuple[int, str]:
    """A body's limit, and the setting that it comes from: Flask's ``own`` where that is lower."""
    if own is not None and own <= limit:
        return own, "Flask's MAX_CONTENT_LENGTH"
    return limit, setting


class Upload:
    """The body of a WSGI request, of at most ``limit`` bytes; ``setting`` names the limit.

    Raises PayloadTooLarge beyond it, and BadRequest where the body ends too early.
    """

    def __init__(self, environ: WSGIEnvironment, limit: int, setting: str) -> None:
        self._length = get_content_length(environ)
        self._limit = limit
        self._too_large = f"the body is larger than {limit} bytes ({setting})"
        if self._length is not None and self._length > limit:
            raise PayloadTooLarge(self._too_large)
        self._stream = get_input_stream(environ)
        self._read = 0

    def __iter__(self) -> Iterator[bytes]:
        """The body in pieces."""
        while piece := self._piece():
            yield piece

    def whole(self) -> bytes:
        """The body at once."""
        return b"".join(self)

    def _piece(self) -> bytes:
        try:
            piece = self._stream.read(_PIECE)
        except (ClientDisconnected, OSError, ValueError):
            # Some servers tell in this way that a body in chunks has broken off.
            raise BadRequest("the body breaks off before its end") from None
        self._read += len(piece)
        if self._read > self._limit:
            raise PayloadTooLarge(self._too_large)
        # Servers that end the input themselves, as granian does, don't tell that it was cut off.
        if not piece and self._read < (self._length or 0):
            raise BadRequest("the body ends before its Content-Length")
        return piece
