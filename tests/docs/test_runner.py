"""What keeps the pages honest can itself tell right from wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .compare import same_json, same_text
from .curl import curl
from .pages import Block, commands_in
from .runner import run_page


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        ([1, 2], [2, 1], False),
        ([1], [1, 2], False),
        ("a", "b", False),
        ("…", None, True),
        ("/users/…", "/users/7", True),
        ("/users/…", "/posts/7", False),
        ("1", 1, False),
    ],
)
def test_json_is_the_same_or_not(expected: Any, actual: Any, same: bool) -> None:
    """JSON is the same if keys, their order, values and lengths are; … is anything."""
    assert same_json(expected, actual) is same


def test_text_is_taken_literally() -> None:
    """Nothing in a page's text but … has a meaning."""
    assert same_text("2 passed in …s (a.c)", "2 passed in 0.1s (a.c)")
    assert not same_text("a.c", "abc")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/api/posts?select=data->a",
        "http://127.0.0.1:8000/api/posts?title=eq.a b",
        'http://127.0.0.1:8000/api/posts?title=eq."a"',
        "http://127.0.0.1:8000/api/posts?id=eq(any).{1}",
        "http://127.0.0.1:8001/api/posts",
    ],
)
def test_urls_that_would_not_work_are_refused(url: str) -> None:
    """A page can't show a URL that curl or a server takes otherwise than written."""
    with pytest.raises(ValueError, match=r"curl|encode|ask"):
        curl([url], 1)


def test_commands_and_their_output_are_told_apart() -> None:
    """A command ends with its line, unless a backslash continues it; what follows is output."""
    block = Block("console", "$ one \\\n  two\nout\n$ three\n", 10)
    found = [(c.text, c.output, c.line) for c in commands_in(block)]
    assert found == [("one   two", "out", 10), ("three", "", 13)]


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("```console\n$ curl -s 'http://127.0.0.1:8000/api/tags/1'\n{\"id\": 1}\n```", "the body"),
        ("```console\n$ curl -s 'http://127.0.0.1:8000/api/tags/9'\n```", "404"),
        ("```console\n$ rm -r docs\n```", "rm is not among"),
        ("```python\nassert app is None, 'wrong'\n```", "wrong"),
    ],
)
def test_a_page_that_is_wrong_fails(block: str, fault: str, tmp_path: Path) -> None:
    """A wrong answer, an error, an unknown command or a failing line of Python is found."""
    page = tmp_path / "page.md"
    page.write_text(f"{block}\n")
    with pytest.raises(AssertionError, match=fault):
        run_page(page, tmp_path, f"sqlite:///{tmp_path / 'page.sqlite'}")
