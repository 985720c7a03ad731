"""What reads answer to bad input: a 4xx that names the parameter, the same on every database."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from .everywhere import Everywhere
from .shop import HIDDEN

SQL_WORDS = ("SELECT ", "json_build", "json_object", "WHERE ", "psycopg", "sqlite3", "Traceback")

# Each is the query of /api/items: parameter, value.
BROKEN = [
    # select
    ("select", ""),
    ("select", ","),
    ("select", "id,"),
    ("select", ",id"),
    ("select", "id,,title"),
    ("select", "id title,"),
    ("select", "(id)"),
    ("select", "owner("),
    ("select", "owner(name"),
    ("select", "owner(name))"),
    ("select", "owner(name,)"),
    ("select", "owner!(name)"),
    ("select", "owner!inner!left(name)"),
    ("select", "...owner"),
    ("select", "....owner(name)"),
    ("select", "a:b:id"),
    ("select", "x:"),
    ("select", ":id"),
    ("select", "id::text"),
    ("select", "price.sum"),
    ("select", "price.median()"),
    ("select", "data->"),
    ("select", "data->>a->b"),
    ("select", "data->12345678901"),
    ("select", '"id'),
    ("select", '""'),
    ("select", "*.*"),
    ("select", "count("),
    ("select", "owner(" * 51 + ")" * 51),
    # order, limit, offset, page
    ("order", ""),
    ("order", "id,"),
    ("order", "id.down"),
    ("order", "id.desc.asc"),
    ("order", "id.desc.nullsfirst.nullslast"),
    ("order", "owner(name"),
    ("order", "id desc"),
    ("limit", ""),
    ("limit", "-1"),
    ("limit", "1.5"),
    ("limit", "ten"),
    ("limit", "1e3"),
    ("limit", "0x10"),
    ("limit", "9223372036854775808"),
    ("limit", "99999999999999999999999999"),
    ("offset", "-1"),
    ("offset", "NaN"),
    ("offset", "9223372036854775807"),
    ("page", "0"),
    ("page", "-1"),
    ("page", "999999999999999999999"),
    ("per_page", "0"),
    ("per_page", "Infinity"),
    ("after", ""),
    ("after", "x"),
    ("after", "AAAA"),
    ("after", "é"),
    ("after", "A" * 200),
    ("after", "====" * 8),
    ("on_conflict", "id"),
    # conditions
    ("id", ""),
    ("id", "1"),
    ("id", "eq"),
    ("id", "equals.1"),
    ("id", "EQ.1"),
    ("id", "not.1"),
    ("id", "not.not.eq.1"),
    ("id", "eq(some).{1}"),
    ("id", "eq(any).1"),
    ("id", "in.1,2"),
    ("id", "in.(1,2"),
    ("id", "in.(1)2"),
    ("id", 'in.("1)'),
    ("id", "is.5"),
    ("id", "is.true"),
    ("title", "fts(a b).x"),
    ("title", "fts(a');drop).x"),
    ("title", "fts.a & & b"),
    ("title", "fts.a b"),
    ("title", "fts.(a"),
    ("title", "fts.a)"),
    ("title", "fts.!"),
    ("title", "fts.|a"),
    ("title", "fts.'a"),
    ("title", "fts.a:A"),
    ("title", "fts.a <x> b"),
    ("title", "fts.''"),
    ("title", "fts." + "(" * 60 + "a" + ")" * 60),
    ("title", "like.\\"),
    ("title", "ilike.a\\\\\\"),
    ("title", "like(any).{a,\\}"),
    ("or", ""),
    ("or", "()"),
    ("or", "id.eq.1"),
    ("or", "(id.eq.1"),
    ("or", "(id.eq.1,)"),
    ("or", "(id)"),
    ("or", "(id.eq.1)x"),
    ("or", "(not.id.eq.1)"),
    ("and", "(or())"),
    ("or", "(and" * 51 + "(id.eq.1)" + ")" * 51),
    ("id.", "eq.1"),
    (".id", "eq.1"),
    ("data->", "eq.1"),
    ("or(id.eq.1)", "x"),
]

UNKNOWN = [
    ("select", "nope"),
    ("select", "Id"),
    ("select", "id,titel"),
    ("select", "nope(id)"),
    ("select", "owner(nope)"),
    ("select", "owner!nope(id)"),
    ("select", "users(id)"),
    ("select", "x:nope.sum()"),
    ("select", "title->a"),
    ("select", "ｉd"),
    ("select", "іd"),  # Cyrillic
    ("select", "__class__"),
    ("select", "_sa_instance_state"),
    ("select", "metadata"),
    ("select", "rowid"),
    ("select", "oid"),
    ("select", "ctid"),
    ("select", "xmin"),
    ("select", "t1"),
    ("select", "items"),
    ("select", "item_tags(item_id)"),
    ("select", "cost"),
    ("select", "id,x:cost"),
    ("select", "cost.sum()"),
    ("select", "owner(passphrase)"),
    ("select", "owner(vault(pin))"),
    ("select", "owner(name,p:passphrase.max())"),
    ("select", "...owner(passphrase)"),
    ("select", "vault(pin)"),
    ("order", "nope"),
    ("order", "cost"),
    ("order", "cost.desc.nullslast"),
    ("order", "owner(passphrase)"),
    ("order", "owner(vault(pin))"),
    ("order", "tags(name)"),
    ("order", "nope(id)"),
    ("nope", "eq.1"),
    ("cost", "eq.7"),
    ("cost", "gt.0"),
    ("cost", "is.null"),
    ("cost->a", "eq.1"),
    ("or", "(cost.gt.0,id.eq.1)"),
    ("and", "(id.gt.0,not.or(cost.gt.0))"),
    ("owner.name", "eq.x"),
    ("tags.order", "name"),
    ("tags.limit", "1"),
    ("tags.offset", "1"),
    ("tags.or", "(id.eq.1)"),
    ("a.b.c.d", "eq.1"),
    ("rowid", "eq.1"),
    ("xmin", "eq.1"),
    ("limits", "eq.1"),
    ("Select", "id"),
]

WRONG_TYPES = [
    ("id", "eq.abc"),
    ("id", "eq."),
    ("id", "eq.1.5"),
    ("id", "eq.1e3"),
    ("id", "eq.0x1"),
    ("id", "eq.１ "),
    ("id", "eq. 1"),
    ("id", "eq.NaN"),
    ("id", "eq.true"),
    ("id", "eq.null"),
    ("id", "eq.2147483648"),
    ("id", "eq.-2147483649"),
    ("id", "in.(1,x)"),
    ("id", "eq(any).{1,x}"),
    ("id", "like.1*"),
    ("id", "fts.1"),
    ("id", "cs.{1}"),
    ("id", "ov.[1]"),
    ("small", "eq.32768"),
    ("big", "eq.9223372036854775808"),
    ("big", "gt.-9223372036854775809"),
    ("big", "in.(1,99999999999999999999)"),
    ("big", "lt." + "9" * 500),
    ("ratio", "eq.NaN"),
    ("ratio", "eq.Infinity"),
    ("ratio", "gt.-Infinity"),
    ("ratio", "eq.1e400"),
    ("ratio", "eq.1,5"),
    ("ratio", "eq.1e"),
    ("ratio", "eq." + "1" * 1001),
    ("price", "eq.NaN"),
    ("price", "eq.abc"),
    ("price", "eq.1.234"),
    ("price", "eq.123456789012"),
    ("price", "eq.1e99999999"),
    ("price", "like.1"),
    ("active", "eq.yes"),
    ("active", "eq.2"),
    ("active", "is.maybe"),
    ("color", "eq.RED"),
    ("color", "eq.green"),
    ("color", "in.(red,DARK_BLUE)"),
    ("color", "like.red"),
    ("at", "eq.yesterday"),
    ("at", "eq.2024-13-01"),
    ("at", "eq.2024-01-01T25:00:00Z"),
    ("at", "eq.2024-01-01T10:00:00+99:00"),
    ("at", "lt.0001-01-01T00:00:00+23:59"),
    ("at", "gt.9999-12-31T23:59:59-23:59"),
    ("at", "eq.10000-01-01"),
    ("at", "eq.infinity"),
    ("at", "eq.now"),
    ("naive", "eq.1700000000"),
    ("day", "eq.2024-02-30"),
    ("day", "eq.2024-1-1"),
    ("day", "eq.infinity"),
    ("day", "eq.0000-01-01"),
    ("clock", "eq.25:00"),
    ("clock", "eq.10:00:61"),
    ("clock", "eq.24:00:00"),
    ("span", "eq.1 hour"),
    ("span", "eq.1e20"),
    ("span", "eq.253402300800"),
    ("span", "eq.NaN"),
    ("token", "eq.123"),
    ("token", "eq.zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz"),
    ("token", "in.({00000000-0000-0000-0000-00000000000})"),
    ("raw", "eq.é"),
    ("raw", "eq.A"),
    ("raw", "gt.AAAA"),
    ("data", "eq.{}"),
    ("data", "gt.1"),
    ("data", "cs.{"),
    ("data", "cs.NaN"),
    ("data", "cs.[1"),
    ("data", "ov.{}"),
    ("data", "cs." + "[" * 2000),
    ("data", "cs." + "[" * 100 + "]" * 100),
    ("data", "ov." + '[{"a":' * 60 + "1" + "}]" * 60),
    ("data->a", "eq.1"),
    ("data->a", "like.x"),
    ("data->>a", "cs.{}"),
    ("title", "cs.{a}"),
    ("title", "is.false"),
    ("order", "data"),
    ("order", "data->a"),
    ("select", "title.sum()"),
    ("select", "data.max()"),
    ("select", "active.avg()"),
    ("select", "at.sum()"),
    ("select", 'data->"a\\"b"'),
    ("select", "id,id"),
    ("select", "x:id,x:title"),
    ("select", "id,tags(count()),count()"),
]

LIMITS = [
    ("limit", "1001"),
    ("per_page", "1001"),
    ("id", f"in.({','.join(map(str, range(101)))})"),
    ("title", f"like(any).{{{','.join('a' * 101)}}}"),
    ("or", f"({','.join(['id.eq.1'] * 101)})"),
    ("order", ",".join(["id"] * 101)),
    ("q", " ".join("a" * 101)),
    ("select", ",".join(f"a{i}:tags(name)" for i in range(21))),
    ("select", "tags(items(tags(items(tags(items(id))))))"),
    ("select", ",".join(f"a{i}:id" for i in range(501))),
]

# Each is a whole query and the parameter that is named.
QUERIES = [
    ("select=id&select=title", "select"),
    ("order=id&order=title", "order"),
    ("limit=1&limit=2", "limit"),
    ("offset=1&offset=2", "offset"),
    ("page=1&page=2", "page"),
    ("after=x&after=y", "after"),
    ("q=a&q=b", "q"),
    ("select=tags(id)&tags.limit=1&tags.limit=2", "tags.limit"),
    ("page=1&limit=1", "page"),
    ("page=1&offset=1", "page"),
    ("page=1&after=x", "page"),
    ("after=x&offset=1", "offset"),
    ("select=users(name)", "select"),
    ("select=owner_id(name)&owner_id.limit=1", "owner_id.limit"),
    ("select=count()&after=x", "after"),
    ("select=count()&order=id", "order"),
    ("select", "select"),
    ("id", "id"),
    ("=eq.1", ""),
    ("id=eq.%00", "id"),
    ("title=eq.a%00b", "title"),
    ("title=like.%00*", "title"),
    ("title=in.(%00)", "title"),
    ("title=fts.%00", "title"),
    ("q=%00", "q"),
    ("select=%00", "select"),
    ("order=id%00", "order"),
    ("ti%00tle=eq.1", "ti%00tle"),
    ("data->>a%00=eq.1", "data->>a%00"),
    ("title=eq.%ED%A0%80", "title"),
    ("title=eq.%ED%BF%BF", "title"),
    ("%ED%A0%80=eq.1", "%ED%A0%80"),
    ("q=%ED%A0%80", "q"),
    ("select=data->%ED%A0%80", "select"),
    ("title=eq.%FF", "title"),
    ("title=eq.%C0%80", "title"),
    ("title=eq.%F4%90%80%80", "title"),
    ("or=(title.eq.%00)", "or"),
    ("after=%00", "after"),
    ("limit=%D9%A3", "limit"),
    ("data=cs.%22%5Cud800%22", "data"),
    ("data=cs.%22%5Cu0000%22", "data"),
    ("data=cs.%5B%22a%5Cu0000%22%5D", "data"),
    ("data=cs.%7B%22%5Cu0000%22:1%7D", "data"),
]

# Each is a path, and the status of its answer.
PATHS = [
    ("/api/nope", 404),
    ("/api/vault", 404),
    ("/api/item_tags", 404),
    ("/api/Items", 404),
    ("/api/sqlite_master", 404),
    ("/api/pg_catalog.pg_tables", 404),
    ("/api/%00", 404),
    ("/api/items;drop", 404),
    ("/api/items/99", 404),
    ("/api/items/abc", 404),
    ("/api/items/1.0", 404),
    ("/api/items/1,2", 404),
    ("/api/items/9223372036854775808", 404),
    ("/api/items/-99999999999999999999999", 404),
    ("/api/items/%27%20OR%201=1%20--", 404),
    ("/api/items/NaN", 404),
    ("/api/items/%00", 400),
    ("/api/items/1%00", 400),
    ("/api/items/1,,2", 400),
    ("/api/items/%221", 400),
    ("/api/pairs/1", 404),
    ("/api/pairs/1,x,2", 404),
    ("/api/pairs/1,%00", 400),
    ("/api/pairs/1,nope", 404),
    ("/api/items/1?limit=1", 400),
    ("/api/items/1?order=id", 400),
    ("/api/items/1?page=1", 400),
    ("/api/items/1?q=a", 400),
    ("/api/items/1?select=count()", 400),
    ("/api/items/1?select=cost", 400),
    ("/api/items/1?on_conflict=id", 400),
    (f"/api/items?title=eq.{'a' * 9000}", 400),
    (f"/api/items/{'9' * 3000}", 404),
    ("/api/tags?q=new", 400),
]


def _assert_problem(response: TestResponse, status: int, given: str = "") -> dict[str, Any]:
    """RFC 9457, and nothing of SQL, the driver or the hidden."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    problem: Any = response.json
    assert problem["status"] == status
    assert problem["type"].startswith("urn:carboy:error:")
    assert problem["title"]
    assert problem["detail"] == problem["error"]
    assert not any(word in response.text for word in SQL_WORDS if word not in given)
    return dict(problem)


