"""What a page says that is printed against what was: ``…`` stands for what differs each time."""

from __future__ import annotations

import json
import re
from typing import Any

from .curl import Answer

_LINES = ("application/x-ndjson", "text/csv")


def same_text(expected: str, actual: str) -> bool:
    """Equal texts, but for what ``…`` stands for, which may be anything."""
    pattern = ".*".join(map(re.escape, expected.split("…")))
    return re.fullmatch(pattern, actual, re.DOTALL) is not None


def same_json(expected: Any, actual: Any) -> bool:
    """Equal JSON, keys in their order, but for texts with ``…`` in them; 1 and 1.0 are equal."""
    if isinstance(expected, str):
        return expected == "…" or (isinstance(actual, str) and same_text(expected, actual))
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and list(expected) == list(actual)
            and all(same_json(value, actual[key]) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(expected) == len(actual)
            and all(map(same_json, expected, actual))
        )
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    return bool(expected == actual)


def require_answer(expected: str, answer: Answer) -> None:
    """Raise AssertionError unless a page shows this answer.

    Of the head, the status line is compared, and the headers that the page chooses to show.
    Without any expected text the answer has to be a success.
    """
    if not expected.strip():
        assert answer.status < 400, f"{answer.status}: {answer.body}"
        return
    body = expected
    if answer.show_head:
        head, _, body = expected.partition("\n\n")
        status, *headers = head.splitlines()
        actual = f"HTTP/1.1 {answer.status} {answer.reason}"
        # Servers differ in the case of the reason: Flask's shouts, granian's doesn't.
        assert status.lower() == actual.lower(), f"the status is\n{actual}\n{answer.body}"
        for line in headers:
            name, _, value = line.partition(": ")
            sent = answer.headers.get(name)
            assert sent is not None, f"no header {name}; it has\n{answer.headers}"
            assert same_text(value, sent), f"{name} is\n{sent}\nnot\n{value}"
    if not body.strip() or not answer.body.strip():
        assert body.strip() == answer.body.strip(), f"the body is\n{answer.body}"
        return
    if answer.headers.get_content_type() in _LINES:
        assert same_text(body.strip(), answer.body.strip()), f"the body is\n{answer.body}"
        return
    assert same_json(json.loads(body), json.loads(answer.body)), f"the body is\n{answer.body}"
