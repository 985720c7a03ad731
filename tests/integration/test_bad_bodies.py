"""What writes answer to bad input: a 4xx that names the place, the same on every database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from . import depot, shop
from .everywhere import Everywhere, Served, served_everywhere

SQL_WORDS = ("SELECT ", "INSERT ", "UPDATE ", "WHERE ", "psycopg", "sqlite3", "Traceback")
MAX_ROWS = 20
JSON = "application/json"
CRATE = {"code": "c", "size": 3}
ITEM = {"title": "t"}

Faults = list[tuple[str, str]]


@pytest.fixture(scope="module")
def served(
    servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Everywhere]:
    """The depot on every database."""
    folder = tmp_path_factory.mktemp("depot")
    with served_everywhere(servers, folder, depot.build, CARBOY_MAX_ROWS=MAX_ROWS) as made:
        yield made


@pytest.fixture
def pair(served: Everywhere) -> Iterator[Everywhere]:
    """The same, and whatever is asked of it, nothing may change in any database."""
    before = [contents(one) for one in served]
    yield served
    assert [contents(one) for one in served] == before


def contents(served: Served) -> dict[str, list[str]]:
    """Every row of every table that has any, as text."""
    tables = [*shop.Base.metadata.tables, *depot.Base.metadata.tables]
    found = {}
    with served.engine.connect() as connection:
        for table in tables:
            rows = connection.execute(sa.select(sa.text("*")).select_from(sa.table(table)))
            found[table] = sorted(repr(tuple(row)) for row in rows)
    return found


def refused(
    pair: Everywhere, status: int, method: str, path: str, **options: Any
) -> dict[str, Any]:
    """The problem that every database answer."""
    one, *others = (
        problem_of(served.client.open(path, method=method, **options), status) for served in pair
    )
    assert all(other == one for other in others)
    return one


def problem_of(response: TestResponse, status: int) -> dict[str, Any]:
    """RFC 9457, and nothing of SQL, the driver or the hidden."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    problem: Any = response.json
    assert problem["status"] == status
    assert problem["type"].startswith("urn:carboy:error:")
    assert problem["title"]
    assert problem["detail"] == problem["error"]
    assert not any(word in response.text for word in SQL_WORDS)
    return dict(problem)


def places(problem: dict[str, Any], *, array: bool) -> Faults:
    """Each fault's pointer and code; in an array's faults the row is the pointer's first step."""
    found = []
    for error in problem.get("errors", []):
        pointer = error["pointer"]
        expected = int(pointer.split("/")[1]) if array and pointer else None
        assert error.get("row") == expected
        found.append((pointer, error["code"]))
    return found


