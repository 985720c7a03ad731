"""What a write sends to the driver, and what becomes of its connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from .models import Shop, make_shop


@contextmanager
def recorded(market: Shop) -> Iterator[list[str]]:
    """The statements that SQLAlchemy executes meanwhile."""
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement.split(maxsplit=1)[0])

    with market.app.app_context():
        engine = market.db.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "tags", {"name": "new"}, ["INSERT"]),
        ("PATCH", "tags/1", {"name": "new"}, ["SELECT", "UPDATE"]),
        ("PUT", "tags/1", {"name": "new"}, ["SELECT", "UPDATE"]),
        ("DELETE", "tags/1", None, ["SELECT", "DELETE"]),
        ("POST", "seats", [{"row": n, "number": "A"} for n in range(50)], ["INSERT", "SELECT"]),
        ("PATCH", "tags?id=lt.9", {"name": "x"}, ["SELECT", "UPDATE", "SELECT"]),
        ("POST", "posts", {"title": "t", "tags": [{"id": 1}, {"id": 2}]},
         ["SELECT", "INSERT", "INSERT"]),
    ],
)  # fmt: skip
def test_a_write_is_a_few_statements(
    market: Shop, method: str, path: str, body: Any, expected: list[str]
) -> None:
    """Their number doesn't grow with the rows; an item's answer is one read more, unseen here."""
    market.create("tags", [{"name": "a"}, {"name": "b"}])
    if path.startswith("tags?"):
        market.send("DELETE", "tags/2")
    with recorded(market) as statements:
        assert market.send(method, path, body).status_code < 300
    assert [s for s in statements if s != "BEGIN"] == expected


def test_sqlite_enforces_foreign_keys_only_for_our_own_writes(market: Shop) -> None:
    """The connection goes back to the application's pool as it was."""
    with market.app.app_context(), market.db.engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            assert market.send("POST", "posts", {"title": "t", "author_id": 9}).status_code == 409
            return
        before = connection.exec_driver_sql("PRAGMA foreign_keys").scalar()
    assert market.send("POST", "posts", {"title": "t", "author_id": 9}).status_code == 409
    with market.app.app_context(), market.db.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == before == 0


def test_a_deferred_constraint_is_met_by_commits_and_dry_runs(database_url: str) -> None:
    """What only the COMMIT checks is a 409 there, and in a dry run too."""
    market = make_shop(database_url)
    body = {"word": "x", "friend_id": 9}
    for prefer in ("tx=commit", "tx=rollback"):
        response = market.send("POST", "friends", body, Prefer=prefer)
        assert response.status_code == 409, response.text
        assert response.json["errors"][0]["pointer"] == "/friend_id"
    assert market.rows("SELECT count(*) FROM friends") == [(0,)]
    market.close()


def test_a_locked_database_is_503(database_url: str) -> None:
    """A write that can't get its lock in time is told to try again."""
    if database_url.startswith("sqlite"):
        options: dict[str, Any] = {"connect_args": {"timeout": 0.2}}
    elif database_url.startswith("mariadb"):
        wait = "SET innodb_lock_wait_timeout = 1"
        options = {"connect_args": {"init_command": wait}}
    else:
        options = {"connect_args": {"options": "-c lock_timeout=200"}}
    market = make_shop(database_url, SQLALCHEMY_ENGINE_OPTIONS=options)
    market.create("tags", {"name": "x"})
    with market.app.app_context(), market.db.engine.begin() as connection:
        connection.execute(sa.text("UPDATE tags SET name = 'y'"))
        response = market.send("PATCH", "tags/1", {"name": "z"})
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert market.send("PATCH", "tags/1", {"name": "z"}).status_code == 200
    market.close()


def test_a_stale_connection_is_replaced(postgresql_url: str, market: Shop) -> None:
    """A connection that died in the pool costs the client nothing."""
    market.create("tags", {"name": "a"})
    with market.app.app_context():
        url = market.db.engine.url
    if url.get_backend_name() == "postgresql":
        plain = make_url(postgresql_url).set(drivername="postgresql")
        with psycopg.connect(
            plain.render_as_string(hide_password=False), autocommit=True
        ) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [url.database],
            )
    assert market.send("POST", "tags", {"name": "b"}).status_code == 201
    assert market.send("DELETE", "tags/1").status_code == 204
