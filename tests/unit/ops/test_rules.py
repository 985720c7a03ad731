"""A policy's rules in words."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from carboy import Actor, role, signed_in
from carboy.ops.rules import rule_text

HERE = Path(__file__)


def is_me(who: Actor) -> bool:
    """A rule of an application."""
    return bool(who.id == "me")


class Mine:
    """A rule that is an object."""

    def __call__(self, who: Actor) -> bool:
        return is_me(who)


ONE, TWO = (lambda who: who.has("é", ","), lambda who: not who.is_anonymous)  # fmt: skip
# fmt: off
(LONG,) = (lambda who: (
    who.has("editor")
),)
# fmt: on


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (True, "everybody"),
        (False, "nobody"),
        (role("editor", "admin"), "role editor or admin"),
        (signed_in, "signed in"),
        (is_me, "is_me ({}:{})"),
        (partial(is_me), "is_me ({}:{})"),
        (Mine(), "Mine"),
        (ONE, 'lambda who: who.has("é", ",") ({}:{})'),
        (TWO, "lambda who: not who.is_anonymous ({}:{})"),
        (LONG, "lambda who: ( ... ({}:{})"),
    ],
)
def test_a_rule_is_told_in_one_line(rule: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function by its name, a lambda by its own source, both with their place."""
    monkeypatch.chdir(HERE.parent)
    code = getattr(getattr(rule, "func", rule), "__code__", None)
    line = code.co_firstlineno if code else 0
    assert rule_text(rule) == text.format(HERE.name, line)


def test_a_place_elsewhere_is_a_whole_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file outside the current folder is named in full."""
    monkeypatch.chdir(tmp_path)
    assert rule_text(is_me).startswith(f"is_me ({HERE}:")
