"""Writes by cookie: from which pages they are taken."""

from __future__ import annotations

import pytest
from werkzeug.test import create_environ

from carboy.errors import Forbidden
from carboy.identify.origin import Origins
from carboy.settings import SettingError

TRUSTED = "https://app.example.com, http://localhost:5173"
TAKEN = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://api.example.com"},
    {"Origin": "HTTPS://API.example.com"},
    {"Origin": "https://app.example.com"},
    {"Origin": "http://localhost:5173"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://app.example.com"},
]
REFUSED = [
    {},
    {"Referer": "https://api.example.com/"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "SAME-ORIGIN, cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.com"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://api.example.com"},
    {"Origin": "https://api.example.com:8443"},
    {"Origin": "https://api.example.com.evil.com"},
    {"Origin": "https://api.example.com, https://evil.com"},
    {"Origin": "https://localhost:5173"},
]
METHODS = ("POST", "PUT", "PATCH", "DELETE", "PURGE")


def check(method: str, headers: dict[str, str], base_url: str = "https://api.example.com") -> None:
    """Let the origins of this test judge a request."""
    environ = create_environ("/api/notes", base_url, method=method, headers=headers)
    Origins(TRUSTED).check(environ)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("headers", TAKEN, ids=str)
def test_a_write_from_here_or_from_a_trusted_page_is_taken(
    method: str, headers: dict[str, str]
) -> None:
    """The browser says that it is the same origin, or the page's origin is one of ours."""
    check(method, headers)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("headers", REFUSED, ids=str)
def test_a_write_from_elsewhere_or_from_nowhere_is_refused(
    method: str, headers: dict[str, str]
) -> None:
    """A 403 that says what to send, whichever method isn't safe."""
    with pytest.raises(Forbidden, match="send Origin"):
        check(method, headers)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("headers", REFUSED, ids=str)
def test_a_read_may_come_from_anywhere(method: str, headers: dict[str, str]) -> None:
    """What changes nothing is no harm; whether a page may read it is for CORS to say."""
    check(method, headers)


def test_a_port_that_goes_without_saying_is_no_difference() -> None:
    """Host may have the scheme's own port, which an Origin never has."""
    check("POST", {"Origin": "https://api.example.com"}, "https://api.example.com:443")
    check("POST", {"Origin": "http://127.0.0.1:8000"}, "http://127.0.0.1:8000")


@pytest.mark.parametrize(
    "origins",
    ["*", "null", "app.example.com", "https://app.example.com/", "ftp://a", "https://*.a"],
)
def test_what_is_no_origin_cant_be_trusted(origins: str) -> None:
    """A path, a pattern or a bare host would silently match nothing, or everything."""
    with pytest.raises(SettingError, match="CARBOY_TRUSTED_ORIGINS takes origins such as"):
        Origins(f"https://fine.example.com {origins}")
