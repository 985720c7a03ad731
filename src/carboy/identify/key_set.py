"""A JWKS, from a file or over HTTPS: kept, and fetched again when its issuer may have new keys."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from ..errors import Unauthorized, Unavailable
from ..settings import SettingError
from .keys import Key, UnusableKey, read_key_set

_KEPT_SECONDS = 300
_LONGEST_SECONDS = 86_400
_PAUSE_SECONDS = 30
_FETCH_SECONDS = 5
_MAX_BYTES = 2**20
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class KeySet:
    """The keys by their names.

    A set is fetched again when it is older than ``_KEPT_SECONDS``, and for a name that isn't in
    it, which is how rotated keys are found; but not within ``pause`` seconds of the last try, for
    anybody can make up names. While its issuer is away the old set serves, for a day. A file is
    read at once: SettingError where that can't be done.
    """

    def __init__(
        self, source: str, *, pause: float = _PAUSE_SECONDS, timeout: float = _FETCH_SECONDS
    ) -> None:
        self._source = source
        self._pause = pause
        self._timeout = timeout
        self._is_url = "://" in source
        self._lock = threading.Lock()
        self._keys: tuple[Key, ...] = ()
        self._tried = self._fetched = float("-inf")
        if self._is_url:
            _check_url(source)
            return
        try:
            self._keys = read_key_set(Path(source).read_bytes())
        except (OSError, UnusableKey) as error:
            raise SettingError(f"CARBOY_JWT_JWKS: {source} can't be used: {error}") from None
        self._tried = self._fetched = time.monotonic()

    def find(self, kid: str | None, algorithm: str) -> Key:
        """The key that a token names; raises Unauthorized, and Unavailable without a fresh set."""
        if time.monotonic() - self._fetched > _KEPT_SECONDS:
            self._fetch(wait=not self._keys)
        key = self._named(kid, algorithm)
        if key is None and kid is not None:
            self._fetch(wait=True)
            key = self._named(kid, algorithm)
        age = time.monotonic() - self._fetched
        if key is not None and age < _LONGEST_SECONDS:
            return key
        if age > _LONGEST_SECONDS or (kid is not None and self._tried > self._fetched):
            raise Unavailable(
                "the keys that tokens are verified with (CARBOY_JWT_JWKS) can't be fetched; "
                "try again",
                headers=[("Retry-After", str(max(1, round(self._pause))))],
            )
        raise Unauthorized.bad_token(
            "the token names no key (kid), and there is more than one"
            if kid is None
            else f"no key for {algorithm} has the name that the token gives (kid)"
        )

    def _named(self, kid: str | None, algorithm: str) -> Key | None:
        keys = self._keys
        if kid is None and len(keys) > 1:
            return None
        for key in keys:
            if key.algorithm == algorithm and kid in (None, key.kid):
                return key
        return None

    def _fetch(self, *, wait: bool) -> None:
        """Fetch the set, unless that was tried just now, or another does and nobody has to wait."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if time.monotonic() - self._tried < self._pause:
                return
            self._tried = time.monotonic()
            self._keys = read_key_set(self._read())
            self._fetched = self._tried
        except (OSError, HTTPException, ValueError):
            # The old keys stay; ``_tried`` says that they aren't what was asked for.
            return
        finally:
            self._lock.release()

    def _read(self) -> bytes:
        if not self._is_url:
            return Path(self._source).read_bytes()
        end = time.monotonic() + self._timeout
        request = urllib.request.Request(  # noqa: S310  https, by _check_url
            self._source, headers={"Accept": "application/json"}
        )
        opener = urllib.request.build_opener(_NoRedirects)
        text = b""
        with opener.open(request, timeout=self._timeout) as answer:
            while part := answer.read1(_MAX_BYTES):
                text += part
                # A server may also stall by sending little at a time.
                if time.monotonic() > end or len(text) > _MAX_BYTES:
                    raise TimeoutError
        return text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from where the setting says, and from nowhere else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    # Whoever can change the answer can make tokens.
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise SettingError(f"CARBOY_JWT_JWKS must be a file or an https:// URL, not {url!r}")
