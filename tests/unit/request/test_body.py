"""What a body means, and which bodies are refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec import UNSET

from carboy.errors import InvalidBody, UnsupportedMediaType
from carboy.request import check_content_type, parse_json, parse_rows


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"null", None),
        (b" [] ", []),
        (b'{"a": 1, "b": [true, "x"]}', {"a": 1, "b": [True, "x"]}),
        (b"0.1", Decimal("0.1")),
        (b"1e2", Decimal("1e2")),
        (b"1e-400", Decimal("1e-400")),
        (b"12345678901234567890", 12345678901234567890),
        (rb'"\ud83c\udf7e"', "🍾"),
        (rb'"\\ud800 \\u0000"', r"\ud800 \u0000"),
        ('"größe"'.encode(), "größe"),
        (b"[[[1]]]", [[[1]]]),
        (b'["[[[[", "]"]', ["[[[[", "]"]),
        (b"[[],[],[],[]]", [[], [], [], []]),
    ],
)
def test_json_is_read(raw: bytes, value: object) -> None:
    """Numbers with a fraction stay exact, and everything else is as json has it."""
    parsed = parse_json(raw, max_depth=3)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b"", "the body is empty; JSON is expected"),
        (b" \n", "the body is empty; JSON is expected"),
        (b"{", "the body is not valid JSON: expecting property name enclosed in double quotes "
               "at line 1, column 2"),
        (b"[1,]", "the body is not valid JSON: expecting value at line 1, column 4"),
        (b"[1]\n[2]", "the body is not valid JSON: extra data at line 2, column 1"),
        (b"{'a': 1}", "the body is not valid JSON: expecting property name enclosed in double "
                      "quotes at line 1, column 2"),
        (b'"\0"', "the body is not valid JSON: invalid control character at line 1, column 2"),
        (b"\xef\xbb\xbf{}", "the body starts with a byte order mark; JSON has none (RFC 8259)"),
        (b'"\xff"', "the body is not valid UTF-8 at byte 1"),
        (b'"\xed\xa0\x80"', "the body is not valid UTF-8 at byte 1"),
        ('"a"'.encode("utf-16"), "the body is not valid UTF-8 at byte 0"),
        (b"NaN", "NaN is not JSON; write null"),
        (b"[Infinity]", "Infinity is not JSON; write null"),
        (b"-Infinity", "-Infinity is not JSON; write null"),
        (b"1e401", "the number 1e401 is out of range"),
        (b"1e-401", "the number 1e-401 is out of range"),
        (b"1e999999999", "the number 1e999999999 is out of range"),
        (b"1e" + b"9" * 30, f"the number 1e{'9' * 30} is out of range"),
        (b"9" * 5000, "the body has a whole number with too many digits"),
        (b"[[[[1]]]]", "the body is nested more than 3 deep"),
        (b'{"a":{"a":{"a":{}}}}', "the body is nested more than 3 deep"),
        (b"[" * 100_000, "the body is nested more than 3 deep"),
        (b'{"a":' * 100_000, "the body is nested more than 3 deep"),
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused(raw: bytes, detail: str) -> None:
    """The message says what is wrong, and where the parser knows it."""
    with pytest.raises(InvalidBody) as caught:
        parse_json(raw, max_depth=3)
    assert caught.value.detail == detail


NUL_OR_HALF = "has a NUL character or half a surrogate pair"


@pytest.mark.parametrize(
    ("raw", "problems"),
    [
        (rb'{"a": 1, "a": 2}', [("/a", UNSET, "the key is given twice")]),
        (rb'{"a": {"b": 1, "b": 2}, "a": 2}', [("/a", UNSET, "the key is given twice")]),
        (rb'[{}, {"a~b/c": 1, "a~b/c": 1}]', [("/1/a~0b~1c", 1, "the key is given twice")]),
        (rb'{"0": {"a": 1, "a": 2}}', [("/0/a", UNSET, "the key is given twice")]),
        (rb'"\u0000"', [("", UNSET, f"the text {NUL_OR_HALF}")]),
        (rb'{"a": "x\ud800"}', [("/a", UNSET, f"the text {NUL_OR_HALF}")]),
        (rb'{"a": "\udc00\ud800"}', [("/a", UNSET, f"the text {NUL_OR_HALF}")]),
        (rb'{"a": {"\uDFFF": 1}}', [("/a", UNSET, f"a key {NUL_OR_HALF}")]),
        (rb'{"\u0000": 1}', [("", UNSET, f"a key {NUL_OR_HALF}")]),
        (
            rb'[{"a": ["\u0000"]}, {}, {"b": "\ud800"}]',
            [
                ("/0/a/0", 0, f"the text {NUL_OR_HALF}"),
                ("/2/b", 2, f"the text {NUL_OR_HALF}"),
            ],
        ),
        (
            rb'{"\ud800": "\u0000"}',
            [
                ("", UNSET, f"a key {NUL_OR_HALF}"),
                (r"/\ud800", UNSET, f"the text {NUL_OR_HALF}"),
            ],
        ),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(
    raw: bytes, problems: list[tuple[str, object, str]]
) -> None:
    """Each fault has its pointer, in an array also its row, and all can be answered as UTF-8."""
    with pytest.raises(InvalidBody) as caught:
        parse_json(raw, max_depth=5)
    found = [(p.pointer, p.row, p.detail.split(": ", 1)[1]) for p in caught.value.problems]
    assert found == problems
    assert caught.value.detail == caught.value.problems[0].detail
    assert caught.value.detail.encode()


def test_the_number_of_faults_told_is_bounded() -> None:
    """A hostile body can't make an answer larger than itself."""
    with pytest.raises(InvalidBody) as caught:
        parse_json(b"[" + rb'"\u0000",' * 1000 + b"1]", max_depth=5)
    assert len(caught.value.problems) == 20
    with pytest.raises(InvalidBody) as caught:
        parse_rows([1] * 1000)
    assert len(caught.value.problems) == 20


