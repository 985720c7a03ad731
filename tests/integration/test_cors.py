"""CORS: what a browser is told, on either way of a request, and what settings can't mean."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from werkzeug.test import TestResponse

from carboy.edge.cors import EXPOSED_HEADERS, REQUEST_HEADERS
from carboy.settings import SettingError

from .notes import Notes

APP = "https://app.example.com"
LISTED = f"{APP}, http://localhost:3000"
EVIL = "https://evil.example.net"


def cors(response: TestResponse) -> dict[str, str]:
    """The headers of CORS."""
    prefix = "Access-Control-"
    return {n.removeprefix(prefix): v for n, v in response.headers if n.startswith(prefix)}


def ask(
    notes: Notes, path: str, origin: str, method: str, headers: str = "", **config: Any
) -> TestResponse:
    """A preflight, as a browser sends it."""
    sent = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        sent["Access-Control-Request-Headers"] = headers
    config.setdefault("CARBOY_CORS_ORIGINS", LISTED)
    return notes.client(**config).options(path, headers=sent)


@pytest.mark.parametrize(
    ("setting", "origin", "allowed"),
    [
        ("", APP, None),
        (LISTED, None, None),
        (LISTED, APP, APP),
        (LISTED, "http://localhost:3000", "http://localhost:3000"),
        (LISTED, EVIL, None),
        (LISTED, "null", None),
        (LISTED, f"{APP}.evil.net", None),
        (LISTED, "https://appxexample.com", None),
        (LISTED, "http://app.example.com", None),
        ("*", EVIL, "*"),
        ("*", None, "*"),
    ],
)
@pytest.mark.parametrize("path", ["/api/notes", "/api/notes/9", "/api/notes?nope=eq.1", "/api/"])
def test_only_pages_of_listed_origins_may_read(
    notes: Notes, way: int, setting: str, origin: str | None, allowed: str | None, path: str
) -> None:
    """An origin is compared as a whole; an error can be read wherever an answer can."""
    client = notes.client(CARBOY_CORS_ORIGINS=setting, CARBOY_DIRECT_READS=way)
    response = client.get(path, headers={"Origin": origin} if origin else {})
    expected: dict[str, str] = {}
    if allowed:
        exposed = ", ".join(sorted(EXPOSED_HEADERS))
        expected = {"Allow-Origin": allowed, "Expose-Headers": exposed}
    assert cors(response) == expected
    # Also where there was no Origin: a cache must not give that answer to a page.
    assert ("Origin" in response.headers["Vary"]) == (setting == LISTED)


def test_writes_can_be_read_too(notes: Notes) -> None:
    """A page gets the answer of its write, and of one that failed."""
    client = notes.client(CARBOY_CORS_ORIGINS=LISTED)
    for body, status in (({"text": "new"}, 201), ({"text": "one"}, 409), ({"no": 1}, 400)):
        response = client.post("/api/notes", json=body, headers={"Origin": APP})
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize("credentials", [0, 1])
def test_credentials_are_allowed_where_the_setting_says_so(
    notes: Notes, way: int, credentials: int
) -> None:
    """Then a page may send cookies, which needs its origin by name."""
    client = notes.client(
        CARBOY_CORS_ORIGINS=LISTED, CARBOY_CORS_CREDENTIALS=credentials, CARBOY_DIRECT_READS=way
    )
    headers = cors(client.get("/api/notes", headers={"Origin": APP}))
    assert headers["Allow-Origin"] == APP
    assert headers.get("Allow-Credentials") == ("true" if credentials else None)


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/api/notes", "POST", "GET, HEAD, OPTIONS, POST, PATCH, DELETE"),
        ("/api/notes/1", "PUT", "GET, HEAD, OPTIONS, PUT, PATCH, DELETE"),
        ("/api/fixed", "GET", "GET, HEAD, OPTIONS"),
        ("/api/", "GET", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_preflight_names_the_resources_methods(
    notes: Notes, path: str, method: str, allowed: str
) -> None:
    """What the resource takes may be sent, and the browser may remember it."""
    response = ask(notes, path, APP, method, CARBOY_CORS_MAX_AGE=60)
    assert response.status_code == 204
    headers = cors(response)
    assert set(headers["Allow-Methods"].split(", ")) == set(allowed.split(", "))
    assert headers["Allow-Origin"] == APP
    assert headers["Max-Age"] == "60"
    assert "Origin" in response.headers["Vary"]


def test_a_preflight_refuses_a_method_that_isnt_taken(notes: Notes) -> None:
    """The browser then sends nothing."""
    assert "Allow-Methods" not in cors(ask(notes, "/api/fixed", APP, "DELETE"))


@pytest.mark.parametrize("path", ["/api/nothing", "/api/notes/"])
def test_a_page_may_read_that_something_isnt_there(notes: Notes, path: str) -> None:
    """A preflight for what isn't there is passed, for only the answer after it can be read."""
    response = ask(notes, path, APP, "PATCH")
    assert response.status_code == 204
    assert "PATCH" in cors(response)["Allow-Methods"]


