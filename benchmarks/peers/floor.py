"""The floor: bare WSGI and psycopg, one connection a thread, JSON written by the database."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

import psycopg
from psycopg.adapt import Buffer, Loader
from sqlalchemy import make_url

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

URL = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql")

MOMENT = """to_char(timezone('UTC', created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

NEWEST = f"""
SELECT json_build_object('data', json_agg(json_build_object(
  'id', id, 'title', title, 'created_at', {MOMENT},
  'author', (SELECT json_build_object('id', u.id, 'username', u.username)
             FROM users u WHERE u.id = author_id),
  'category', (SELECT json_build_object('id', c.id, 'name', c.name)
               FROM categories c WHERE c.id = category_id),
  'tags', (SELECT coalesce(json_agg(json_build_object('id', t.id, 'name', t.name) ORDER BY t.id),
                           '[]')
           FROM post_tags l JOIN tags t ON t.id = l.tag_id WHERE l.post_id = p.id))))
FROM (SELECT * FROM posts ORDER BY created_at DESC, id DESC LIMIT 20) p
"""  # noqa: S608  constants only

ONE = f"""
SELECT json_build_object('id', id, 'username', username, 'email', email,
                         'is_active', is_active, 'created_at', {MOMENT})
FROM users WHERE id = %s
"""  # noqa: S608  constants only

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
    """/posts and /users/<key>."""
    path = environ["PATH_INFO"]
    if path == "/posts":
        row = cursor().execute(NEWEST, prepare=True).fetchone()
    else:
        key = int(path.removeprefix("/users/"))
        row = cursor().execute(ONE, (key,), prepare=True).fetchone()
    status, body = ("200 OK", row[0]) if row else ("404 NOT FOUND", b"{}")
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]
