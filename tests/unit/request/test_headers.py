"""What each request header means, and which are refused."""

from __future__ import annotations

import pytest

from carboy.errors import BadRequest
from carboy.request import (
    EntityTag,
    EntityTags,
    Prefer,
    parse_idempotency_key,
    parse_if_match,
    parse_if_none_match,
    parse_prefer,
    preference_applied,
    wanted_media,
)


@pytest.mark.parametrize(
    ("header", "prefer"),
    [
        (None, Prefer()),
        ("", Prefer()),
        ("return=representation", Prefer(return_="representation")),
        ("return=minimal, count=exact", Prefer(return_="minimal", count="exact")),
        ("return=headers-only", Prefer(return_="headers-only")),
        ("RETURN=minimal", Prefer(return_="minimal")),
        ('return="minimal"', Prefer(return_="minimal")),
        ("return = minimal ; a=b; c", Prefer(return_="minimal")),
        ("return=minimal, return=representation", Prefer(return_="minimal")),
        ("count=planned", Prefer(count="planned")),
        ("count=estimated", Prefer(count="estimated")),
        ("resolution=merge-duplicates", Prefer(resolution="merge-duplicates")),
        ("resolution=ignore-duplicates", Prefer(resolution="ignore-duplicates")),
        ("missing=default", Prefer(missing="default")),
        ("missing=null", Prefer(missing="null")),
        ("max-affected=0", Prefer(max_affected=0)),
        ("max-affected=10,tx=rollback", Prefer(max_affected=10, tx="rollback")),
        ("tx=commit", Prefer(tx="commit")),
        ("handling=strict,,tx=commit,", Prefer(handling="strict", tx="commit")),
        ("handling=lenient, wait=10, x-own", Prefer(handling="lenient")),
        ("respond-async", Prefer(respond_async=True)),
        ('x="a,b;c", count=exact', Prefer(count="exact")),
    ],
)
def test_prefer_means_its_preferences(header: str | None, prefer: Prefer) -> None:
    """Known preferences are read, the first of each name; unknown ones are ignored."""
    assert parse_prefer(header) == prefer


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ("return=all", "return is representation or minimal or headers-only, not 'all'"),
        ("return", "return is representation or minimal or headers-only, not ''"),
        ("return=Minimal", "return is representation or minimal or headers-only, not 'Minimal'"),
        ("count=yes", "count is exact or planned or estimated, not 'yes'"),
        ("resolution=x", "resolution is merge-duplicates or ignore-duplicates, not 'x'"),
        ("missing=x", "missing is default or null, not 'x'"),
        ("tx=x", "tx is commit or rollback, not 'x'"),
        ("handling=x", "handling is strict or lenient, not 'x'"),
        ("max-affected=-1", "max-affected is a whole number of at most 18 digits, not '-1'"),
        ("max-affected=x", "max-affected is a whole number of at most 18 digits, not 'x'"),
        ("max-affected", "max-affected is a whole number of at most 18 digits, not ''"),
        (
            "wait=1, handling=strict, foo",
            "handling=strict, and unknown: wait, foo (known: return, count, resolution, missing, "
            "tx, handling, max-affected, respond-async)",
        ),
        ("=x", "malformed from character 1 on"),
        ("tx=commit, a b", "malformed from character 11 on"),
        ('a="b', "malformed from character 1 on"),
    ],
)
def test_a_wrong_prefer_is_refused(header: str, detail: str) -> None:
    """The message names the preference and the values that it has."""
    with pytest.raises(BadRequest) as caught:
        parse_prefer(header)
    assert caught.value.detail == f"Prefer: {detail}"
    assert caught.value.problems[0].parameter == "Prefer"


@pytest.mark.parametrize(
    ("header", "applied", "text"),
    [
        (None, ["return", "count"], ""),
        ("return=minimal", [], ""),
        ("return=minimal", ["count", "return"], "return=minimal"),
        (
            "max-affected=0, tx=rollback, return=minimal",
            {"return", "tx", "max-affected"},
            "return=minimal, tx=rollback, max-affected=0",
        ),
    ],
)
def test_applied_preferences_are_echoed(header: str, applied: list[str], text: str) -> None:
    """Only what was both asked for and applied is said to be."""
    assert preference_applied(parse_prefer(header), applied) == text


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        (None, None),
        ("*", "*"),
        (" * ", "*"),
        ('"a"', (EntityTag("a"),)),
        ('""', (EntityTag(""),)),
        ('W/"a"', (EntityTag("a", weak=True),)),
        ('"a", W/"b" ,"c"', (EntityTag("a"), EntityTag("b", weak=True), EntityTag("c"))),
        (', "a",,', (EntityTag("a"),)),
        ('"a,b*"', (EntityTag("a,b*"),)),
    ],
)
def test_entity_tags_are_read(header: str | None, tags: EntityTags | None) -> None:
    """If-Match and If-None-Match have one grammar: a star, or strong and weak tags."""
    assert parse_if_match(header) == tags
    assert parse_if_none_match(header) == tags


@pytest.mark.parametrize(
    "header", ["", ",", "a", '"a', '"a" "b"', 'w/"a"', '*, "a"', '"a", *', '"a b"', '"日"']
)
def test_malformed_entity_tags_are_refused(header: str) -> None:
    """A tag that can't be read must not let a write through."""
    with pytest.raises(BadRequest, match="If-Match: expected"):
        parse_if_match(header)
    with pytest.raises(BadRequest, match="If-None-Match: expected"):
        parse_if_none_match(header)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, True),
        ("", True),
        ("*/*", True),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/*", True),
        ("application/problem+json", True),
        ("text/html, application/xhtml+xml, */*;q=0.8", True),
        ("text/html, application/json;q=0.1", True),
        ("application/json;q=0, */*", False),
        ("*/*;q=0, application/json", True),
        ("application/*;q=0.000, */*", False),
        ("*/*; q=0", False),
        ("application/problem+json;q=0, */*", True),
        ("text/html", False),
        ("text/*, image/png", False),
        ("application/json;q=x", True),
        ("json", True),
        ("text/html, ;;;", False),
    ],
)
def test_accept_is_negotiated(header: str | None, accepted: bool) -> None:
    """The most specific range decides, q=0 excludes, and malformed ranges are passed over."""
    assert wanted_media(header) == ("application/json" if accepted else None)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("abc", "abc"),
        ('"abc"', "abc"),
        (' "8e03978e-40d5-43dd-bc93-6894a57f9324" ', "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("x" * 255, "x" * 255),
    ],
)
def test_an_idempotency_key_is_read(header: str | None, key: str | None) -> None:
    """The quotes that the draft demands may be left out."""
    assert parse_idempotency_key(header) == key


@pytest.mark.parametrize("header", ["", '""', '"', '"a', 'a"', "a b", "é", "x" * 256, "a\x7f"])
def test_a_wrong_idempotency_key_is_refused(header: str) -> None:
    """A key that can't be stored as it came is a 400."""
    with pytest.raises(BadRequest, match="Idempotency-Key: expected 1 to 255 visible ASCII"):
        parse_idempotency_key(header)