def test_a_preflight_lets_the_apis_headers_pass(notes: Notes) -> None:
    """Each header that the API reads may be sent, in any case, and no other."""
    wanted = ", ".join([*map(str.lower, REQUEST_HEADERS), "x-other"])
    allowed = cors(ask(notes, "/api/notes", APP, "POST", wanted))["Allow-Headers"]
    assert set(allowed.split(", ")) == {name.lower() for name in REQUEST_HEADERS}


@pytest.mark.parametrize(
    ("setting", "origin", "allowed"), [("", APP, None), (LISTED, EVIL, None), ("*", EVIL, "*")]
)
def test_a_preflight_of_another_origin(
    notes: Notes, setting: str, origin: str, allowed: str | None
) -> None:
    """A page that may not use the API is told nothing."""
    headers = cors(ask(notes, "/api/notes", origin, "POST", CARBOY_CORS_ORIGINS=setting))
    assert headers.get("Allow-Origin") == allowed
    assert ("Allow-Methods" in headers) == (allowed is not None)


def test_a_preflight_isnt_limited(notes: Notes) -> None:
    """It reads nothing, and only costs the page's own request its place."""
    client = notes.client(CARBOY_CORS_ORIGINS=LISTED, CARBOY_RATE_LIMIT="1/hour")
    sent = {"Origin": APP, "Access-Control-Request-Method": "GET"}
    for _ in range(3):
        assert client.options("/api/notes", headers=sent).status_code == 204
    assert client.get("/api/notes", headers={"Origin": APP}).status_code == 200
    refused = client.get("/api/notes", headers={"Origin": APP})
    assert refused.status_code == 429
    assert refused.headers["Access-Control-Allow-Origin"] == APP


def test_reads_still_pass_by_flasks_dispatch(notes: Notes, monkeypatch: Any) -> None:
    """CORS and limits register no hook that should see requests."""
    app = notes.app(CARBOY_CORS_ORIGINS="*", CARBOY_RATE_LIMIT="9/hour")
    monkeypatch.setattr(app, "dispatch_request", None)
    assert app.test_client().get("/api/notes").status_code == 200


@pytest.mark.parametrize(
    "setting",
    [
        "app.example.com",
        "https://*.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "http://[::1]:3000",
        "null",
        r"https://.*\.example\.com",
        f"{APP} {EVIL}",
    ],
)
def test_what_isnt_an_origin_is_refused(notes: Notes, setting: str) -> None:
    """No pattern and no path: it would let in more, or less, than it seems to say."""
    with pytest.raises(SettingError, match=r"CARBOY_CORS_ORIGINS: .* is neither"):
        notes.app(CARBOY_CORS_ORIGINS=setting)


@pytest.mark.parametrize("setting", ["*", f"{APP},*"])
def test_everybody_with_credentials_is_refused(notes: Notes, setting: str) -> None:
    """Any page of the web could act as its visitor."""
    with pytest.raises(SettingError, match="CARBOY_CORS_CREDENTIALS can't be on"):
        notes.app(CARBOY_CORS_ORIGINS=setting, CARBOY_CORS_CREDENTIALS=1)


def test_without_the_library_the_setting_is_refused(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "flask_cors", None)
    with pytest.raises(SettingError, match=r"pip install 'carboy\[cors\]'"):
        notes.app(CARBOY_CORS_ORIGINS=APP)
    notes.app()
