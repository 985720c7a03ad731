"""Whatever a client sends, it is read or refused with an ApiError; nothing else is ever raised."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from carboy.errors import ApiError
from carboy.request import (
    check_content_type,
    join_key,
    parse_idempotency_key,
    parse_if_match,
    parse_json,
    parse_prefer,
    parse_query,
    parse_rows,
    split_key,
    wanted_media,
)
from carboy.request.ast import Condition

TOKENS = [
    "select", "order", "limit", "offset", "or", "and", "not", "not.", "page", "on_conflict",
    "a", "b c", "tags", "count", "sum", "eq", "in", "is", "null", "like", "any", "fts", "desc",
    "nullslast", "inner", "1", "-1", "99999999999999999999", "=", "&", ".", ",", "(", ")", "()",
    "{", "}", "[", "]", ":", "::", "!", "*", "...", "->", "->>", '"', "\\", "+", " ", "%", "%22",
    "%00", "%ff", "%C3%A9", "é", "\0", "\ud800", "日",
]  # fmt: skip
QUERIES = st.lists(st.sampled_from(TOKENS), max_size=40).map("".join)
TEXTS = st.text(st.characters(), max_size=30)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
HEADER_PARTS = ["return", "tx", "=", "commit", ",", ";", '"', "\\", " ", "a", "W/", "*", "/",
                "q", "0", "json", "application", "+", "é"]  # fmt: skip


@given(QUERIES | TEXTS | st.binary(max_size=60))
def test_any_query_string_is_read_or_refused(raw: str | bytes) -> None:
    """Tokens of the grammar in any order, text and bytes raise nothing but ApiError."""
    refusal = None
    try:
        parse_query(raw)
    except ApiError as error:
        refusal = error
    if refusal is not None:
        assert refusal.status == 400
        assert refusal.detail.encode()
        assert [str(problem.parameter).encode() for problem in refusal.problems]


@given(NAMES, NAMES)
def test_any_name_and_value_can_be_written(name: str, value: str) -> None:
    """A quoted name and a quoted value come back as they were, whatever is in them."""
    escaped = [text.replace("\\", "\\\\").replace('"', '\\"') for text in (name, value)]
    condition = '"{}".eq."{}"'.format(*escaped)
    (scoped,) = parse_query(f"and={quote(f'({condition})')}").filters[0:1]
    child = scoped.filter.children[0] if not isinstance(scoped.filter, Condition) else None
    assert isinstance(child, Condition)
    assert (child.ref.name, child.value) == (name, value)


@given(st.binary(max_size=60) | st.text(st.sampled_from('[]{}",:\\u0d8 1eE+-.NaInf\0'))
       .map(str.encode))  # fmt: skip
def test_any_body_is_read_or_refused(raw: bytes) -> None:
    """Bytes and the characters of JSON in any order raise nothing but ApiError."""
    with suppress(ApiError):
        parse_rows(parse_json(raw, max_depth=4))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | NAMES,
        lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
        max_leaves=20,
    )
)
def test_any_storable_json_is_read_as_it_was_written(value: object) -> None:
    """What json writes, escaped or not, is what comes back."""
    for ensure_ascii in (True, False):
        raw = json.dumps(value, ensure_ascii=ensure_ascii).encode()
        assert parse_json(raw, max_depth=100) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_decimals_stay_exact(number: Decimal) -> None:
    """No number with a fraction passes through a float."""
    text = f"{number:f}"
    if "." in text and abs(number.adjusted()) <= 400:
        assert parse_json(text.encode(), max_depth=1) == number


@given(st.lists(st.sampled_from(HEADER_PARTS)).map("".join) | TEXTS)
def test_any_header_is_read_or_refused(header: str) -> None:
    """Every header's reader raises nothing but ApiError."""
    wanted_media(header)
    for read in (parse_prefer, parse_if_match, parse_idempotency_key, check_content_type):
        with suppress(ApiError):
            read(header)


@given(st.lists(st.just("") | NAMES, min_size=1))
def test_any_key_can_be_written(parts: list[str]) -> None:
    """A key joined from any parts is split into the same ones."""
    assert split_key(join_key(parts)) == tuple(parts)


@given(TEXTS)
def test_any_key_is_split_or_refused(text: str) -> None:
    """A path's key raises nothing but ApiError."""
    with suppress(ApiError):
        split_key(text)
