"""What is asked of each peer."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["load", "transfer", "process"]


class Scenario(Struct, frozen=True):
    """A request that every peer answers with the same JSON, and how it is measured.

    ``load`` is requests a second from wrk, ``transfer`` rows a second of one large request, and
    ``process`` is what a server that was just started takes.

    ``path`` is where a peer answers it unless it says otherwise. What stands in braces in it is
    replaced: ``{key}`` by a number from 1 to the size that ``keys`` names, another one in each
    request; ``{rows}`` by the rows that the peer is to send; ``{cursor}`` by a page's ``next``;
    ``{depth}`` by how many rows are before that page, and ``{before}`` before the one before it.
    ``rows`` is how many rows its ``data`` has,
    or how many lines a transfer, by number or as the name of a size. ``body`` is the name of a body
    in ``bodies``, and ``writes`` the table that is made anew before each measurement. ``actor`` is
    the user who asks, by a token, where it isn't anybody.
    """

    name: str
    title: str
    path: str
    kind: Kind = "load"
    method: str = "GET"
    keys: str = ""
    rows: int | str | None = None
    connections: int | None = None
    body: str = ""
    writes: str = ""
    actor: int | None = None


ONE = Scenario("one", "One user by key", "/users/{key}", keys="users")
LIST = Scenario("list", "20 posts with author, category and tags", "/posts", rows=20)
POLICY = Scenario("policy", "20 posts under row policies", "/api/posts", rows=20, actor=7)
"""Asked of Carboy alone: with policies, and with the same conditions by hand."""

SCENARIOS = (
    ONE,
    LIST,
    Scenario(
        "page", "Filter, sort and page of 20 flat posts", "/posts/page?category={key}",
        keys="categories", rows=20,
    ),
    Scenario("first-page", "The first page of a large table", "/events", rows=20, connections=1),
    Scenario(
        "deep-cursor", "A page at depth, by cursor", "/events?after={depth}", rows=20,
        connections=1,
    ),
    Scenario(
        "deep-offset", "A page at depth, by offset", "/events?offset={depth}", rows=20,
        connections=1,
    ),
    Scenario(
        "count", "20 posts with an exact count", "/posts/count?category={key}",
        keys="categories", rows=20,
    ),
    Scenario(
        "estimate", "20 posts with an estimated count", "/posts/estimate?category={key}",
        keys="categories", rows=20,
    ),
    Scenario("search", "Search for a word in 1 of 200 titles", "/posts/search?q=word{key}",
             keys="words", rows=20),
    Scenario("aggregate", "Posts counted by category", "/posts/by-category", rows="categories",
             connections=2),
    Scenario("insert", "Insert one row (durable)", "/notes", method="POST", body="note",
             writes="notes"),
    # One client: two that update the same rows would wait for each other.
    Scenario("update", "Update 100 rows by filter", "/notes?author={key}", method="PATCH",
             keys="authors", body="done", writes="notes", connections=1),
    Scenario("insert-many", "Insert 10,000 rows in one request", "/notes/many", "transfer",
             method="POST", rows="many", body="notes", writes="notes"),
    Scenario("export-ndjson", "Export as NDJSON", "/events.ndjson?limit={rows}", "transfer",
             rows="transferred"),
    Scenario("export-csv", "Export as CSV", "/events.csv?limit={rows}", "transfer",
             rows="transferred"),
    Scenario("import-ndjson", "Import of NDJSON", "/arrivals.ndjson", "transfer", method="POST",
             rows="transferred", body="ndjson", writes="arrivals"),
    Scenario("import-csv", "Import of CSV", "/arrivals.csv", "transfer", method="POST",
             rows="transferred", body="csv", writes="arrivals"),
    Scenario("cached", "A cached read", "/users/1"),
    Scenario("one-by-1", "One user by key, 1 connection", "/users/{key}", keys="users",
             connections=1),
    Scenario("one-by-256", "One user by key, 256 connections", "/users/{key}", keys="users",
             connections=256),
    Scenario("key-small", "By key, of a small table", "/small/{key}", keys="small",
             connections=1),
    Scenario("key-large", "By key, of a large table", "/large/{key}", keys="large",
             connections=1),
    Scenario("page-small", "Filter, sort and page of a small table", "/small?account={key}",
             keys="small_accounts", rows=20, connections=1),
    Scenario("page-large", "Filter, sort and page of a large table", "/large?account={key}",
             keys="large_accounts", rows=20, connections=1),
    Scenario("sqlite-one", "SQLite: one user by key", "/users/{key}", keys="users"),
    Scenario("sqlite-page", "SQLite: filter, sort and page of 20 flat posts",
             "/posts/page?category={key}", keys="categories", rows=20),
    POLICY,
    # The path is what the first request asks for, and the load that memory is measured under.
    Scenario("start", "From start to the first answer", "/posts", "process", rows=20),
)  # fmt: skip
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