@pytest.mark.parametrize(("parameter", "value"), [*BROKEN, *UNKNOWN, *WRONG_TYPES, *LIMITS])
def test_a_bad_parameter_is_refused_and_named(shop: Everywhere, parameter: str, value: str) -> None:
    """Both databases answer the same 400, and no statement is run for it."""
    url = f"/api/items?{quote(parameter)}={quote(value)}"
    first, *others = (_assert_problem(response, 400) for response in shop.get(url))
    assert all(other == first for other in others)
    assert [error["parameter"] for error in first["errors"]] == [parameter]
    assert first["type"].rpartition(":")[2] == (
        "limit-exceeded" if (parameter, value) in LIMITS else "invalid-query"
    )
    given = f"{parameter}={value}"
    assert not any(name in first["detail"] for name in HIDDEN if name not in given)
    assert [served.statements for served in shop] == [[], [], []]


@pytest.mark.parametrize(("query", "parameter"), QUERIES)
def test_a_bad_query_string_is_refused(shop: Everywhere, query: str, parameter: str) -> None:
    """Duplicates, contradictions, NUL and what is no UTF-8 are refused before SQL."""
    first, *others = (_assert_problem(r, 400) for r in shop.get(f"/api/items?{query}"))
    assert all(other == first for other in others)
    assert [error["parameter"] for error in first["errors"]] == [parameter]
    assert [served.statements for served in shop] == [[], [], []]


