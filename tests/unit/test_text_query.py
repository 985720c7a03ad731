"""The language of ``fts``: what is read, and how it is written for to_tsquery."""

from __future__ import annotations

import pytest

from carboy.plan.text_query import parse_text_query, write_text_query


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("cat", "'cat'"),
        (" cat:* ", "'cat':*"),
        ("cat & dog | !fish", "('cat') & ('dog') | !('fish')"),
        ("!!cat", "'cat'"),
        ("a <-> b <3> c", "'a' <1> 'b' <3> 'c'"),
        ("(a | b) & c", "('a' | 'b') & ('c')"),
        ("'it''s \\\\ a':*", "'it''s \\\\ a':*"),
        ("o\\x", "'o\\\\x'"),
        ("foo-bar", "'foo-bar'"),
    ],
)
def test_words_are_always_quoted(text: str, written: str) -> None:
    """What is written reads back as the same query."""
    query = parse_text_query(text)
    assert parse_text_query(write_text_query(query)) == query
    assert write_text_query(query).replace("(", "").replace(")", "") == written.replace(
        "(", ""
    ).replace(")", "")


@pytest.mark.parametrize("text", ["", "&", "a &", "a b", "(a", "a)", "!", "'a", "''", "a:b", "<->"])
def test_broken_queries_are_explained(text: str) -> None:
    """The message says at which character."""
    with pytest.raises(ValueError, match="at character"):
        parse_text_query(text)
