"""CORS (the Fetch standard): which pages of other origins may read answers, and send what."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, TypeAlias

from werkzeug.datastructures import Headers as Fields

from ..settings import SettingError, Settings

Headers: TypeAlias = tuple[tuple[str, str], ...]

REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Prefer",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "X-API-Key",
    "X-Request-ID",
)
"""What a page may send beside what browsers always let it."""

EXPOSED_HEADERS = (
    "ETag",
    "Link",
    "Location",
    "Preference-Applied",
    "Affected-Rows",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Idempotency-Replayed",
    "X-Request-ID",
)
"""What a page may read beside what browsers always let it."""

# flask-cors takes an origin with characters such as * or [ for a regular expression, which
# would let in more than it seems to say; here an origin is just itself.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._-]+(?::[0-9]+)?", re.IGNORECASE)


class Cors:
    """The CORS headers of answers, as flask-cors computes them."""

    def __init__(self, origins: tuple[str, ...], *, credentials: bool, max_age: int) -> None:
        # flask-cors works by a hook that sees every response, and with a hook registered no read
        # could pass by Flask's dispatch; so only its functions are used.
        from flask_cors import core

        anybody = "*" in origins
        self._core = core
        self._options: dict[str, Any] = {
            **core.DEFAULT_OPTIONS,
            "origins": "*" if anybody else origins,
            "allow_headers": REQUEST_HEADERS,
            "expose_headers": EXPOSED_HEADERS,
            "supports_credentials": credentials,
            "max_age": max_age,
            "send_wildcard": anybody,
            "always_send": anybody,
            # It leaves Vary out where a request has no Origin, and so would a cache answer a page
            # of another origin without the headers; see ``varies``.
            "vary_header": False,
        }
        self.varies = not anybody
        """Whether answers depend on the request's ``Origin``."""
        self.of_answer = lru_cache(128)(self._of_answer)

    def _of_answer(self, origin: str | None) -> Headers:
        """The headers of an answer to a page of this origin, or to no page."""
        return self._computed("GET", self._core.serialize_options(self._options), Origin=origin)

    def of_preflight(self, origin: str, method: str, headers: str | None, allowed: str) -> Headers:
        """The headers of an answer to a browser that asks whether it may send a request.

        ``method`` and ``headers`` are those of the request to come, ``allowed`` the resource's
        methods.
        """
        options = self._core.serialize_options({**self._options, "methods": allowed.split(", ")})
        names = {"Method": method, "Headers": headers}
        asked = {f"Access-Control-Request-{name}": value for name, value in names.items()}
        return self._computed("OPTIONS", options, Origin=origin, **asked)

    def _computed(self, method: str, options: Any, **fields: str | None) -> Headers:
        sent = Fields([(name, value) for name, value in fields.items() if value is not None])
        found = self._core.get_cors_headers(options, sent, method)
        return tuple((name, str(value)) for name, value in found.items())


def make_cors(settings: Settings) -> Cors | None:
    """What the settings say; None where they name no origins."""
    origins = tuple(filter(None, map(str.strip, settings.cors_origins.split(","))))
    if not origins:
        return None
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise SettingError(
                f"CARBOY_CORS_ORIGINS: {origin!r} is neither * nor an origin such as "
                "https://app.example.com or http://localhost:3000, without a path"
            )
    if "*" in origins and settings.cors_credentials:
        raise SettingError(
            "CARBOY_CORS_CREDENTIALS can't be on while CARBOY_CORS_ORIGINS is *: any page could "
            "act as its visitor; name the origins"
        )
    try:
        return Cors(origins, credentials=settings.cors_credentials, max_age=settings.cors_max_age)
    except ModuleNotFoundError:
        raise SettingError(
            "CARBOY_CORS_ORIGINS needs flask-cors; run: pip install 'carboy[cors]'"
        ) from None