@pytest.mark.parametrize(("path", "status"), PATHS)
def test_a_bad_path_is_refused(shop: Everywhere, path: str, status: int) -> None:
    """Unknown resources and keys that no row can have are 404s, unreadable ones 400s."""
    first, *others = (_assert_problem(response, status) for response in shop.get(path))
    assert all(other == first for other in others)


def test_there_are_enough_cases() -> None:
    """The tables keep their breadth."""
    tables: tuple[list[Any], ...] = (BROKEN, UNKNOWN, WRONG_TYPES, LIMITS, QUERIES, PATHS)
    assert sum(len(table) for table in tables) >= 300


@pytest.mark.parametrize("field", ["cost", "nope"])
def test_hidden_and_unknown_fields_are_told_apart_by_nothing(shop: Everywhere, field: str) -> None:
    """The answer for a hidden name is the one for a name that isn't there."""
    for url in ("/api/items?select={}", "/api/items?{}=eq.1", "/api/items?order={}"):
        known = shop.sqlite.get(url.format(field)).text.replace(field, "?")
        unknown = shop.sqlite.get(url.format("zzzz")).text.replace("zzzz", "?")
        assert known == unknown


def test_an_unknown_language_is_refused_by_name(shop: Everywhere) -> None:
    """A text search configuration that the database lacks is a 400."""
    for response in shop.get("/api/items?title=fts(klingon).x"):
        assert "klingon" in _assert_problem(response, 400)["detail"]


