"""Where a request comes from, which matters where a browser's cookies prove who asks (CSRF).

What another site makes a browser send carries the user's cookies, but says where it comes from:
in ``Sec-Fetch-Site`` (W3C Fetch Metadata), or in ``Origin`` (RFC 6454).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from werkzeug.wsgi import get_host

from ..errors import Forbidden
from ..settings import SettingError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_ORIGIN = re.compile(r"https?://[^/?#@\s,*]+")


class Origins:
    """The origins whose pages may write with a user's cookies: the API's own, and ``trusted``."""

    def __init__(self, trusted: str) -> None:
        self._trusted = frozenset(trusted.lower().replace(",", " ").split())
        for origin in self._trusted:
            if not _ORIGIN.fullmatch(origin):
                raise SettingError(
                    "CARBOY_TRUSTED_ORIGINS takes origins such as https://app.example.com, "
                    f"without a path, not {origin!r}"
                )

    def check(self, environ: WSGIEnvironment) -> None:
        """Raise Forbidden where another site may have made the browser send a write."""
        if environ["REQUEST_METHOD"] in _SAFE:
            return
        # "none" is a person's own doing: an address typed, a bookmark.
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site in ("same-origin", "none"):
            return
        origin = environ.get("HTTP_ORIGIN")
        if origin is None:
            raise Forbidden(
                "a write with a login's cookie must say where it comes from: send Origin, as "
                "browsers do, or use an API key or a token in its place"
            )
        own = f"{environ['wsgi.url_scheme']}://{get_host(environ)}"
        if origin.lower() not in (own.lower(), *self._trusted):
            raise Forbidden(
                "a write with a login's cookie must come from this site: send Origin: "
                f"{own}, or add the page's origin to CARBOY_TRUSTED_ORIGINS"
            )
