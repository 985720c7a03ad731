"""A whole request, and the key in its path."""

from __future__ import annotations

import pytest

from carboy.errors import ApiError, BadRequest, NotAcceptable, UnsupportedMediaType
from carboy.request import (
    EntityTag,
    Prefer,
    Request,
    join_key,
    parse,
    parse_query,
    split_key,
)


def test_every_part_of_a_request_is_read() -> None:
    """The request has each header and the query as its own value."""
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Prefer": "return=minimal",
        "If-Match": '"a"',
        "If-None-Match": "*",
        "Idempotency-Key": "k",
    }
    request = parse("PATCH", "posts", "1,42", b"select=id", headers, b"{}", path="/api/posts/1,42")
    assert request == Request(
        method="PATCH",
        resource="posts",
        key="1,42",
        query=parse_query("select=id"),
        prefer=Prefer(return_="minimal"),
        if_match=(EntityTag("a"),),
        if_none_match="*",
        idempotency_key="k",
        body=b"{}",
        path="/api/posts/1,42",
        query_string="select=id",
    )


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("GET", None, None),
        ("GET", b"ignored", None),
        ("DELETE", b"ignored", None),
        ("POST", b"{}", b"{}"),
        ("PUT", None, b""),
    ],
)
def test_only_some_methods_have_a_body(
    method: str, body: bytes | None, expected: bytes | None
) -> None:
    """The body of a method without one is not looked at."""
    headers = {"Content-Type": "application/json"}
    assert parse(method, "posts", None, "", headers, body).body == expected


@pytest.mark.parametrize(
    ("method", "headers", "query_string", "error"),
    [
        ("GET", {"Accept": "text/html"}, "", NotAcceptable),
        ("POST", {}, "", UnsupportedMediaType),
        ("GET", {"Prefer": "tx=x"}, "", BadRequest),
        ("GET", {"If-None-Match": "x"}, "", BadRequest),
        ("GET", {"If-Match": "x"}, "", BadRequest),
        ("GET", {"Idempotency-Key": ""}, "", BadRequest),
        ("GET", {}, "id=5", BadRequest),
    ],
)
def test_a_wrong_request_is_refused(
    method: str, headers: dict[str, str], query_string: str, error: type[ApiError]
) -> None:
    """Each header is checked, and so is the query."""
    with pytest.raises(error):
        parse(method, "posts", None, query_string, headers, b"{}")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("42", ("42",)),
        ("1,42", ("1", "42")),
        ('"a,b",c', ("a,b", "c")),
        ('"",x', ("", "x")),
        (r'"\"hi\", \\",x', ('"hi", \\', "x")),
        ('a"b', ('a"b',)),
        ("50%", ("50%",)),
        ("größe, x", ("größe", " x")),
    ],
)
def test_a_key_is_split_and_joined(text: str, parts: tuple[str, ...]) -> None:
    """A path's key gives its parts, and the parts give the key back."""
    assert split_key(text) == parts
    assert join_key(parts) == text


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "the key '' has an empty part or an open quote at character 1"),
        ("1,", "the key '1,' has an empty part or an open quote at character 3"),
        (",1", "the key ',1' has an empty part or an open quote at character 1"),
        ('"a', "the key '\"a' has an empty part or an open quote at character 1"),
        ('"a"b', "the key '\"a\"b' needs a ',' after the quote at character 4"),
        ("a\0", "the key in the path has a NUL character or is not valid Unicode"),
        ("a\ud800", "the key in the path has a NUL character or is not valid Unicode"),
    ],
)
def test_a_wrong_key_is_refused(text: str, detail: str) -> None:
    """A key that can't be read is a 400 that says how to write it."""
    with pytest.raises(BadRequest) as caught:
        split_key(text)
    assert caught.value.detail.startswith(detail)