# Each is the raw body of a POST to /api/items, and the pointers that are named.
WHOLE = '{"title":"t","small":[1,true,null,-1.5e3,"a\\u00e9"],"data":{"a":{}}}'
TEXTS: list[tuple[bytes, list[str]]] = [
    *((WHOLE[:end].encode(), []) for end in range(0, len(WHOLE), 5)),
    (b" \n\t", []),
    (b"\xef\xbb\xbf{}", []),
    (b"\xff\xfe{\x00}\x00", []),
    ('{"title":"t"}'.encode("utf-16"), []),
    ('{"title":"t"}'.encode("utf-32"), []),
    ('{"title":"é"}'.encode("latin-1"), []),
    (b'{"title":"t"}x', []),
    (b'{"title":"t"}{}', []),
    (b'{"title":"t"},', []),
    (b'{"title":"t",}', []),
    (b'{"title":"t"\x00}', []),
    (b'{"title":"t"}\x00', []),
    (b"{'title':'t'}", []),
    (b'{title:"t"}', []),
    (b'{"title" "t"}', []),
    (b'{"title"::"t"}', []),
    (b'{,"title":"t"}', []),
    (b'[{"title":"t"},]', []),
    (b'{"title":"t"]', []),
    (b'{"title":"t"} // remark', []),
    (b'{"title":"a\nb"}', []),
    (b'{"title":"a\x00b"}', []),
    (b'{"title":"\\x41"}', []),
    (b'{"title":"\\u12"}', []),
    (b'{"title":"\\u{41}"}', []),
    (b'{"title":"\xed\xa0\x80"}', []),
    (b'{"title":"\xc0\x80"}', []),
    (b'{"title":"\xf4\x90\x80\x80"}', []),
    (b'{"title":"t","small":+1}', []),
    (b'{"title":"t","small":01}', []),
    (b'{"title":"t","small":1.}', []),
    (b'{"title":"t","small":.5}', []),
    (b'{"title":"t","small":0x10}', []),
    (b'{"title":"t","small":1_000}', []),
    (b'{"title":"t","ratio":NaN}', []),
    (b'{"title":"t","ratio":Infinity}', []),
    (b'{"title":"t","ratio":-Infinity}', []),
    (b'{"title":"t","ratio":1e999}', []),
    (b'{"title":"t","ratio":-1e999999999}', []),
    (b'{"title":"t","ratio":1e99999999999999999999}', []),
    (b'{"title":"t","ratio":1e309}', ["/ratio"]),
    (b'{"title":"t","data":1e309}', ["/data"]),
    (b'{"title":"t","data":{"a":[NaN]}}', []),
    (b'{"title":"t","data":{"a":[1e309]}}', ["/data"]),
    (b'{"title":"t","big":' + b"9" * 5000 + b"}", []),
    (b'{"title":"t","data":' + b"9" * 5000 + b"}", []),
    (b'{"title":"t","title":"u"}', ["/title"]),
    (b'{"title":"t","t\\u0069tle":"u"}', ["/title"]),
    (b'{"title":"t","data":{"a":1,"b":{"c":1,"c":1}}}', ["/data/b/c"]),
    (b'{"title":"t","data":{"a/~":1,"a/~":2}}', ["/data/a~1~0"]),
    (b'[{"title":"t"},{"title":"t","title":"t"}]', ["/1/title"]),
    (b'{"title":"a\\u0000"}', ["/title"]),
    (b'{"title":"\\ud800"}', ["/title"]),
    (b'{"title":"\\udc00\\ud800"}', ["/title"]),
    (b'{"title":"t","data":["\\u0000"]}', ["/data/0"]),
    (b'{"title":"t","data":{"a\\u0000":1}}', ["/data"]),
    (b'{"title":"t","data":{"a\\udfff":1}}', ["/data"]),
    (b'{"ti\\u0000tle":"t"}', [""]),
    (b'[{"title":"t"},{"title":"\\uD800"}]', ["/1/title"]),
    (b'{"title":"t","tags":[{"name":"\\u0000"}]}', ["/tags/0/name"]),
    (b'{"title":"t","data":' + b"[" * 64 + b"]" * 64 + b"}", []),
    (b'{"title":"t","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", []),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, []),
    (b"[" * 100_000, []),
    (b"null", []),
    (b"true", []),
    (b"1", []),
    (b"1.5", []),
    (b'"title"', []),
    (b"[null]", ["/0"]),
    (b'[{"title":"t"},1]', ["/1"]),
    (b'[[{"title":"t"}]]', ["/0"]),
    (b'["title","t"]', ["/0", "/1"]),
]

# For each field what its kind can't be, and names that are no fields to write.
BAD_VALUES: dict[str, list[Any]] = {
    "small": ["1", "", 1.5, 1.0, True, [1], {}, 2**15, -(2**15) - 1, 2**64],
    "big": ["1", 2**63, -(2**63) - 1, 10**40, 0.5, False],
    "ratio": ["x", "", "NaN", "Infinity", "1e309", True, [], {}],
    "price": [
        1.234,
        "1.234",
        123456789,
        "-1e9",
        "NaN",
        "1,5",
        True,
        [1],
        "",
        " 1",
        "0x1",
        "1e400",
        "9" * 2000,
    ],
    "title": [None, 1, True, 1.5, ["t"], {"t": 1}],
    "active": [0, 1, "true", "", [], {}],
    "color": ["RED", "", "green", 1, True, ["red"], {"red": 1}],
    "at": [
        0,
        "",
        "now",
        "infinity",
        "2024-02-30T00:00:00Z",
        [],
        True,
        "10000-01-01T00:00:00Z",
        "2024-01-01T25:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2024-01-01T00:00:00+99:00",
        "2024-01-01T00:00:00 Europe/Rome",
    ],
    "naive": [1700000000, "yesterday", {}],
    "day": [
        "2024-02-30",
        "2024-1-1",
        "20240101",
        "0000-01-01",
        1,
        "",
        "2024-01-01T00:00:00Z",
        "infinity",
    ],
    "clock": ["24:00:00", "10:00:61", "1:00", "10:00Z", 10, ""],
    "span": ["1 hour", "NaN", 1e20, -1e12, True, []],
    "token": ["123", "", 1, "g" * 32, "0" * 33, {}],
    "raw": ["A", "é", "A===", "_-8=", 1, [1, 255], {}],
    "owner_id": ["1", 1.5, 2**31, True, {"id": 1}],
}
VALUES: list[tuple[str, Any]] = [
    *((name, value) for name, values in BAD_VALUES.items() for value in values),
    ("id", 7),
    ("id", None),
    ("cost", "1"),
    ("vault", []),
    ("nope", 1),
    ("", 1),
    ("Title", "t"),
    ("title ", "t"),
    ("a/b~c", 1),
    ("__class__", 1),
    ("metadata", {}),
    ("tags", None),
    ("tags", {"id": 1}),
    ("tags", 1),
    ("tags", [1]),
    ("tags", [[{"id": 1}]]),
]

# Each is a method, a path under /api, a body, a status, and the faults.
REQUESTS: list[tuple[str, str, Any, int, Faults]] = [
    # what a row must and may have
    ("POST", "crates", {}, 400, [("/code", "required"), ("/size", "required")]),
    ("POST", "crates", [CRATE, {"code": "d"}, {}], 400,
     [("/1/size", "required"), ("/2/code", "required"), ("/2/size", "required")]),
    ("PUT", "crates/1", {"code": "a"}, 400, [("/size", "required")]),
    ("POST", "crates", {**CRATE, "code": None}, 400, [("/code", "not-null")]),
    ("PATCH", "crates/1", {"size": None}, 400, [("/size", "not-null")]),
    ("PATCH", "crates?id=gt.0", {"size": None}, 400, [("/size", "not-null")]),
    ("POST", "crates", {**CRATE, "code": "abcdef"}, 400, [("/code", "invalid")]),
    ("POST", "crates", {**CRATE, "note": "é" * 11}, 400, [("/note", "invalid")]),
    ("POST", "crates", {**CRATE, "stamp": "AAAAAAA="}, 400, [("/stamp", "invalid")]),
    ("POST", "crates", {**CRATE, "total": 1}, 400, [("/total", "read-only")]),
    ("POST", "crates", {**CRATE, "double": 6}, 400, [("/double", "read-only")]),
    ("PUT", "crates/1", {**CRATE, "double": 6}, 400, [("/double", "read-only")]),
    ("PATCH", "crates/1", {"secret": "y"}, 400, [("/secret", "unknown-field")]),
    ("PATCH", "crates/1", {"supplier_id": 1}, 400, [("/supplier_id", "unknown-field")]),
    ("PATCH", "crates/1", {"id": 2}, 400, [("/id", "key-mismatch")]),
    ("PUT", "crates/1", {**CRATE, "id": 2}, 400, [("/id", "key-mismatch")]),
    ("PATCH", "pairs/1,x", {"a": None}, 400, [("/a", "not-null")]),
    ("PUT", "pairs/1,x", {"b": "z"}, 400, [("/b", "key-mismatch")]),
    ("POST", "pairs", {"a": 1}, 400, [("/b", "required")]),
    ("POST", "crates", {**CRATE, "labels": 1}, 400, [("/labels", "invalid")]),
    ("POST", "crates", {**CRATE, "labels": {"0": 1}}, 400, [("/labels", "invalid")]),
    ("POST", "crates", {**CRATE, "labels": [1, "x"]}, 400, [("/labels", "invalid")]),
    ("POST", "crates", {**CRATE, "labels": [2**31]}, 400, [("/labels", "invalid")]),
    # what the database refuses
    ("POST", "crates", {**CRATE, "code": "a"}, 409, [("/code", "duplicate")]),
    ("POST", "crates", [CRATE, {"code": "b", "size": 1}], 409, [("/1/code", "duplicate")]),
    ("POST", "crates", [CRATE, CRATE], 409, [("/1/code", "duplicate")]),
    ("PATCH", "crates/1", {"code": "b"}, 409, [("/code", "duplicate")]),
    ("PATCH", "crates?id=gt.0", {"code": "z"}, 409, [("/code", "duplicate")]),
    ("POST", "crates", {**CRATE, "size": -1}, 400, [("/size", "check")]),
    ("POST", "crates", [CRATE, {"code": "d", "size": -1}], 400, [("/1/size", "check")]),
    ("PATCH", "crates/1", {"size": -1}, 400, [("/size", "check")]),
    ("POST", "parts", {"name": "n", "crate_id": 9}, 409, [("/crate_id", "reference-missing")]),
    ("PATCH", "parts/1", {"crate_id": 9}, 409, [("/crate_id", "reference-missing")]),
    ("DELETE", "crates/1", None, 409, []),
    ("DELETE", "crates/2", None, 409, []),
    ("DELETE", "crates?id=gt.0", None, 409, []),
    ("PATCH", "crates/2", {"lid": None}, 400, [("/lid", "orphans")]),
    ("PATCH", "crates/2", {"lid": {"color": "blue"}}, 400, [("/lid", "orphans")]),
    ("PATCH", "crates/2", {"lid": {"crate_id": 1, "color": "blue"}}, 400,
     [("/lid", "missing"), ("/lid", "orphans")]),
    ("DELETE", "users/1", None, 409, []),
    ("POST", "pairs", {"a": 1, "b": "x"}, 409, [("/a", "duplicate")]),
    # nested rows
    ("POST", "crates", {**CRATE, "parts": [{}]}, 400, [("/parts/0/name", "required")]),
    ("POST", "crates", {**CRATE, "parts": {}}, 400, [("/parts", "invalid")]),
    ("POST", "crates", {**CRATE, "parts": [None]}, 400, [("/parts/0", "invalid")]),
    ("POST", "crates", {**CRATE, "parts": ["x"]}, 400, [("/parts/0", "invalid")]),
    ("POST", "crates", {**CRATE, "parts": [{"name": 1}]}, 400, [("/parts/0/name", "invalid")]),
    ("POST", "crates", {**CRATE, "parts": [{"name": "n", "what": 1}]}, 400,
     [("/parts/0/what", "unknown-field")]),
    ("POST", "crates", {**CRATE, "parts": [{"name": "n", "crate_id": 1}]}, 400,
     [("/parts/0/crate_id", "invalid")]),
    ("POST", "crates", {**CRATE, "parts": [{"name": "n", "crate": CRATE}]}, 400,
     [("/parts/0/crate", "invalid")]),
    ("POST", "crates", {**CRATE, "parts": [{"id": 9}]}, 400,
     [("/parts/0", "reference-missing")]),
    ("POST", "crates", {**CRATE, "parts": [{"id": "x"}]}, 400, [("/parts/0/id", "invalid")]),
    ("POST", "crates", {**CRATE, "parts": [{"id": None}]}, 400, [("/parts/0/id", "not-null")]),
    ("POST", "crates", {**CRATE, "parts": [{"id": 1, "name": "n"}]}, 400,
     [("/parts/0", "invalid")]),
    ("POST", "crates", [CRATE, {"code": "d", "size": 1, "parts": [{"name": "n"}, {}]}], 400,
     [("/1/parts/1/name", "required")]),
    ("PATCH", "crates/1", {"parts": []}, 400, [("/parts", "orphans")]),
    ("PATCH", "crates/1", {"parts": [{"id": 9, "name": "n"}]}, 400,
     [("/parts/0", "missing"), ("/parts", "orphans")]),
    ("POST", "crates", {**CRATE, "supplier": {"name": "s"}}, 400,
     [("/supplier", "unknown-field")]),
    ("POST", "parts", {"name": "n", "crate": None}, 400, [("/crate", "not-null")]),
    ("POST", "parts", {"name": "n", "crate": []}, 400, [("/crate", "invalid")]),
    ("POST", "parts", {"name": "n", "crate": {}}, 400,
     [("/crate/code", "required"), ("/crate/size", "required")]),
    ("POST", "parts", {"name": "n", "crate": {"id": 9}}, 400, [("/crate", "reference-missing")]),
    ("POST", "parts", {"name": "n", "crate": {"id": 1}, "crate_id": 1}, 400,
     [("/crate_id", "invalid")]),
    ("POST", "parts", {"name": "n", "crate": {"id": 1, "size": 9}}, 400, [("/crate", "invalid")]),
    ("POST", "items", {**ITEM, "owner": {"id": 1}}, 400, [("/owner", "read-only")]),
    # upserts
    ("POST", "crates?on_conflict=code", [CRATE, CRATE], 400, [("/1", "repeated")]),
    ("POST", "crates?on_conflict=code", {"size": 1}, 400, [("/code", "required")]),
    ("POST", "crates?on_conflict=id", {**CRATE, "id": 9}, 400, [("/id", "missing")]),
    ("POST", "crates?on_conflict=id", {**CRATE, "id": "x"}, 400, [("/id", "invalid")]),
    ("POST", "crates?on_conflict=code", {"code": "a", "size": -1}, 400, [("/size", "check")]),
    # a key that no row has, a resource that isn't there
    ("PATCH", "crates/9", {"size": 1}, 404, []),
    ("PUT", "crates/9", CRATE, 404, []),
    ("DELETE", "crates/9", None, 404, []),
    ("PATCH", "crates/x", {"size": 1}, 404, []),
    ("PATCH", "crates/1.0", {"size": 1}, 404, []),
    ("PATCH", "crates/1,2", {"size": 1}, 404, []),
    ("PATCH", "crates/%27%20OR%201=1%20--", {"size": 1}, 404, []),
    ("PATCH", "crates/9223372036854775808", {"size": 1}, 404, []),
    ("PATCH", f"crates/{'9' * 4000}", {"size": 1}, 404, []),
    ("PATCH", f"pairs/1,{'x' * 4000}", {"b": "z"}, 404, []),
    ("PATCH", "crates/1/parts", {"size": 1}, 404, []),
    ("PATCH", "crates/1%2Fparts", {"size": 1}, 404, []),
    ("PATCH", "crates/1/", {"size": 1}, 404, []),
    ("PATCH", "crates/", {"size": 1}, 404, []),
    ("PATCH", "pairs/1", {"b": "z"}, 404, []),
    ("PATCH", "pairs/1,x,2", {"b": "z"}, 404, []),
    ("PATCH", "pairs/x,1", {"b": "z"}, 404, []),
    ("PATCH", "crates/%00", {"size": 1}, 400, []),
    ("DELETE", "crates/1%00", None, 400, []),
    ("DELETE", "pairs/1,", None, 400, []),
    ("DELETE", "pairs/1,%22x", None, 400, []),
    ("DELETE", "crates/%FF", None, 404, []),
    ("POST", "nope", CRATE, 404, []),
    ("POST", "suppliers", {"name": "s"}, 404, []),
    ("POST", "item_tags", {"item_id": 1, "tag_id": 1}, 404, []),
    ("PATCH", "nope/1", CRATE, 404, []),
    ("POST", "%00", CRATE, 404, []),
    # limits
    ("POST", "crates", [CRATE] * (MAX_ROWS + 1), 413, []),
    ("POST", "crates", [{}] * 100_000, 413, []),
    ("POST", "crates", {**CRATE, "parts": [{"name": "n"}] * MAX_ROWS}, 413, []),
]  # fmt: skip

# Each is a method, a path with a query under /api, and the parameter that is named.
QUERIES = [
    ("PATCH", "crates?size=gt.x", "size"),
    ("PATCH", "crates?size=1", "size"),
    ("PATCH", "crates?size=", "size"),
    ("PATCH", "crates?nope=eq.1", "nope"),
    ("PATCH", "crates?secret=eq.x", "secret"),
    ("PATCH", "crates?code=eq.%00", "code"),
    ("PATCH", "crates?code=eq.%ED%A0%80", "code"),
    ("PATCH", "crates?or=(size.gt.0", "or"),
    ("PATCH", "crates?or=()", "or"),
    ("PATCH", "crates?size=gt.0&limit=1", "limit"),
    ("PATCH", "crates?size=gt.0&order=id", "order"),
    ("PATCH", "crates?size=gt.0&offset=1", "offset"),
    ("PATCH", "crates?size=gt.0&q=a", "q"),
    ("PATCH", "crates?size=gt.0&page=1", "page"),
    ("PATCH", "crates?size=gt.0&select=nope", "select"),
    ("PATCH", "crates?size=gt.0&select=count()", "select"),
    ("PATCH", "crates?size=gt.0&on_conflict=id", "on_conflict"),
    ("PATCH", "crates/1?size=gt.0", "size"),
    ("PUT", "crates/1?size=gt.0", "size"),
    ("DELETE", "crates/1?size=gt.0", "size"),
    ("DELETE", "crates?size=in.(1", "size"),
    ("DELETE", "crates?parts.nope=eq.1", "parts.nope"),
    ("DELETE", "crates?supplier.id=eq.1", "supplier.id"),
    ("DELETE", "crates?size=gt.0&select=secret", "select"),
    ("POST", "crates?size=gt.0", "size"),
    ("POST", "crates?select=", "select"),
    ("POST", "crates?on_conflict=", "on_conflict"),
    ("POST", "crates?on_conflict=size", "on_conflict"),
    ("POST", "crates?on_conflict=nope", "on_conflict"),
    ("POST", "crates?on_conflict=secret", "on_conflict"),
    ("POST", "crates?on_conflict=code,size", "on_conflict"),
    ("POST", "crates?on_conflict=code&on_conflict=id", "on_conflict"),
    ("POST", "crates?on_conflict=code%00", "on_conflict"),
]

# Each is a header and its value, the status, and whether the header is named in errors.
HEADERS = [
    ("Prefer", "return=everything", 400),
    ("Prefer", "resolution=merge", 400),
    ("Prefer", "missing=zero", 400),
    ("Prefer", "tx=perhaps", 400),
    ("Prefer", "handling=lax", 400),
    ("Prefer", "max-affected=-1", 400),
    ("Prefer", "max-affected=many", 400),
    ("Prefer", "max-affected=" + "9" * 30, 400),
    ("Prefer", "handling=strict, nonsense", 400),
    ("Prefer", 'return="minimal', 400),
    ("Prefer", "=minimal", 400),
    ("Prefer", "return=minimal;;=", 400),
    ("If-Match", "", 400),
    ("If-Match", "abc", 400),
    ("If-Match", '"abc', 400),
    ("If-Match", '*, "abc"', 400),
    ("If-Match", 'w/"abc"', 400),
    ("If-None-Match", "abc", 400),
    ("Idempotency-Key", "", 400),
    ("Idempotency-Key", "a b", 400),
    ("Idempotency-Key", "é", 400),
    ("Idempotency-Key", 'a"b', 400),
    ("Idempotency-Key", "k" * 256, 400),
]
UNNAMED_HEADERS = [
    ("If-Match", '"abc"', 412),
    ("If-Match", 'W/"abc"', 412),
    ("If-Match", ",".join(['"abc"'] * 1000), 412),
    ("Accept", "text/html", 406),
    ("Accept", "application/json;q=0", 406),
]

CONTENT_TYPES = [
    None,
    "",
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonx",
    "application/json5",
    "application/xml",
    "json",
    "application/",
    "application/json; charset=latin-1",
    "application/json; charset=utf-16",
    'application/json; charset="iso-8859-1"',
    "application/json, application/json",
]

# Each is a method, a path, and the methods that are taken instead.
COLLECTION = "GET, HEAD, OPTIONS, POST, PATCH, DELETE"
ITEM_METHODS = "GET, HEAD, OPTIONS, PUT, PATCH, DELETE"
READ_METHODS = "GET, HEAD, OPTIONS"
METHODS = [
    ("PUT", "/api/crates", COLLECTION),
    ("POST", "/api/crates/1", ITEM_METHODS),
    *((method, "/api/shown", READ_METHODS) for method in ("POST", "PUT", "PATCH", "DELETE")),
    *((method, "/api/shown/1", READ_METHODS) for method in ("POST", "PUT", "PATCH", "DELETE")),
    *((method, "/api/log", READ_METHODS) for method in ("POST", "PUT", "PATCH", "DELETE")),
    ("PROPFIND", "/api/crates", COLLECTION),
    ("PROPFIND", "/api/crates/1", ITEM_METHODS),
    ("TRACE", "/api/crates", COLLECTION),
    ("CONNECT", "/api/crates/1", ITEM_METHODS),
    ("post", "/api/crates/1", ITEM_METHODS),
    ("NONSENSE", "/api/shown", READ_METHODS),
    ("LOCK", "/api", READ_METHODS),
    *((method, "/api", READ_METHODS) for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE")),
    *((method, "/api/", READ_METHODS) for method in ("POST", "DELETE", "PROPFIND")),
]

UNKNOWN = ["nope", "nope/1", "nope/", "crates/", "/crates", "/", "//", "/crates/1", ".", "%2F"]


@pytest.mark.parametrize(("text", "pointers"), TEXTS)
def test_a_body_that_is_no_good_json_is_refused(
    pair: Everywhere, text: bytes, pointers: list[str]
) -> None:
    """Whatever is sent as JSON and isn't, or can't be stored, is a 400 that says where."""
    problem = refused(pair, 400, "POST", "/api/items", data=text, content_type=JSON)
    assert problem["type"] == "urn:carboy:error:invalid-body"
    found = places(problem, array=text.startswith(b"["))
    assert [pointer for pointer, _ in found] == pointers


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_a_bad_value_is_refused_in_every_kind_of_write(
    pair: Everywhere, name: str, value: Any
) -> None:
    """Each way of writing a row finds the one fault at its place, among good rows too."""
    row = {**ITEM, name: value}
    token = "/" + name.replace("~", "~0").replace("/", "~1")
    path = "/api/items"
    one = refused(pair, 400, "POST", path, json=row)
    assert one["errors"][0]["pointer"].startswith(token)
    for method, url in (("PATCH", f"{path}/1"), ("PUT", f"{path}/1"), ("PATCH", f"{path}?id=lt.3")):
        problem = refused(pair, 400, method, url, json=row)
        assert len(problem["errors"]) == 1
        assert problem["errors"][0]["pointer"].startswith(token)
    many = refused(pair, 400, "POST", path, json=[ITEM, ITEM, row])
    found = places(many, array=True)
    assert len(found) == 1
    assert found[0][0].startswith(f"/2{token}")


@pytest.mark.parametrize(("method", "path", "body", "status", "faults"), REQUESTS)
def test_a_bad_write_is_refused(
    pair: Everywhere, method: str, path: str, body: Any, status: int, faults: Faults
) -> None:
    """Rows, nested rows, keys and limits: each with its status and every fault."""
    problem = refused(pair, status, method, f"/api/{path}", json=body)
    assert places(problem, array=isinstance(body, list)) == faults
    given = path + json.dumps(body)
    assert not any(name in problem["detail"] for name in depot.HIDDEN if name not in given)


@pytest.mark.parametrize(("method", "path", "parameter"), QUERIES)
def test_a_bad_query_is_refused(pair: Everywhere, method: str, path: str, parameter: str) -> None:
    """A broken or useless parameter is named, and the write doesn't happen without it."""
    body = {"size": 5} if method == "PATCH" else CRATE
    problem = refused(pair, 400, method, f"/api/{path}", json=body)
    assert [error["parameter"] for error in problem["errors"]] == [parameter]


@pytest.mark.parametrize(("name", "value", "status"), HEADERS + UNNAMED_HEADERS)
@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_a_bad_header_is_refused(
    pair: Everywhere, method: str, name: str, value: str, status: int
) -> None:
    """A header that the API obeys is never half obeyed."""
    headers = {name: value}
    body = {"name": "n", "crate_id": 1}
    problem = refused(pair, status, method, "/api/parts/1", json=body, headers=headers)
    named = [error["parameter"] for error in problem.get("errors", [])]
    assert named == ([name] if (name, value, status) in HEADERS else [])


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize(("method", "path"), [("POST", "items"), ("PATCH", "items/1")])
def test_a_body_that_is_not_declared_as_json_is_refused(
    pair: Everywhere, method: str, path: str, content_type: str | None
) -> None:
    """Only JSON in UTF-8 is read."""
    options = {} if content_type is None else {"content_type": content_type}
    problem = refused(pair, 415, method, f"/api/{path}", data=b'{"title":"t"}', **options)
    assert "errors" not in problem


@pytest.mark.parametrize(("method", "path", "allowed"), METHODS)
def test_a_method_that_is_not_taken_is_a_405(
    pair: Everywhere, method: str, path: str, allowed: str
) -> None:
    """Known to HTTP or not, the answer is a problem document, and Allow lists the others."""
    refused(pair, 405, method, path, json=CRATE)
    for served in pair:
        assert served.client.open(path, method=method, json=CRATE).headers["Allow"] == allowed


@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_path_is_a_404(pair: Everywhere, path: str) -> None:
    """Nothing under the API is answered in HTML, whatever the method."""
    for method in ("GET", "POST", "PATCH", "PUT", "DELETE", "PROPFIND", "OPTIONS"):
        refused(pair, 404, method, f"/api/{path}", json=CRATE)


def test_a_row_that_demands_if_match_is_not_changed_without(pair: Everywhere) -> None:
    """428 without the header, 412 with another version."""
    for method in ("PATCH", "PUT", "DELETE"):
        body = {"amount": "1"}
        refused(pair, 428, method, "/api/safes/1", json=body)
        refused(pair, 412, method, "/api/safes/1", json=body, headers={"If-Match": '"x-y"'})


def test_a_tree_nested_too_deep_is_refused(pair: Everywhere) -> None:
    """CARBOY_MAX_DEPTH bounds nested rows, and the detail says where."""
    row: dict[str, Any] = {"name": "n"}
    for _ in range(6):
        row = {"name": "n", "nodes": [row]}
    problem = refused(pair, 400, "POST", "/api/nodes", json=row)
    assert problem["type"] == "urn:carboy:error:limit-exceeded"
    assert "CARBOY_MAX_DEPTH" in problem["detail"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("query", ["", "?", "?select=id", "?parts.id=gt.0"])
def test_a_bulk_write_without_a_filter_is_refused(
    pair: Everywhere, method: str, query: str
) -> None:
    """What would change every row must say so."""
    problem = refused(pair, 400, method, f"/api/crates{query}", json={"note": "n"})
    assert problem["type"] in (
        "urn:carboy:error:filter-required",
        "urn:carboy:error:invalid-query",
    )


BULK = [("PATCH", "parts?id=gt.0", {"name": "n"}), ("DELETE", "parts?id=gt.0", None)]
WRITES = [
    *BULK,
    ("POST", "parts", {"name": "n", "crate_id": 1}),
    ("PATCH", "parts/1", {"name": "n"}),
    ("PUT", "parts/1", {"name": "n", "crate_id": 1}),
    ("DELETE", "parts/1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), BULK)
def test_max_affected_is_obeyed(pair: Everywhere, method: str, path: str, body: Any) -> None:
    """A bulk write of too many rows is a 400 that names the preference."""
    headers = {"Prefer": "max-affected=0"}
    problem = refused(pair, 400, method, f"/api/{path}", json=body, headers=headers)
    assert "max-affected" in problem["detail"]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_a_used_idempotency_key_writes_nothing(
    pair: Everywhere, method: str, path: str, body: Any
) -> None:
    """A key that comes again with another request is a 422."""
    headers = {"Idempotency-Key": "k"}
    for served in pair:
        first = served.client.patch("/api/safes?id=lt.0", json={"amount": "1"}, headers=headers)
        assert first.status_code == 200
    refused(pair, 422, method, f"/api/{path}", json=body, headers=headers)


def test_the_tables_keep_their_breadth() -> None:
    """There are enough cases."""
    tables: tuple[list[Any], ...] = (TEXTS, VALUES, REQUESTS, QUERIES, HEADERS, CONTENT_TYPES)
    assert sum(len(table) for table in (*tables, METHODS, UNKNOWN)) >= 300