def test_an_object_is_one_row_and_an_array_is_many() -> None:
    """Rows come as a list, with the word whether the body had one."""
    assert parse_rows({"a": 1}) == ([{"a": 1}], False)
    assert parse_rows([{"a": 1}, {}]) == ([{"a": 1}, {}], True)
    assert parse_rows([]) == ([], True)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), (True, "a boolean"), (1, "a number"), (Decimal(1), "a number"),
     ("x", "a string")],
)  # fmt: skip
def test_a_body_without_rows_is_refused(value: object, kind: str) -> None:
    """A lone value is no row, and neither is one within an array."""
    with pytest.raises(InvalidBody) as caught:
        parse_rows(value)
    expected = f"the body must be an object or an array of objects, not {kind}"
    assert caught.value.detail == expected
    with pytest.raises(InvalidBody) as caught:
        parse_rows([{}, value, {}, [value]])
    assert [(p.row, p.pointer, p.detail) for p in caught.value.problems] == [
        (1, "/1", f"row 1 must be an object, not {kind}"),
        (3, "/3", "row 3 must be an object, not an array"),
    ]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/vnd.api+json",
        "application/merge-patch+json; profile=x",
    ],
)
def test_json_content_types_are_taken(content_type: str) -> None:
    """JSON may have another name that ends in +json, and parameters."""
    check_content_type(content_type)


@pytest.mark.parametrize(
    ("content_type", "detail"),
    [
        (None, "Content-Type must be application/json; it is missing"),
        ("", "Content-Type must be application/json; it is missing"),
        ("text/json", "Content-Type must be application/json; it is 'text/json'"),
        ("text/plain", "Content-Type must be application/json; it is 'text/plain'"),
        ("application/jsonx", "Content-Type must be application/json; it is 'application/jsonx'"),
        ("application/+json", "Content-Type must be application/json; it is 'application/+json'"),
        ("application/json; charset=latin-1", "JSON is always UTF-8; charset is 'latin-1'"),
    ],
)
def test_other_content_types_are_refused(content_type: str | None, detail: str) -> None:
    """Forms, text and other charsets are a 415."""
    with pytest.raises(UnsupportedMediaType) as caught:
        check_content_type(content_type)
    assert caught.value.detail == detail
