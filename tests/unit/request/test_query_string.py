"""What each well-formed query string means."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from carboy.request import parse_order, parse_query, parse_select
from carboy.request.ast import (
    Condition,
    FieldRef,
    Filter,
    Logic,
    OrderTerm,
    Path,
    Query,
    ScopedFilter,
    SelectAll,
    SelectEmbed,
    SelectField,
    SelectItem,
)


def ref(name: str, *steps: str | int, as_text: bool = False) -> FieldRef:
    """A field with its JSON steps."""
    return FieldRef(name, steps, as_text)


def field(name: str, *steps: str | int, alias: str | None = None) -> SelectField:
    """A plain field to select."""
    return SelectField(ref(name, *steps), alias)


A, B = field("a"), field("b")

SELECTS: list[tuple[str, tuple[SelectItem, ...]]] = [
    ("*", (SelectAll(),)),
    ("a", (A,)),
    ("a,b", (A, B)),
    ("a , b", (A, B)),
    ("*,a", (SelectAll(), A)),
    ("x:a", (field("a", alias="x"),)),
    ('"x y":a', (field("a", alias="x y"),)),
    ("first name", (field("first name"),)),
    ("first-name", (field("first-name"),)),
    ('"a,b(c)"', (field("a,b(c)"),)),
    (r'"say \"hi\" \\"', (field('say "hi" \\'),)),
    ("größe,имя,名前,नाम", (field("größe"), field("имя"), field("名前"), field("नाम"))),
    ("_a$1", (field("_a$1"),)),
    ("data->a", (field("data", "a"),)),
    ("data->a->0", (field("data", "a", 0),)),
    ("data->-1", (field("data", -1),)),
    ('data->"0"', (field("data", "0"),)),
    ("data->a-b", (field("data", "a-b"),)),
    ("data->1a", (field("data", "1a"),)),
    ("data->a->>b", (SelectField(ref("data", "a", "b", as_text=True)),)),
    ("x:data->>b", (SelectField(ref("data", "b", as_text=True), "x"),)),
    ("count()", (SelectField(None, None, "count"),)),
    ("n:count()", (SelectField(None, "n", "count"),)),
    ("a.count()", (SelectField(ref("a"), None, "count"),)),
    ("a.sum(),b.avg()", (SelectField(ref("a"), None, "sum"), SelectField(ref("b"), None, "avg"))),
    ("x:a.min(),b.max()", (SelectField(ref("a"), "x", "min"), SelectField(ref("b"), None, "max"))),
    ("data->a.sum()", (SelectField(ref("data", "a"), None, "sum"),)),
    ("data->>a.max()", (SelectField(ref("data", "a", as_text=True), None, "max"),)),
    ("count", (field("count"),)),
    ("count(a)", (SelectEmbed("count", (A,)),)),
    ('"count"()', (SelectEmbed("count", ()),)),
    ("t()", (SelectEmbed("t", ()),)),
    ("t( )", (SelectEmbed("t", ()),)),
    ("t(*)", (SelectEmbed("t", (SelectAll(),)),)),
    ("t(a,b)", (SelectEmbed("t", (A, B)),)),
    ("t( a , b )", (SelectEmbed("t", (A, B)),)),
    ("x:t(a)", (SelectEmbed("t", (A,), "x"),)),
    ("t!h(a)", (SelectEmbed("t", (A,), None, "h"),)),
    ("t!inner(a)", (SelectEmbed("t", (A,), inner=True),)),
    ("t!left(a)", (SelectEmbed("t", (A,)),)),
    ("t!h!inner(a)", (SelectEmbed("t", (A,), None, "h", inner=True),)),
    ("t!inner!h(a)", (SelectEmbed("t", (A,), None, "h", inner=True),)),
    ('t!"inner"(a)', (SelectEmbed("t", (A,), None, "inner"),)),
    ("x:t!h!left(a)", (SelectEmbed("t", (A,), "x", "h"),)),
    ("...t(a)", (SelectEmbed("t", (A,), spread=True),)),
    ("...t!inner(x:a)", (SelectEmbed("t", (field("a", alias="x"),), inner=True, spread=True),)),
    ("t(u(a),...v(b))", (SelectEmbed("t", (SelectEmbed("u", (A,)),
                                           SelectEmbed("v", (B,), spread=True))),)),
    ('"my table"(a)', (SelectEmbed("my table", (A,)),)),
    ("t(count(),a.sum())", (SelectEmbed("t", (SelectField(None, None, "count"),
                                              SelectField(ref("a"), None, "sum"))),)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "items"), SELECTS)
def test_a_select_means_its_items(text: str, items: tuple[SelectItem, ...]) -> None:
    """A select gives the same items alone and, percent-encoded, in a query string."""
    assert parse_select(text) == items
    assert parse_query(f"select={quote(text)}") == Query(select=items)


ORDERS = [
    ("a", (OrderTerm(ref("a")),)),
    ("a.asc", (OrderTerm(ref("a")),)),
    ("a.desc", (OrderTerm(ref("a"), descending=True),)),
    ("a.nullsfirst", (OrderTerm(ref("a"), nulls="first"),)),
    ("a.desc.nullslast", (OrderTerm(ref("a"), descending=True, nulls="last"),)),
    ("a.asc.nullsfirst , b", (OrderTerm(ref("a"), nulls="first"), OrderTerm(ref("b")))),
    ('"desc".desc', (OrderTerm(ref("desc"), descending=True),)),
    ("desc", (OrderTerm(ref("desc")),)),
    ("data->a->>b.desc", (OrderTerm(ref("data", "a", "b", as_text=True), descending=True),)),
    ("data->0", (OrderTerm(ref("data", 0)),)),
    ("t(a)", (OrderTerm(ref("a"), ("t",)),)),
    ("t(u(a)).desc.nullsfirst", (OrderTerm(ref("a"), ("t", "u"), True, "first"),)),
    ('"my table"("my field")', (OrderTerm(ref("my field"), ("my table",)),)),
    ("t(data->>a)", (OrderTerm(ref("data", "a", as_text=True), ("t",)),)),
]


@pytest.mark.parametrize(("text", "terms"), ORDERS)
def test_an_order_means_its_terms(text: str, terms: tuple[OrderTerm, ...]) -> None:
    """An order gives the same terms alone, in a query string, and for an embed."""
    assert parse_order(text) == terms
    assert parse_query(f"order={quote(text)}") == Query(orders=(((), terms),))
    assert parse_query(f"t.u.order={quote(text)}") == Query(orders=((("t", "u"), terms),))


CONDITIONS = [
    *[(f"{op}.1", Condition(ref("a"), op, "1")) for op in (
        "eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "isdistinct",
        "cs", "cd", "ov", "fts", "plfts", "phfts", "wfts",
    )],
    ("eq.", Condition(ref("a"), "eq", "")),
    ("eq.a.b", Condition(ref("a"), "eq", "a.b")),
    ('eq."x"', Condition(ref("a"), "eq", '"x"')),
    ("eq.eq.1", Condition(ref("a"), "eq", "eq.1")),
    ("eq. 1 ", Condition(ref("a"), "eq", " 1 ")),
    ("not.eq.1", Condition(ref("a"), "eq", "1", negated=True)),
    ("eq.not.eq.1", Condition(ref("a"), "eq", "not.eq.1")),
    ("like.*x%", Condition(ref("a"), "like", "*x%")),
    ("is.null", Condition(ref("a"), "is", "null")),
    ("is.NULL", Condition(ref("a"), "is", "null")),
    ("not.is.null", Condition(ref("a"), "is", "null", negated=True)),
    ("is.not_null", Condition(ref("a"), "is", "not_null")),
    ("is.true", Condition(ref("a"), "is", "true")),
    ("is.false", Condition(ref("a"), "is", "false")),
    ("is.unknown", Condition(ref("a"), "is", "unknown")),
    ("in.()", Condition(ref("a"), "in", ())),
    ('in.("")', Condition(ref("a"), "in", ("",))),
    ("in.(1)", Condition(ref("a"), "in", ("1",))),
    ("in.(1,2)", Condition(ref("a"), "in", ("1", "2"))),
    ('in.(a,b,"c,d",)', Condition(ref("a"), "in", ("a", "b", "c,d", ""))),
    ('in.("a", "b" ,c)', Condition(ref("a"), "in", ("a", "b", "c"))),
    (r'in.("a\"b\\c)",d"e)', Condition(ref("a"), "in", (r'a"b\c)', 'd"e'))),
    ("not.in.(1,2)", Condition(ref("a"), "in", ("1", "2"), negated=True)),
    ("like(any).{a*,b*}", Condition(ref("a"), "like", ("a*", "b*"), quantifier="any")),
    ("ilike(all).{*a*,*b*}", Condition(ref("a"), "ilike", ("*a*", "*b*"), quantifier="all")),
    ('eq(any).{1,"2,}"}', Condition(ref("a"), "eq", ("1", "2,}"), quantifier="any")),
    ("not.gt(all).{}", Condition(ref("a"), "gt", (), negated=True, quantifier="all")),
    ("fts(english).cat", Condition(ref("a"), "fts", "cat", config="english")),
    ("not.wfts(de).a or b", Condition(ref("a"), "wfts", "a or b", negated=True, config="de")),
    ("cs.{1,2}", Condition(ref("a"), "cs", "{1,2}")),
    ('cd.{"a":[1,2]}', Condition(ref("a"), "cd", '{"a":[1,2]}')),
    ("ov.[1,2)", Condition(ref("a"), "ov", "[1,2)")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "condition"), CONDITIONS)
def test_a_condition_means_its_operator_and_value(text: str, condition: Condition) -> None:
    """A condition is the same in bytes and in text."""
    expected = Query(filters=(ScopedFilter((), condition, "a"),))
    assert parse_query(f"a={quote(text)}") == expected
    assert parse_query(f"a={quote(text)}".encode()) == expected


def eq(name: str, value: str) -> Condition:
    """The commonest of conditions."""
    return Condition(ref(name), "eq", value)


TREES: list[tuple[str, tuple[Filter, ...]]] = [
    ("(a.eq.1)", (eq("a", "1"),)),
    ("(a.eq.1,b.eq.2)", (eq("a", "1"), eq("b", "2"))),
    ("( a.eq.1, b.eq.2)", (eq("a", "1"), eq("b", "2"))),
    ("(a.eq.,b.eq.)", (eq("a", ""), eq("b", ""))),
    ("(a.not.lt.1)", (Condition(ref("a"), "lt", "1", negated=True),)),
    ('(a.eq."quo,t)ed" ,b.eq.2)', (eq("a", "quo,t)ed"), eq("b", "2"))),
    (r'(a.eq."\"\\")', (eq("a", '"\\'),)),
    ('(a.eq.5"x")', (eq("a", '5"x"'),)),
    ("(a.eq.1.5)", (eq("a", "1.5"),)),
    ("(and.eq.1)", (eq("and", "1"),)),
    ('("not".eq.1)', (eq("not", "1"),)),
    ('("a.b".eq.1)', (eq("a.b", "1"),)),
    ("(tags.cs.{a,b},b.eq.2)", (Condition(ref("tags"), "cs", "{a,b}"), eq("b", "2"))),
    ('(d.cs.{"k":[1,{"x":"}),"}]})', (Condition(ref("d"), "cs", '{"k":[1,{"x":"}),"}]}'),)),
    ("(d.ov.[1,2],b.eq.2)", (Condition(ref("d"), "ov", "[1,2]"), eq("b", "2"))),
    ('(d.ov."[1,2)")', (Condition(ref("d"), "ov", "[1,2)"),)),
    ("(a.eq.x}y])", (eq("a", "x}y]"),)),
    ("(data->>x.in.(1,2),b.eq.2)",
     (Condition(ref("data", "x", as_text=True), "in", ("1", "2")), eq("b", "2"))),
    ("(data->0.eq.1)", (Condition(ref("data", 0), "eq", "1"),)),
    ("(a.like(any).{x*,y*},b.eq.2)",
     (Condition(ref("a"), "like", ("x*", "y*"), quantifier="any"), eq("b", "2"))),
    ("(a.fts(english).cat)", (Condition(ref("a"), "fts", "cat", config="english"),)),
    ("(a.is.null,b.not.is.NULL)",
     (Condition(ref("a"), "is", "null"), Condition(ref("b"), "is", "null", negated=True))),
    ("(and(a.eq.1,b.eq.2))", (Logic("and", (eq("a", "1"), eq("b", "2"))),)),
    ("(not.or(a.eq.1,not.and(b.eq.2)),a.eq.3)",
     (Logic("or", (eq("a", "1"), Logic("and", (eq("b", "2"),), negated=True)), negated=True),
      eq("a", "3"))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "children"), TREES)
@pytest.mark.parametrize(
    ("key", "path", "negated"),
    [
        ("or", (), False),
        ("not.or", (), True),
        ("t.or", ("t",), False),
        ("t.u.not.or", ("t", "u"), True),
        ('"not".or', ("not",), False),
    ],
)
def test_a_tree_means_its_conditions(
    key: str, path: Path, negated: bool, text: str, children: tuple[Filter, ...]
) -> None:
    """A tree means the same at the root and for an embed."""
    expected = ScopedFilter(path, Logic("or", children, negated), key)
    assert parse_query(f"{key}={quote(text)}") == Query(filters=(expected,))
    expected = ScopedFilter(path, Logic("and", children, negated), key.replace("or", "and"))
    assert parse_query(f"{key}={quote(text)}".replace("or=", "and=", 1)).filters == (expected,)


@pytest.mark.parametrize(
    ("key", "path", "name"),
    [
        ("a", (), ref("a")),
        ("first name", (), ref("first name")),
        ("größe", (), ref("größe")),
        ('"order"', (), ref("order")),
        ('"select"', (), ref("select")),
        ('"a.b"', (), ref("a.b")),
        ("not", (), ref("not")),
        ("t.a", ("t",), ref("a")),
        ("t.u.a", ("t", "u"), ref("a")),
        ("t.select", ("t",), ref("select")),
        ('t."limit"', ("t",), ref("limit")),
        ('"t.u".a', ("t.u",), ref("a")),
        ("data->a", (), ref("data", "a")),
        ("data->>a", (), ref("data", "a", as_text=True)),
        ("order->0", (), ref("order", 0)),
        ("t.order->a", ("t",), ref("order", "a")),
        ("t.data->a->-2->>b", ("t",), ref("data", "a", -2, "b", as_text=True)),
    ],
)
def test_a_key_means_a_field_and_its_embeds(key: str, path: Path, name: FieldRef) -> None:
    """A key that is no reserved word filters by the field that it names."""
    expected = ScopedFilter(path, Condition(name, "eq", "1"), key)
    assert parse_query(f"{quote(key)}=eq.1") == Query(filters=(expected,))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", Query()),
        ("&", Query()),
        ("limit=0", Query(limits=(((), 0),))),
        ("limit=999999999999999999", Query(limits=(((), 10**18 - 1),))),
        ("limit=10&offset=20", Query(limits=(((), 10),), offsets=(((), 20),))),
        ("t.limit=1&t.u.limit=2", Query(limits=((("t",), 1), (("t", "u"), 2)))),
        ("t.offset=1&offset=2", Query(offsets=((("t",), 1), ((), 2)))),
        ("page=2&per_page=10", Query(page=2, per_page=10)),
        ("after=abc.def", Query(after="abc.def")),
        ("q=big+cats%21", Query(search="big cats!")),
        ("q=", Query(search="")),
        ("on_conflict=a,%22b%20c%22", Query(on_conflict=("a", "b c"))),
        ("a=eq.1+2%2B3", Query(filters=(ScopedFilter((), eq("a", "1 2+3"), "a"),))),
        ("a=eq.50%", Query(filters=(ScopedFilter((), eq("a", "50%"), "a"),))),
        ("a=eq.%F0%9F%8D%BE", Query(filters=(ScopedFilter((), eq("a", "🍾"), "a"),))),
        ("a=eq.x=y", Query(filters=(ScopedFilter((), eq("a", "x=y"), "a"),))),
        ("a=eq.1&a=eq.2", Query(filters=(ScopedFilter((), eq("a", "1"), "a"),
                                         ScopedFilter((), eq("a", "2"), "a")))),
        ("or=(a.eq.1)&or=(a.eq.2)",
         Query(filters=(ScopedFilter((), Logic("or", (eq("a", "1"),)), "or"),
                        ScopedFilter((), Logic("or", (eq("a", "2"),)), "or")))),
        ("order=a&t.order=b", Query(orders=(((), (OrderTerm(ref("a")),)),
                                            (("t",), (OrderTerm(ref("b")),))))),
    ],
)  # fmt: skip
def test_a_query_string_means_all_of_its_parameters(text: str, query: Query) -> None:
    """Every parameter lands in its own place, each repeated filter in the order given."""
    assert parse_query(text) == query


def test_raw_utf8_is_read_like_percent_encoded_utf8() -> None:
    """Bytes that a client sent without encoding are UTF-8 too, also as WSGI passes them."""
    raw = "größe=eq.ü".encode()
    assert parse_query(raw).filters == parse_query(quote(raw, safe="=")).filters
    assert parse_query(raw.decode("latin-1")) == parse_query(raw)


def test_a_field_with_a_json_path_is_written_as_it_was_read() -> None:
    """The text of a field reference is its own grammar."""
    assert str(ref("data", "a", 0, "b", as_text=True)) == "data->a->0->>b"


@pytest.mark.parametrize("depth", [1, 50])
def test_nesting_up_to_the_limit_is_read(depth: int) -> None:
    """Fifty levels of relations and conditions are allowed."""
    select = parse_query(f"select={'t(' * depth}a{')' * depth}").select
    for _ in range(depth):
        assert select is not None
        assert isinstance(select[0], SelectEmbed)
        select = select[0].items
    assert select == (A,)
    tree = f"or={'(and' * (depth - 1)}(a.eq.1){')' * (depth - 1)}"
    assert len(parse_query(tree).filters) == 1
