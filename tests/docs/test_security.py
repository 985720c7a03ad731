"""Every promise of SECURITY.md is held by tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from .pages import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "function"), NAMED, ids="::".join)
def test_a_test_that_holds_a_promise_exists(file: str, function: str) -> None:
    """A test that is renamed or deleted takes its promise along, or this fails."""
    tree = ast.parse((ROOT / file).read_text())
    assert function in {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}


def test_every_promise_names_a_test() -> None:
    """No line of the table is without one, and nothing else stands in its place."""
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)[2:]
    assert len(rows) >= 10
    for promise, tests in rows:
        assert re.fullmatch(r"(`tests/[\w/]+\.py::test_\w+` ?)+", tests), promise