INJECTIONS = [
    "'; DROP TABLE items; --",
    "' OR 1=1 --",
    "') OR ('1'='1",
    ") UNION SELECT passphrase FROM users --",
    '"; DELETE FROM items; --',
    "$1",
    "$$x$$",
    "%s",
    "%(v0)s",
    "%",
    "%%",
    ":v0",
    ":param_1",
    "?",
    "?1",
    "@v0",
    "{0}",
    "\\",
    "\\'",
    "'",
    "''",
    '"',
    "`",
    "```; --",
    "/*",
    "--",
    ";",
    "\u2019 OR 1=1",
    "ʼ; DROP TABLE items",
    "ｓｅｌｅｃｔ",
    "\u202e",
    "😀",
    "a\nb",
    "\x1b[31m",
    "E'\\x27'",
    "CAST(1 AS int)",
    "pg_sleep(1)",
    "null",
    "v0",
    "t1.passphrase",
]

# Where a text value goes: parameter, value with {} for the text.
VALUE_PLACES = [
    ("title", "eq.{}"),
    ("title", "neq.{}"),
    ("title", "not.eq.{}"),
    ("title", "gt.{}"),
    ("title", "gte.{}"),
    ("title", "lt.{}"),
    ("title", "lte.{}"),
    ("title", "isdistinct.{}"),
    ("title", "like.{}x"),
    ("title", "ilike.{}x"),
    ("title", "in.(<{}>)"),
    ("title", "eq(any).{{<{}>}}"),
    ("title", "like(all).{{<{}x>}}"),
    ("title", "plfts.{}"),
    ("title", "phfts.{}"),
    ("title", "wfts.{}"),
    ("data->>a", "eq.{}"),
    ("or", "(title.eq.<{}>,id.eq.1)"),
    ("or", "(and(title.like.<{}x>,id.gt.0))"),
]


