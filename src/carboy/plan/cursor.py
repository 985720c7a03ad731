"""Signed cursors: where a page ended, as the order's values in its last row."""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import blake2b

import msgspec
from msgspec import Struct

from ..errors import InvalidQuery

_SIGNATURE_BYTES = 16


class Cursor(Struct, frozen=True, array_like=True):
    """The order that it belongs to, and the order's values, or the rows to skip."""

    scope: str
    values: tuple[str | int | float | bool | None, ...] = ()
    offset: int = 0


def encode_cursor(cursor: Cursor, key: bytes) -> str:
    """URL-safe text that only a holder of ``key`` can make."""
    payload = msgspec.json.encode(cursor)
    return base64.urlsafe_b64encode(_sign(payload, key) + payload).rstrip(b"=").decode()


def decode_cursor(text: str, key: bytes, scope: str) -> Cursor:
    """The cursor, if it was made here for this resource and order; else a 400."""
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raw = b""
    signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not payload or not hmac.compare_digest(signature, _sign(payload, key)):
        raise InvalidQuery.at("after", "after: this is no cursor of this API; use a page's 'next'")
    cursor = msgspec.json.decode(payload, type=Cursor)
    if cursor.scope != scope:
        raise InvalidQuery.at(
            "after", "after: this cursor belongs to another resource or order; keep both the same"
        )
    return cursor


def _sign(payload: bytes, key: bytes) -> bytes:
    return blake2b(b"carboy cursor:" + payload, key=key, digest_size=_SIGNATURE_BYTES).digest()
