"""curl as far as the pages use it, so that the tests need no program besides Python.

Options that it doesn't know are refused, and so are URLs that curl itself would not send as
they are written.
"""

from __future__ import annotations

import argparse
import http.client
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_UNSAFE = ' "<>'
"""Servers may refuse these in a URL: granian does."""


@dataclass(frozen=True)
class Answer:
    """What came back; ``show_head`` where the command prints the head as well."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: str
    show_head: bool


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("url")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-i", action="store_true", dest="include")
    parser.add_argument("-I", action="store_true", dest="head")
    parser.add_argument("-g", action="store_true", dest="no_globbing")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", action="append", dest="headers", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("--json")
    parser.add_argument("-G", action="store_true", dest="to_query")
    parser.add_argument("--data-urlencode", action="append", dest="encoded", default=[])
    return parser


def _encoded(pair: str) -> str:
    """As curl does it: what follows the first ``=`` is encoded, the name is not."""
    name, _, value = pair.partition("=")
    return f"{name}={quote(value, safe='')}"


def curl(arguments: list[str], port: int) -> Answer:
    """Send one request to the server at ``port``, whatever port the URL names."""
    options = _parser().parse_args(arguments)
    url = str(options.url)
    if any(c in url for c in _UNSAFE) or not (url.isascii() and url.isprintable()):
        raise ValueError(f"encode what a URL can't have (such as > or a quote): {url}")
    if not options.no_globbing and any(c in url for c in "{}[]"):
        raise ValueError(f"curl itself expands braces and brackets without -g: {url}")
    if options.encoded:
        if not options.to_query:
            raise ValueError("--data-urlencode is known with -G only")
        url += ("&" if "?" in url else "?") + "&".join(map(_encoded, options.encoded))
    parts = urlsplit(url)
    if parts.netloc != "127.0.0.1:8000":
        raise ValueError(f"the pages ask 127.0.0.1:8000, not {parts.netloc}")
    body = options.json if options.json is not None else options.data
    method = options.method or ("HEAD" if options.head else "POST" if body is not None else "GET")
    headers = {"Accept": "*/*"}
    if options.json is not None:
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
    elif body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    headers |= dict(header.split(": ", 1) for header in options.headers)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body.encode() if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read().decode()
        show_head = options.include or options.head
        return Answer(response.status, response.reason, response.headers, text, show_head)
    finally:
        connection.close()
