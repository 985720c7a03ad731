"""The error tree is what its drawing says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest

from carboy import errors
from carboy.errors import ApiError, InvalidQuery, Problem


def _classes(parent: type[ApiError] = ApiError) -> Iterator[type[ApiError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _classes(child)


def _drawn() -> list[tuple[int, str, int]]:
    """The drawing's lines as depth, name and status."""
    lines = re.findall(r"^ {4}([│├└─ ]+)(\w+) +(\d{3})  ", errors.__doc__ or "", re.MULTILINE)
    return [(len(branches) // 4, name, int(status)) for branches, name, status in lines]


def test_the_drawing_at_the_top_is_the_tree() -> None:
    """The module's docstring draws each class in its place with its status, in order."""
    actual = [(len(each.__mro__) - 4, each.__name__, each.status) for each in _classes()]
    assert _drawn() == actual


@pytest.mark.parametrize("kind", list(_classes()), ids=lambda kind: kind.__name__)
def test_each_error_names_itself(kind: type[ApiError]) -> None:
    """Each class has its own code in kebab case and a title, and inherits neither."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", vars(kind)["code"])
    assert vars(kind)["title"]


def test_no_two_errors_share_a_code() -> None:
    """A client can tell errors apart by their codes."""
    codes = [kind.code for kind in _classes()]
    assert len(set(codes)) == len(codes)


def test_an_invalid_query_names_its_parameter() -> None:
    """InvalidQuery.at gives one problem with the parameter, and the same text as detail."""
    error = InvalidQuery.at("order", "There is no field 'nmae'.")
    assert error.detail == "There is no field 'nmae'."
    assert error.problems == (Problem(error.detail, "invalid-query", parameter="order"),)


def test_a_problem_says_only_what_it_knows() -> None:
    """A pointer, parameter or row that wasn't given is not in the JSON."""
    problem = Problem(detail="Too long.", code="too-long", pointer="/name", row=0)
    assert msgspec.json.decode(msgspec.json.encode(problem)) == {
        "detail": "Too long.",
        "code": "too-long",
        "pointer": "/name",
        "row": 0,
    }
