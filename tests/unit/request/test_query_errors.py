"""What is answered to each query string that breaks the grammar."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from carboy.errors import InvalidQuery
from carboy.request import parse_query

DEEP = 51
HERE = " at character "
AGGREGATES = "one of avg(), count(), max(), min(), sum()"
DIRECTIONS = "asc, desc, nullsfirst or nullslast (a relation's field is relation(field))"
ITEM = "a field, a relation or '*'"
DIGITS = "expected a whole number of at most 18 digits, not"

BAD = [
    # select
    ("select", "", "the value is empty"),
    ("select", " ", f"expected {ITEM}{HERE}2, after ' '"),
    ("select", ",a", f"expected {ITEM}{HERE}1"),
    ("select", "a,", f"expected {ITEM}{HERE}3, after 'a,'"),
    ("select", "a,,b", f"expected {ITEM}{HERE}3, after 'a,'"),
    ("select", "a b,c d;e", f"expected ',' or the end{HERE}8, after 'a b,c d'"),
    ("select", "a)", f"expected ',' or the end{HERE}2, after 'a'"),
    ("select", "*a", f"expected ',' or the end{HERE}2, after '*'"),
    ("select", "a:", f"expected a field or a relation{HERE}3, after 'a:'"),
    ("select", "a:*", f"expected a field or a relation{HERE}3, after 'a:'"),
    ("select", "a:b:c", f"expected ',' or the end{HERE}4, after 'a:b'"),
    ("select", "a::int", f"an unsupported cast ('::type'){HERE}2, after 'a'"),
    ("select", "x:a::int", f"an unsupported cast ('::type'){HERE}4, after 'x:a'"),
    ("select", "a.sum()::int", f"an unsupported cast ('::type'){HERE}8, after 'a.sum()'"),
    ("select", "count()::int", f"an unsupported cast ('::type'){HERE}8, after 'count()'"),
    ("select", "author(username", f"expected ',' or ')'{HERE}16, after 'author(username'"),
    ("select", "author(", f"expected {ITEM}{HERE}8, after 'author('"),
    ("select", "author(a,)", f"expected {ITEM}{HERE}10, after 'author(a,'"),
    ("select", "author(a))", f"expected ',' or the end{HERE}10, after 'author(a)'"),
    ("select", "author(a)b", f"expected ',' or the end{HERE}10, after 'author(a)'"),
    ("select", "author!(a)", f"expected a hint, 'inner' or 'left'{HERE}8, after 'author!'"),
    ("select", "author!x", f"expected '!' or '('{HERE}9, after 'author!x'"),
    ("select", "author!x!y(a)", f"a second hint{HERE}11, after 'author!x!y'"),
    ("select", "t!inner!left(a)", f"'!left' besides '!inner'{HERE}13, after 't!inner!left'"),
    ("select", "...", f"expected a relation{HERE}4, after '...'"),
    ("select", "...a", f"expected '(' (only a relation can be spread){HERE}5, after '...a'"),
    ("select", "..a(b)", f"expected {ITEM}{HERE}1"),
    ("select", "a.", f"expected {AGGREGATES}{HERE}3, after 'a.'"),
    ("select", "a.median()", f"expected {AGGREGATES}{HERE}3, after 'a.'"),
    ("select", "a.sum", f"expected '()'{HERE}6, after 'a.sum'"),
    ("select", "a.sum(b)", f"expected '()'{HERE}6, after 'a.sum'"),
    ("select", "a->", f"expected a JSON key or index{HERE}4, after 'a->'"),
    ("select", "a->>", f"expected a JSON key or index{HERE}5, after 'a->>'"),
    ("select", "a->>b->c", f"a step after '->>', which gives text and must be the last,{HERE}6, "
                           "after 'a->>b'"),
    ("select", "a->1234567890", f"a JSON index of more than 9 digits{HERE}4, after 'a->'"),
    ("select", "a->b(c)", f"expected ',' or the end{HERE}5, after 'a->b'"),
    ("select", '"a', rf'an open quote, or another escape than \" and \\ in it,{HERE}1'),
    ("select", r'"a\n"', rf'an open quote, or another escape than \" and \\ in it,{HERE}1'),
    ("select", '""', f"an empty name{HERE}1"),
    ("select", "a;drop table", f"expected ',' or the end{HERE}2, after 'a'"),
    ("select", "t(" * DEEP + ")" * DEEP,
     f"relations nested more than 50 deep{HERE}102, after '…{'(t' * 12}'"),
    # order
    ("order", "", "the value is empty"),
    ("order", "a,", f"expected a field{HERE}3, after 'a,'"),
    ("order", "a.", f"expected {DIRECTIONS}{HERE}3, after 'a.'"),
    ("order", "a.down", f"expected {DIRECTIONS}{HERE}3, after 'a.'"),
    ("order", "author.username", f"expected {DIRECTIONS}{HERE}8, after 'author.'"),
    ("order", "a.desc.asc", f"expected nullsfirst or nullslast{HERE}8, after 'a.desc.'"),
    ("order", "a.nullslast.desc", f"expected '.', ',' or the end{HERE}12, after 'a.nullslast'"),
    ("order", "a desc,", f"expected a field{HERE}8, after 'a desc,'"),
    ("order", "t(a", f"expected ')'{HERE}4, after 't(a'"),
    ("order", "t()", f"expected a field{HERE}3, after 't('"),
    ("order", "t(a.desc)", f"expected ')'{HERE}4, after 't(a'"),
    ("order", "t(" * DEEP + "a",
     f"relations nested more than 50 deep{HERE}103, after '…{'t(' * 12}'"),
    ("t.order", "a,,b", f"expected a field{HERE}3, after 'a,'"),
    # numbers
    ("limit", "", f"{DIGITS} ''"),
    ("limit", "-1", f"{DIGITS} '-1'"),
    ("limit", "+1", f"{DIGITS} '+1'"),
    ("limit", "1.5", f"{DIGITS} '1.5'"),
    ("limit", "1_0", f"{DIGITS} '1_0'"),
    ("limit", "٣", f"{DIGITS} '٣'"),
    ("limit", "1000000000000000000", f"{DIGITS} '1000000000000000000'"),
    ("offset", "x", f"{DIGITS} 'x'"),
    ("t.limit", "all", f"{DIGITS} 'all'"),
    ("page", "0", "must be 1 or more"),
    ("per_page", "0", "must be 1 or more"),
    ("page", " 1", f"{DIGITS} ' 1'"),
    # other single words
    ("after", "", "the value is empty"),
    ("on_conflict", "", "the value is empty"),
    ("on_conflict", "a,", f"expected a field{HERE}3, after 'a,'"),
    ("on_conflict", "a.b", f"expected ',' or the end{HERE}2, after 'a'"),
    # conditions
    ("id", "", "the value is empty; write id=eq.value"),
    ("id", "5", "'5' has no operator; write id=eq.5"),
    ("id", "-5.5", "'-5.5' has no operator; write id=eq.-5.5"),
    ("id", "cat", "'cat' has no operator; write id=eq.cat"),
    ("id", "EQ.5", f"unknown operator 'EQ' (did you mean eq or neq?){HERE}1"),
    ("id", "ne.5", f"unknown operator 'ne' (did you mean neq?){HERE}1"),
    ("id", "not.not.eq.5", "unknown operator 'not'; for equality write id=eq.not.not.eq.5"),
    ("mail", "jo.do@x.org", "unknown operator 'jo'; for equality write mail=eq.jo.do@x.org"),
    ("id", "eq", f"expected '.' and a value{HERE}3, after 'eq'"),
    ("id", "not.eq", f"expected '.' and a value{HERE}7, after 'not.eq'"),
    ("id", "in(1,2)", f"expected '.' and a value{HERE}3, after 'in'"),
    ("id", "in.1,2", f"expected '('{HERE}4, after 'in.'"),
    ("id", "in.(1,2", f"expected ',' or ')'{HERE}8, after 'in.(1,2'"),
    ("id", "in.(1)x", f"expected the end{HERE}7, after 'in.(1)'"),
    ("id", 'in.("a"b)', f"expected ',' or ')'{HERE}8, after 'in.(\"a\"'"),
    ("id", 'in.("a)', rf'an open quote, or another escape than \" and \\ in it,{HERE}5, '
                      "after 'in.('"),
    ("id", "is.5", f"expected one of null, not_null, true, false, unknown{HERE}4, after 'is.'"),
    ("id", "is.", f"expected one of null, not_null, true, false, unknown{HERE}4, after 'is.'"),
    ("id", "neq(any).{1}", f"neq takes nothing in parentheses before its '.',{HERE}1"),
    ("id", "eq(some).{1}", f"eq(...) takes any or all, not 'some',{HERE}1"),
    ("id", "eq().{1}", f"eq(...) takes any or all, not '',{HERE}1"),
    ("id", "eq(any).1", f"expected '{{'{HERE}9, after 'eq(any).'"),
    ("id", "eq(any).{1", f"expected ',' or '}}'{HERE}11, after 'eq(any).{{1'"),
    ("id", "fts(a b).x", f"'a b' is no language for fts,{HERE}1"),
    ("id", "fts(a';drop).x", f"'a';drop' is no language for fts,{HERE}1"),
    # trees
    ("or", "", f"expected '('{HERE}1"),
    ("or", "a.eq.1", f"expected '('{HERE}1"),
    ("or", "()", f"expected a condition such as id.eq.5{HERE}2, after '('"),
    ("or", "(a.eq.1", f"expected ',' or ')'{HERE}8, after '(a.eq.1'"),
    ("or", "(a.eq.1,)", f"expected a condition such as id.eq.5{HERE}9, after '(a.eq.1,'"),
    ("or", "(a.eq.1)x", f"expected the end{HERE}9, after '(a.eq.1)'"),
    ("or", "(a.eq.f(x))", f"expected the end{HERE}11, after '(a.eq.f(x)'"),
    ("or", "(a)", f"expected '.' and an operator{HERE}3, after '(a'"),
    ("or", "(a.eq)", f"expected '.' and a value{HERE}6, after '(a.eq'"),
    ("or", "(a.eqq.1)", f"unknown operator 'eqq' (did you mean eq or neq?){HERE}4, after '(a.'"),
    ("or", '(a.eq."x"y)', f"expected ',' or ')'{HERE}10, after '(a.eq.\"x\"'"),
    ("or", "(a.cs.{1,2)", f"expected '}}' (or the whole value in quotes){HERE}12, "
                          "after '(a.cs.{1,2)'"),
    ("or", "(a.ov.[1,2),b.eq.1)", f"expected ']' (or the whole value in quotes){HERE}20, "
                                  "after '(a.ov.[1,2),b.eq.1)'"),
    ("or", "(not.a.eq.1)", "'not.' belongs before an operator, 'and(' or 'or(': misplaced"
                           f"{HERE}2, after '('"),
    ("or", "(a.is.maybe)", "expected one of null, not_null, true, false, unknown"
                           f"{HERE}7, after '(a.is.'"),
    ("and", "(or())", f"expected a condition such as id.eq.5{HERE}5, after '(or('"),
    ("not.and", "(a.eq.1,or(b.eq.2)", f"expected ',' or ')'{HERE}19, after '(a.eq.1,or(b.eq.2)'"),
    ("t.not.or", "(x", f"expected '.' and an operator{HERE}3, after '(x'"),
    ("or", "(and" * DEEP + "(a.eq.1)" + ")" * DEEP,
     f"conditions nested more than 50 deep{HERE}201, after '…{'(and' * 6}'"),
    # keys
    ("a.", "eq.1", f"expected a name{HERE}3, after 'a.'"),
    (".a", "eq.1", f"expected a name{HERE}1"),
    ("a..b", "eq.1", f"expected a name{HERE}3, after 'a.'"),
    ("a ", "eq.1", f"expected '.', '->' or '='{HERE}2, after 'a'"),
    ("a->b.c", "eq.1", f"expected '.', '->' or '='{HERE}5, after 'a->b'"),
    ("a->", "eq.1", f"expected a JSON key or index{HERE}4, after 'a->'"),
    ("a;b", "eq.1", f"expected '.', '->' or '='{HERE}2, after 'a'"),
    ("or(a.eq.1)", "", f"expected '.', '->' or '='{HERE}3, after 'or'"),
    ('"a', "eq.1", rf'an open quote, or another escape than \" and \\ in it,{HERE}1'),
    ('t.""', "eq.1", f"an empty name{HERE}3, after 't.'"),
    ("'a'", "eq.1", f"expected a name{HERE}1"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "detail"), BAD)
def test_a_broken_parameter_is_named_and_explained(key: str, value: str, detail: str) -> None:
    """The message says what was expected, and at which character of the decoded text."""
    with pytest.raises(InvalidQuery) as caught:
        parse_query(f"{quote(key)}={quote(value)}")
    assert caught.value.detail == f"{key}: {detail}"
    assert [problem.parameter for problem in caught.value.problems] == [key]


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        ("=eq.1", "a parameter without a name: '=eq.1'"),
        ("=\ud800", r"a parameter without a name: '=\ud800'"),
        ("id", "id: no '=' and value after the name"),
        ("select&limit=1", "select: no '=' and value after the name"),
        ("select=a&select=b", "select: given more than once"),
        ("order=a&order=b", "order: given more than once"),
        ("limit=1&limit=1", "limit: given more than once"),
        ("offset=1&offset=1", "offset: given more than once"),
        ("page=1&page=1", "page: given more than once"),
        ("q=a&q=b", "q: given more than once"),
        ("t.order=a&t.order=b", "t.order: given more than once"),
        ("t.limit=1&%74.limit=1", "t.limit: given more than once"),
        ("a=eq.%ff", "a: not valid percent-encoded UTF-8"),
        ("a=eq.%c3", "a: not valid percent-encoded UTF-8"),
        ("a=eq.%ed%a0%80", "a: not valid percent-encoded UTF-8"),
        ("a=eq.%c0%80", "a: not valid percent-encoded UTF-8"),
        ("%ff=eq.1", "%ff: not valid percent-encoded UTF-8"),
        (b"a=eq.\xff", "a: not valid percent-encoded UTF-8"),
        ("a=eq.\ud800", "a: not valid percent-encoded UTF-8"),
        ("a=eq.日", "a: not valid percent-encoded UTF-8"),
        ("a=eq.%00", "a: the NUL character is not allowed"),
        ("a=eq.x\0", "a: the NUL character is not allowed"),
        ("a%00=eq.1", "a%00: the NUL character is not allowed"),
        ("q=%00", "q: the NUL character is not allowed"),
    ],
)
def test_a_broken_query_string_is_explained(raw: str | bytes, detail: str) -> None:
    """Encoding, missing names and values, and repeated words are errors of their own."""
    with pytest.raises(InvalidQuery) as caught:
        parse_query(raw)
    assert caught.value.detail == detail


@pytest.mark.parametrize("key", ["select", "order", "or", "id", "on_conflict", "x" * 9000])
def test_a_message_does_not_repeat_a_long_input(key: str) -> None:
    """However long the input, the message stays short."""
    with pytest.raises(InvalidQuery) as caught:
        parse_query(f"{key}={'(' * 9000}")
    assert len(caught.value.detail) < 400
