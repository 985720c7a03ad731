"""Who takes part: each peer, which scenarios it answers, and where."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jwt
from msgspec import Struct

from .envelopes import datasette_rows, json_api
from .scenarios import BY_NAME, POLICY, Scenario

ROOT = Path(__file__).parents[1]
SECRET = secrets.token_hex(32)
"""What tokens are signed with, in this run."""


class Ask(Struct, frozen=True):
    """How a peer is asked for a scenario, where that differs from what the scenario says.

    ``cursor_from`` is the path of the page whose ``next`` is the path's ``{cursor}``. The answer's
    headers have to begin with what ``says`` has.
    """

    path: str = ""
    headers: Mapping[str, str] = {}
    body: str = ""
    cursor_from: str = ""
    says: Mapping[str, str] = {}


class Peer(Struct, frozen=True, eq=False):
    """An application that answers scenarios.

    ``apart`` are those whose packages are in the benchmark's own environment. ``transfers`` names
    how many rows it sends and takes in a transfer: see ``Size``. ``rows`` takes its envelope off,
    where that isn't the scenario's own.
    """

    name: str
    title: str
    app: str
    asks: Mapping[str, Ask]
    interface: Literal["wsgi", "asgi"] = "wsgi"
    apart: bool = False
    database: Literal["postgresql", "sqlite"] = "postgresql"
    transfers: Literal["transferred", "by_hand"] = "by_hand"
    rows: Any = None

    @property
    def ours(self) -> bool:
        """Whether it is Carboy."""
        return self.name.startswith("carboy")

    @property
    def rival(self) -> bool:
        """Whether it is what Carboy wants to be faster than, and not a floor."""
        return not self.ours and self.name not in ("floor", "flask")


def _as_said(*scenarios: str) -> dict[str, Ask]:
    return {name: Ask() for name in scenarios}


_BLOG = ("one", "list", "page", "start")
_CONNECTIONS = ("one-by-1", "one-by-256")
_READS = ("count", "search", "aggregate")
_DEEP = ("first-page", "deep-cursor", "deep-offset")
_WRITES = ("insert", "update", "insert-many")
_TRANSFERS = ("export-ndjson", "export-csv", "import-ndjson", "import-csv")
_GROWTH = ("key-small", "key-large", "page-small", "page-large")

FLOOR = Peer(
    "floor",
    "Floor: bare WSGI and psycopg",
    "benchmarks.peers.floor:app",
    _as_said(*_BLOG, *_CONNECTIONS, *_READS, *_DEEP, "estimate", *_WRITES, *_TRANSFERS, *_GROWTH),
    transfers="transferred",
)
GUIDE = Peer(
    "guide",
    "The guides' code, eager loading",
    "benchmarks.peers.guide:app",
    _as_said(*_BLOG, *_CONNECTIONS, *_READS, *_DEEP, *_WRITES, *_TRANSFERS),
)
DRF = Peer(
    "drf",
    "Django REST Framework",
    "benchmarks.peers.drf.wsgi:app",
    _as_said(*_BLOG, *_READS, *_WRITES, *_TRANSFERS),
    apart=True,
)
FASTAPI = Peer(
    "fastapi",
    "FastAPI, async SQLAlchemy",
    "benchmarks.peers.fastapi_app:app",
    _as_said(*_BLOG, *_CONNECTIONS, *_READS, *_WRITES, *_TRANSFERS),
    interface="asgi",
    apart=True,
)

_LIST = (
    "/api/posts?select=id,title,created_at,author(id,username),category(id,name),tags(id,name)"
    "&order=created_at.desc,id.desc&limit=20"
)
_FLAT = "/api/posts?select=id,title,created_at,author_id&order=created_at.desc,id.desc&limit=20"
_PAGE = f"{_FLAT}&category_id=eq.{{key}}&published=is.true&offset=20"
_EVENTS = "/api/events_large?order=id&limit=20"
_NEWEST_OF = "/api/events_{}?account_id=eq.{{key}}&order=happened_at.desc,id.desc&limit=20"
_EXPORT = "/api/events_medium?order=id&limit={rows}"
_NO_ROWS = {"Prefer": "return=minimal"}
_NDJSON, _CSV = "application/x-ndjson", "text/csv"
_CARBOY_ASKS = {
    "one": Ask("/api/users/{key}"),
    "one-by-1": Ask("/api/users/{key}"),
    "one-by-256": Ask("/api/users/{key}"),
    "list": Ask(_LIST),
    "start": Ask(_LIST),
    "page": Ask(_PAGE),
    "count": Ask(_PAGE, {"Prefer": "count=exact"}),
    "estimate": Ask(_PAGE, {"Prefer": "count=planned"}),
    "search": Ask(f"{_FLAT}&q=word{{key}}"),
    "aggregate": Ask("/api/posts?select=...category(category:name),posts:count()&order=category"),
    "first-page": Ask(_EVENTS),
    "deep-cursor": Ask(f"{_EVENTS}&after={{cursor}}", cursor_from=f"{_EVENTS}&offset={{before}}"),
    "deep-offset": Ask(f"{_EVENTS}&offset={{depth}}"),
    "insert": Ask("/api/notes"),
    "update": Ask("/api/notes?author_id=eq.{key}", _NO_ROWS),
    "insert-many": Ask("/api/notes", _NO_ROWS),
    "export-ndjson": Ask(_EXPORT, {"Accept": _NDJSON}, says={"Content-Type": _NDJSON}),
    "export-csv": Ask(_EXPORT, {"Accept": _CSV}, says={"Content-Type": _CSV}),
    "import-ndjson": Ask("/api/arrivals", {"Content-Type": _NDJSON}),
    "import-csv": Ask("/api/arrivals", {"Content-Type": _CSV}),
    "key-small": Ask("/api/events_small/{key}"),
    "key-large": Ask("/api/events_large/{key}"),
    "page-small": Ask(_NEWEST_OF.format("small")),
    "page-large": Ask(_NEWEST_OF.format("large")),
}
CARBOY = Peer(
    "carboy",
    "Carboy",
    "benchmarks.peers.carboy_app:app",
    _CARBOY_ASKS,
    transfers="transferred",
)

_FIELDS = "&fields[Post]=title,created_at"
_JSON_API = {"Content-Type": "application/vnd.api+json"}
_SAFRS_LIST = (
    f"/api/posts?include=author,category,tags{_FIELDS}&fields[User]=username"
    "&sort=-created_at,-id&page[offset]=0&page[limit]=20"
)
_SAFRS_FILTER = (
    "%7B%22and%22:[%7B%22name%22:%22category_id%22,%22op%22:%22eq%22,%22val%22:{key}%7D,"
    "%7B%22name%22:%22published%22,%22op%22:%22eq%22,%22val%22:true%7D]%7D"
)
SAFRS = Peer(
    "safrs",
    "SAFRS",
    "benchmarks.peers.safrs_app:app",
    {
        "one": Ask("/api/users/{key}"),
        "list": Ask(_SAFRS_LIST),
        "start": Ask(_SAFRS_LIST),
        "page": Ask(
            f"/api/posts?filter={_SAFRS_FILTER}{_FIELDS},author_id"
            "&sort=-created_at,-id&page[offset]=20&page[limit]=20"
        ),
        "insert": Ask("/api/notes", _JSON_API, body="json-api-note"),
    },
    apart=True,
    rows=json_api,
)

_HIT = {"X-Cache": "hit"}
FLASK = Peer(
    "flask", "Flask's own trivial view", "benchmarks.peers.flask_view:app", _as_said("cached")
)
CACHED = Peer(
    "carboy-cached",
    "Carboy, cache in the process",
    "benchmarks.peers.carboy_cached:in_process",
    {"cached": Ask("/api/users/1", says=_HIT)},
)
CACHED_REDIS = Peer(
    "carboy-redis",
    "Carboy, cache in Redis",
    "benchmarks.peers.carboy_cached:in_redis",
    {"cached": Ask("/api/users/1", says=_HIT)},
)

_FILTERS = (
    f"&or=(published.is.true,author_id.eq.{POLICY.actor})"
    f"&author.or=(is_active.is.true,id.eq.{POLICY.actor})"
)
BY_HAND = Peer(
    "carboy-by-hand",
    "Carboy, the same filters in the URL",
    "benchmarks.peers.carboy_policy:by_hand",
    {"policy": Ask(_LIST + _FILTERS)},
)
LIMITED = Peer(
    "carboy-policy",
    "Carboy, row policies",
    "benchmarks.peers.carboy_policy:limited",
    {"policy": Ask(_LIST)},
)

SQLITE_GUIDE = Peer(
    "guide-sqlite",
    "The guides' code, on SQLite",
    "benchmarks.peers.guide:app",
    {"sqlite-one": Ask(), "sqlite-page": Ask()},
    database="sqlite",
)
SQLITE_CARBOY = Peer(
    "carboy-sqlite",
    "Carboy, on SQLite",
    "benchmarks.peers.carboy_app:app",
    {"sqlite-one": Ask("/api/users/{key}"), "sqlite-page": Ask(_PAGE)},
    database="sqlite",
)
DATASETTE = Peer(
    "datasette",
    "Datasette",
    "benchmarks.peers.datasette_app:app",
    {
        "sqlite-one": Ask("/blog/users/{key}.json?_shape=array"),
        "sqlite-page": Ask(
            "/blog.json?_shape=array&sql=select+id,title,created_at,author_id+from+posts"
            "+where+category_id=:key+and+published+order+by+created_at+desc,id+desc"
            "+limit+20+offset+20&key={key}"
        ),
    },
    interface="asgi",
    apart=True,
    database="sqlite",
    rows=datasette_rows,
)

PEERS = (
    FLOOR, CARBOY, GUIDE, DRF, FASTAPI, SAFRS, FLASK, CACHED, CACHED_REDIS, BY_HAND, LIMITED,
    SQLITE_CARBOY, SQLITE_GUIDE, DATASETTE,
)  # fmt: skip
BY_PEER = {peer.name: peer for peer in PEERS}


def headers(scenario: Scenario, ask: Ask) -> dict[str, str]:
    """What a request says beside its path: who asks, for what, and of what kind its body is."""
    said = {"Content-Type": "application/json"} if scenario.body else {}
    if scenario.actor is not None:
        claims = {"sub": str(scenario.actor), "exp": int(time.time()) + 24 * 3600}
        said["Authorization"] = f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"
    return said | dict(ask.headers)


def contestants(scenario: Scenario, peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
    """Those of the peers that answer a scenario."""
    assert scenario is BY_NAME[scenario.name]
    return tuple(peer for peer in peers if scenario.name in peer.asks)
