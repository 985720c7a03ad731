"""A policy's rules in words: a function by its name or its source, and where it is."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from ..access import ACTIONS, Policy
from ..access.policy import HasRole, SignedIn


def rules_of(policy: Policy) -> Iterator[Any]:
    """All rules of a policy: for rows, for reading fields, for writing them."""
    yield from (policy.rule(action) for action in ACTIONS)
    yield from policy.fields.values()
    yield from policy.write_fields.values()


def rule_text(rule: Any) -> str:
    """One line for a rule: ``role editor``, ``everybody``, ``is_author (app.py:12)``."""
    if isinstance(rule, bool):
        return "everybody" if rule else "nobody"
    if isinstance(rule, HasRole | SignedIn):
        return str(rule)
    function = getattr(rule, "func", rule)
    code: CodeType | None = getattr(function, "__code__", None)
    if code is None:
        return type(rule).__name__
    place = f"{_near(code.co_filename)}:{code.co_firstlineno}"
    name = _lambda_source(code) if code.co_name == "<lambda>" else code.co_name
    return f"{name} ({place})"


def _near(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _lambda_source(code: CodeType) -> str:
    """The lambda's first line; a line may have several."""
    line = linecache.getline(code.co_filename, code.co_firstlineno).encode()
    # Its own instructions stand behind the word, wherever on the line that is.
    places = [p for p in code.co_positions() if p[2] and p[0] == code.co_firstlineno]
    begin = line.rfind(b"lambda", 0, min((p[2] or 0 for p in places), default=len(line)))
    if begin < 0:
        return "lambda"
    on_line = [p[3] or 0 for p in places if p[1] == code.co_firstlineno]
    whole = len(on_line) == len(places) > 0 and all(
        p[0] in (None, code.co_firstlineno) for p in code.co_positions()
    )
    text = line[begin : max(on_line)] if whole else line[begin:]
    return text.decode().strip() + ("" if whole else " ...")