def _placed(template: str, text: str) -> str:
    """The text in its place, in quotes and escaped where the template has angle brackets."""
    if "<" not in template:
        return template.format(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    if "[" in template:
        escaped = escaped.replace("\x1b", "\\u001b")
    elif "\\n" in escaped and "\\\\n" not in escaped:
        escaped = escaped.replace("\\n", "\n")
    return template.replace("<", '"').replace(">", '"').format(escaped)


@pytest.mark.parametrize(("parameter", "template"), VALUE_PLACES)
def test_a_value_never_changes_the_statement(
    shop: Everywhere, parameter: str, template: str
) -> None:
    """Whatever a value is, the driver is given the SQL of a harmless one, and rows stay rows."""
    select = "id,title,tags(name)"

    def ask(text: str) -> str:
        value = quote(_placed(template, text), safe="")
        return f"/api/items?select={select}&{quote(parameter, safe='')}={value}"

    shop.json(ask("harmless"))
    expected = [list(served.statements) for served in shop]
    assert [len(statements) for statements in expected] == [1, 1, 1]
    for text in INJECTIONS:
        answer = shop.json(ask(text))
        assert [served.statements for served in shop] == expected
        assert len(answer["data"]) <= 5


@pytest.mark.parametrize("operator", ["cs", "cd", "ov"])
def test_a_contained_value_never_changes_it(shop: Everywhere, operator: str) -> None:
    """The same of JSON containment, which MariaDB hasn't."""

    def ask(text: str) -> str:
        value = _placed(f"{operator}.[<{{}}>]", text)
        return f"/api/items?select=id,tags(name)&data={quote(value, safe='')}"

    _assert_problem(shop.mariadb.get(ask("x")), 400)
    for served in (shop.sqlite, shop.postgresql):
        served.get(ask("harmless"))
        expected = list(served.statements)
        assert len(expected) == 1
        for text in INJECTIONS:
            assert served.get(ask(text)).status_code == 200
            assert served.statements == expected


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_search_never_changes_the_statement(shop: Everywhere, text: str) -> None:
    """A search of as many words is the same SQL."""
    shop.json(f"/api/items?q={quote('+'.join(['w'] * len(text.split())), safe='+')}")
    expected = [list(served.statements) for served in shop]
    shop.json(f"/api/items?q={quote(text, safe='')}")
    assert [served.statements for served in shop] == expected


# Where a made-up name goes without being one of the schema: the select, and what else it needs.
NAME_PLACES = [
    ("select", 'id,"{}":title'),
    ("select", '"{}":tags(name)'),
    ("select", '"{}":owner_id(name)'),
    ("select", '"{}":count()'),
    ("select", '"{}":price.sum(),active'),
    ("select", 'owner_id(x:name),...editor_id("{}":name)'),
    ("select", '...tags("{}":name)'),
]


@pytest.mark.parametrize(("parameter", "template"), NAME_PLACES)
def test_an_alias_is_no_sql(shop: Everywhere, parameter: str, template: str) -> None:
    """An alias is a parameter: the SQL is that of another alias, and has neither."""

    def ask(alias: str) -> str:
        escaped = alias.replace("\\", "\\\\").replace('"', '\\"')
        return f"/api/items?{parameter}={quote(template.format(escaped), safe='')}"

    shop.json(ask("harmless"))
    expected = [list(served.statements) for served in shop]
    assert not any("harmless" in sql for statements in expected for sql in statements)
    for alias in INJECTIONS:
        answer = shop.json(ask(alias))
        assert alias in answer["data"][0]
        assert [served.statements for served in shop] == expected


@pytest.mark.parametrize(
    ("parameter", "template"),
    [
        ("select", 'data->"{}"'),
        ("select", 'data->>"{}"'),
        ("select", 'x:data->list->"{}"'),
        ('data->>"{}"', "eq.x"),
        ('data->"{}"', "is.null"),
        ("order", 'data->>"{}"'),
        ("or", '(data->>"{}".eq.x,id.eq.1)'),
    ],
)
def test_a_json_key_is_no_sql(shop: Everywhere, parameter: str, template: str) -> None:
    """A JSON key is a parameter; the few that SQLite's paths can't hold are refused on all."""

    def ask(key: str) -> str:
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        name, value = parameter.format(escaped), template.format(escaped)
        return f"/api/items?{quote(name, safe='')}={quote(value, safe='')}"

    shop.json(ask("harmless"))
    expected = [list(served.statements) for served in shop]
    assert not any("harmless" in sql for statements in expected for sql in statements)
    for key in INJECTIONS:
        if '"' in key or "\\" in key:
            for response in shop.get(ask(key)):
                _assert_problem(response, 400)
            continue
        if key.startswith("-"):
            # MariaDB can't look for it.
            *others, mariadb = shop.get(ask(key))
            _assert_problem(mariadb, 400)
            assert [other.status_code for other in others] == [200, 200]
            continue
        shop.json(ask(key))
        assert [served.statements for served in shop] == expected


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize(
    ("parameter", "template"),
    [
        ("select", '"{}"'),
        ("select", '"{}"(id)'),
        ("select", 'owner!"{}"(id)'),
        ("select", 'tags("{}")'),
        ("select", "{}"),
        ("order", '"{}"'),
        ("order", '"{}"(id)'),
        ("order", 'owner_id("{}")'),
        ("order", "{}"),
        ('"{}"', "eq.1"),
        ('tags."{}"', "eq.1"),
        ('"{}".name', "eq.1"),
        ("or", '("{}".eq.1)'),
        ("title", "fts({}).x"),
        ("after", "{}"),
        ("limit", "{}"),
        ("page", "{}"),
        ("id", "{}"),
        ("id", "eq.{}"),
    ],
)
def test_an_injected_name_is_an_unknown_name(
    shop: Everywhere, parameter: str, template: str, text: str
) -> None:
    """Where only names of the schema may stand, nothing else is ever run."""
    escaped = text
    if '"' in parameter + template:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    name, value = parameter.format(escaped), template.format(escaped)
    for response in shop.get(f"/api/items?{quote(name, safe='')}={quote(value, safe='')}"):
        _assert_problem(response, 400, given=text)


def test_nothing_was_written(shop: Everywhere) -> None:
    """After all that, the rows are those that were there."""
    assert [row["id"] for row in shop.json("/api/items?select=id")["data"]] == [1, 2, 3, 4, 5]
    assert len(shop.json("/api/users")["data"]) == 2
