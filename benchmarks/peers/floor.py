"""The floor: bare WSGI and psycopg, one connection a thread, JSON written by the database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec
import psycopg
from psycopg.adapt import Buffer, Loader
from sqlalchemy import make_url

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

URL = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql")
CHUNK = 64 * 1024


def moment(column: str) -> str:
    """A moment as RFC 3339 has it, in UTC."""
    return f"""to_char(timezone('UTC', {column}), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


NEWEST = f"""
SELECT json_build_object('data', json_agg(json_build_object(
  'id', id, 'title', title, 'created_at', {moment("created_at")},
  'author', (SELECT json_build_object('id', u.id, 'username', u.username)
             FROM users u WHERE u.id = author_id),
  'category', (SELECT json_build_object('id', c.id, 'name', c.name)
               FROM categories c WHERE c.id = category_id),
  'tags', (SELECT coalesce(json_agg(json_build_object('id', t.id, 'name', t.name) ORDER BY t.id),
                           '[]')
           FROM post_tags l JOIN tags t ON t.id = l.tag_id WHERE l.post_id = p.id))))
FROM (SELECT * FROM posts ORDER BY created_at DESC, id DESC LIMIT 20) p
"""
ONE = f"""
SELECT json_build_object('id', id, 'username', username, 'email', email,
                         'is_active', is_active, 'created_at', {moment("created_at")})
FROM users WHERE id = %s
"""
_FLAT = f"""coalesce(json_agg(json_build_object(
  'id', id, 'title', title, 'created_at', {moment("created_at")}, 'author_id', author_id)), '[]')"""
_IN_CATEGORY = """(SELECT * FROM posts WHERE category_id = %(key)s AND published
       ORDER BY created_at DESC, id DESC LIMIT 20 OFFSET 20) p"""
PAGE = f"SELECT json_build_object('data', {_FLAT}) FROM {_IN_CATEGORY}"
COUNT = f"""
SELECT json_build_object('data', {_FLAT}, 'total',
  (SELECT count(*) FROM posts WHERE category_id = %(key)s AND published)) FROM {_IN_CATEGORY}
"""
PLAN = "EXPLAIN (FORMAT JSON) SELECT FROM posts WHERE category_id = {} AND published"
ESTIMATE = f"SELECT json_build_object('data', {_FLAT}, 'total', %(total)s) FROM {_IN_CATEGORY}"
SEARCH = f"""
SELECT json_build_object('data', {_FLAT}) FROM (
  SELECT * FROM posts
  WHERE to_tsvector('simple'::regconfig, coalesce(title, '')) @@ plainto_tsquery('simple', %s)
  ORDER BY created_at DESC, id DESC LIMIT 20) p
"""
BY_CATEGORY = """
SELECT json_build_object('data', json_agg(json_build_object('category', name, 'posts', n)))
FROM (SELECT name, count(*) AS n FROM posts JOIN categories c ON c.id = category_id
      GROUP BY name ORDER BY name) c
"""
_EVENT = f"""json_build_object('id', id, 'account_id', account_id, 'kind', kind,
  'amount', amount, 'happened_at', {moment("happened_at")})"""
_EVENTS = f"SELECT json_build_object('data', json_agg({_EVENT})) FROM (SELECT * FROM "
EVENTS = f"{_EVENTS}events_large ORDER BY id LIMIT 20 OFFSET %s) e"
AFTER = f"{_EVENTS}events_large WHERE id > %s ORDER BY id LIMIT 20) e"
EVENT = f"SELECT {_EVENT} FROM events_{{}} WHERE id = %s"
NEWEST_OF = f"""{_EVENTS}events_{{}} WHERE account_id = %s
  ORDER BY happened_at DESC, id DESC LIMIT 20) e"""
INSERT = f"""
INSERT INTO notes (author_id, title, body, done, created_at)
VALUES (%(author_id)s, %(title)s, %(body)s, %(done)s, %(created_at)s::timestamptz)
RETURNING json_build_object('id', id, 'author_id', author_id, 'title', title, 'body', body,
                            'done', done, 'created_at', {moment("created_at")})
"""
UPDATE = "UPDATE notes SET done = %s WHERE author_id = %s"
COPY_NOTES = "COPY notes (author_id, title, body, done, created_at) FROM STDIN"
TO_NDJSON = f"""
COPY (SELECT {_EVENT} FROM (SELECT * FROM events_medium ORDER BY id LIMIT {{}}) e) TO STDOUT
"""
TO_CSV = f"""
COPY (SELECT id, account_id, kind, amount, {moment("happened_at")} AS happened_at
      FROM events_medium ORDER BY id LIMIT {{}}) TO STDOUT (FORMAT csv, HEADER)
"""
FROM_CSV = "COPY arrivals FROM STDIN (FORMAT csv, HEADER)"
# COPY knows no JSON: a line is one value, with quotes and delimiters that no line has.
STAGED = "CREATE TEMPORARY TABLE staged (line json) ON COMMIT DROP"
FROM_NDJSON = r"COPY staged FROM STDIN (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')"
STAGED_TO_ARRIVALS = """
INSERT INTO arrivals
SELECT e.* FROM staged, json_to_record(line)
  AS e(id bigint, account_id int, kind text, amount int, happened_at timestamptz)
"""

local = threading.local()


class JsonBytes(Loader):
    """JSON as the server sent it."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


def cursor() -> psycopg.Cursor[tuple[bytes]]:
    """The cursor of this thread's connection."""
    try:
        kept: psycopg.Cursor[tuple[bytes]] = local.cursor
    except AttributeError:
        url = URL.render_as_string(hide_password=False)
        connection = psycopg.connect(url, autocommit=True)
        connection.adapters.register_loader("json", JsonBytes)
        kept = local.cursor = connection.cursor()
    return kept


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Every scenario, at its own path; a key is what follows the last slash."""
    path = environ["PATH_INFO"]
    route = ROUTES.get((environ["REQUEST_METHOD"], path))
    if route is None:
        path, _, key = path.rpartition("/")
        body = _row(KEYED[path], (int(key),))
        return _send(start_response, "200 OK" if body else "404 NOT FOUND", body or b"{}")
    return route(environ, start_response)


def _row(sql: str, values: Any = None) -> bytes | None:
    row = cursor().execute(sql, values, prepare=True).fetchone()
    return row and row[0]


def _send(start_response: StartResponse, status: str, body: bytes) -> list[bytes]:
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]


def _asked(environ: WSGIEnvironment) -> str:
    """The value of the one parameter."""
    return str(environ["QUERY_STRING"].rpartition("=")[2])


Route = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]


def _select(sql: str) -> Route:
    return lambda _, start_response: _send(start_response, "200 OK", _row(sql) or b"")


def _select_by(sql: str, kind: type = int) -> Route:
    def route(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        value = kind(_asked(environ))
        named = "%(key)s" in sql
        return _send(
            start_response, "200 OK", _row(sql, {"key": value} if named else [value]) or b""
        )

    return route


def _estimate(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    key = int(_asked(environ))
    plan = msgspec.json.decode(_row(PLAN.format(key)) or b"")
    values = {"key": key, "total": plan[0]["Plan"]["Plan Rows"]}
    return _send(start_response, "200 OK", _row(ESTIMATE, values) or b"")


def _events(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    asked = parse_qs(environ["QUERY_STRING"])
    if "after" in asked:
        body = _row(AFTER, [int(asked["after"][0])])
    else:
        body = _row(EVENTS, [int(asked.get("offset", ["0"])[0])])
    return _send(start_response, "200 OK", body or b"")


def _insert(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = _row(INSERT, msgspec.json.decode(environ["wsgi.input"].read()))
    return _send(start_response, "201 CREATED", body or b"")


def _update(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    done = msgspec.json.decode(environ["wsgi.input"].read())["done"]
    cursor().execute(UPDATE, [done, int(_asked(environ))], prepare=True)
    start_response("204 NO CONTENT", [])
    return []


def _insert_many(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    rows = msgspec.json.decode(environ["wsgi.input"].read())
    with cursor().copy(COPY_NOTES) as copy:
        for row in rows:
            copy.write_row(tuple(row.values()))
    return _send(start_response, "201 CREATED", b"{}")


def _export(sql: str, kind: str) -> Route:
    def route(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", kind)])
        with cursor().copy(sql.format(int(_asked(environ)))) as copy:
            while lines := b"".join(islice(copy, 1000)):
                yield lines

    return route


def _import_csv(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _copy(environ, FROM_CSV)
    return _send(start_response, "201 CREATED", b"{}")


def _import_ndjson(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    with cursor().connection.transaction():
        cursor().execute(STAGED)
        _copy(environ, FROM_NDJSON)
        cursor().execute(STAGED_TO_ARRIVALS)
    return _send(start_response, "201 CREATED", b"{}")


def _copy(environ: WSGIEnvironment, sql: str) -> None:
    with cursor().copy(sql) as copy:
        while chunk := environ["wsgi.input"].read(CHUNK):
            copy.write(chunk)


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/posts"): _select(NEWEST),
    ("GET", "/posts/page"): _select_by(PAGE),
    ("GET", "/posts/count"): _select_by(COUNT),
    ("GET", "/posts/estimate"): _estimate,
    ("GET", "/posts/search"): _select_by(SEARCH, str),
    ("GET", "/posts/by-category"): _select(BY_CATEGORY),
    ("GET", "/events"): _events,
    ("GET", "/small"): _select_by(NEWEST_OF.format("small")),
    ("GET", "/large"): _select_by(NEWEST_OF.format("large")),
    ("POST", "/notes"): _insert,
    ("PATCH", "/notes"): _update,
    ("POST", "/notes/many"): _insert_many,
    ("GET", "/events.ndjson"): _export(TO_NDJSON, "application/x-ndjson"),
    ("GET", "/events.csv"): _export(TO_CSV, "text/csv"),
    ("POST", "/arrivals.ndjson"): _import_ndjson,
    ("POST", "/arrivals.csv"): _import_csv,
}
KEYED = {
    "/users": ONE,
    "/small": EVENT.format("small"),
    "/large": EVENT.format("large"),
}
