"""The access matrix: what each actor is answered to each operation and on each leak path.

A cell is a status, or several where a path has several requests. After it stand:

``+``  the operation changed the database.
``=``  the answers are the same, to the byte, in two worlds that differ in what is hidden.
``!``  they differ: the actor may read what differs. On the paths in ``TOLD``, the database itself
       tells that a value is taken; the values aren't in the answers all the same.

Whoever comes with a bad credential is answered 401, whatever they ask.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence

import flask
import jwt
import sqlalchemy as sa
from flask.testing import FlaskClient
from msgspec import Struct

from carboy.execute import idempotency
from carboy.execute.api_keys import TABLE
from carboy.execute.tables import create_table
from carboy.ops.api_keys import create_key, list_keys, revoke_key
from carboy.pipeline import allowed_methods

from .leaks import Ask, Subject
from .vault import ADAM, AUDIENCE, HIDDEN, OLGA, OMAR, RITA, Base, Which, fill, make_app, restart
from .world import SECRET, token

ACTORS = ("anonymous", "reader", "owner", "other", "limited", "admin")
BAD = (
    "revoked", "expired-key", "expired-token", "alg-none", "wrong-audience", "no-audience",
    "wrong-secret", "malformed", "basic", "no-such-key", "empty", "token-as-key",
)  # fmt: skip
TOLD = ("conflict", "conflict of fields")

_LIST, _ITEM, _NOTHING = (
    "/api/<string:resource>",
    "/api/<string:resource>/<carboy_key:key>",
    "/api/<carboy_key:path>",
)
_JOB = "/api/jobs/<string:key>"
_NEW = {"title": "new"}
_IMPORT = {"Content-Type": "application/x-ndjson"}
_WHOLE = {**_NEW, "owner_id": OLGA}
_MERGE = {"Prefer": "resolution=merge-duplicates"}
_IGNORE = {"Prefer": "resolution=ignore-duplicates"}
OPERATIONS: Mapping[str, tuple[str, Ask]] = {
    **{f"{m} index": ("/api", Ask("/api", m)) for m in ("GET", "HEAD", "OPTIONS")},
    **{f"{m} index/": ("/api/", Ask("/api/", m)) for m in ("GET", "HEAD", "OPTIONS")},
    **{f"{m} list": (_LIST, Ask("/api/papers", m)) for m in ("GET", "HEAD", "OPTIONS")},
    **{f"{m} item": (_ITEM, Ask("/api/papers/11", m)) for m in ("GET", "HEAD", "OPTIONS")},
    "GET nothing": (_NOTHING, Ask("/api/papers/")),
    **{f"{m} job": (_JOB, Ask("/api/jobs/1", m)) for m in ("GET", "HEAD", "OPTIONS")},
    "POST one": (_LIST, Ask("/api/papers", "POST", _NEW)),
    "POST for another": (_LIST, Ask("/api/papers", "POST", {**_NEW, "owner_id": OLGA})),
    "POST many": (_LIST, Ask("/api/papers", "POST", [_NEW, _NEW])),
    "POST many, one bad": (_LIST, Ask("/api/papers", "POST", [_NEW, {**_NEW, "parent_id": 12}])),
    "POST import": (_LIST, Ask("/api/papers", "POST", _NEW, _IMPORT)),
    "POST import for another": (
        _LIST,
        Ask("/api/papers", "POST", {**_NEW, "owner_id": OLGA}, _IMPORT),
    ),
    "POST import, bad": (_LIST, Ask("/api/papers", "POST", {**_NEW, "parent_id": 12}, _IMPORT)),
    "POST merge": (
        _LIST,
        Ask("/api/papers?on_conflict=code", "POST", {**_NEW, "code": "open"}, _MERGE),
    ),
    "POST merge hidden": (
        _LIST,
        Ask("/api/papers?on_conflict=code", "POST", {**_NEW, "code": f"{HIDDEN}-code"}, _MERGE),
    ),
    "POST ignore": (
        _LIST,
        Ask("/api/papers?on_conflict=code", "POST", {**_NEW, "code": "open"}, _IGNORE),
    ),
    "PATCH list": (_LIST, Ask("/api/papers?id=in.(11,12)", "PATCH", {"rank": 5})),
    "PATCH list, mixed": (_LIST, Ask("/api/papers?id=in.(11,13)", "PATCH", {"rank": 5})),
    "DELETE list": (_LIST, Ask("/api/papers?id=in.(12)", "DELETE")),
    "DELETE list, mixed": (_LIST, Ask("/api/papers?id=in.(12,14)", "DELETE")),
    "PUT item": (_ITEM, Ask("/api/papers/11", "PUT", _WHOLE)),
    "PUT shared item": (_ITEM, Ask("/api/papers/10", "PUT", _WHOLE)),
    "PATCH item": (_ITEM, Ask("/api/papers/11", "PATCH", {"rank": 5})),
    "PATCH shared item": (_ITEM, Ask("/api/papers/10", "PATCH", {"rank": 5})),
    "PATCH item's owner": (_ITEM, Ask("/api/papers/11", "PATCH", {"owner_id": OMAR})),
    "PATCH item's memo": (_ITEM, Ask("/api/papers/11", "PATCH", {"memo": "mine"})),
    "DELETE item": (_ITEM, Ask("/api/papers/11", "DELETE")),
    "DELETE shared item": (_ITEM, Ask("/api/papers/13", "DELETE")),
    "own GET": ("/own", Ask("/own")),
    "own HEAD": ("/own", Ask("/own", "HEAD")),
    "own POST": ("/own", Ask("/own", "POST", _NEW)),
    "own PATCH": ("/own/<int:key>", Ask("/own/11", "PATCH", {"rank": 5})),
    "own PATCH shared": ("/own/<int:key>", Ask("/own/13", "PATCH", {"rank": 5})),
    "own DELETE": ("/own/<int:key>", Ask("/own/11", "DELETE")),
}
"""Each with the rule of the application's URL map that it goes by."""


def routes(app: flask.Flask) -> set[tuple[str, str]]:
    """Every rule of the application, with every method that it takes."""
    with app.app_context():
        papers = app.extensions["carboy"].carboy.schema.resources["papers"]
    found: set[tuple[str, str]] = set()
    for rule in app.url_map.iter_rules():
        methods: set[str] = set(rule.methods or ())
        if rule.endpoint == "carboy":
            methods = set(allowed_methods(papers, "key" in rule.arguments))
        elif rule.endpoint in ("carboy_index", "carboy_job"):
            methods = {"GET", "HEAD", "OPTIONS"}
        elif rule.endpoint == "carboy_nothing":
            methods = {"GET"}
        # Flask's own OPTIONS for a view never reaches it.
        found |= {(rule.rule, m) for m in methods if rule.methods is None or m != "OPTIONS"}
    return found


def table(text: str) -> dict[str, dict[str, str]]:
    """Rows of a table as text: the name up to two spaces, then a cell for each actor."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()]
    return {name: dict(zip(ACTORS, cells, strict=True)) for name, *cells in lines}


class Answer(Struct, frozen=True):
    """What came back, whole: all that a client can look at."""

    status: int
    raw: str


class Vault:
    """The worlds on one kind of database, behind one application: it compiles statements once."""

    def __init__(self, engines: Mapping[Which, sa.Engine]) -> None:
        self._pools = {which: engine.pool for which, engine in engines.items()}
        self.engine = engines["seen"]
        for which, engine in engines.items():
            fill(engine, which)
            create_table(engine, idempotency.TABLE)
        self.credentials = credentials(self.engine)
        _copy_keys(self.engine, [e for e in engines.values() if e is not self.engine])
        self.app = make_app(self.engine)
        self.client: FlaskClient = self.app.test_client()
        self.enter("seen")

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.dispose()

    def enter(self, which: Which) -> None:
        """Let the application's connections be to this world."""
        self.engine.pool = self._pools[which]

    def ask(self, actor: str, ask: Ask, which: Which = "seen") -> list[Answer]:
        """The answers to a request, or to those for all pages."""
        self.enter(which)
        if ask.method not in ("GET", "HEAD", "OPTIONS"):
            restart(self.engine)
        path = ask.path if ask.path.startswith("/") else f"/api/{ask.path}"
        answers: list[Answer] = []
        following: str | None = path
        while following is not None:
            found = self.client.open(
                following,
                method=ask.method,
                json=ask.json,
                headers={**ask.headers, "X-Request-ID": "same", **self.credentials[actor]},
            )
            cursor = (
                found.get_json().get("next") if ask.follow and found.status_code < 300 else None
            )
            raw = f"{found.status_code}\n{found.headers}\n{found.get_data(as_text=True)}"
            answers.append(Answer(found.status_code, raw + _decoded(cursor)))
            following = None if cursor is None else f"{path}&after={cursor}"
        return answers

    def content(self) -> list[str]:
        """Everything that is stored in the world that was entered last."""
        with self.engine.connect() as connection:
            return sorted(
                f"{table.name} {row}"
                for table in Base.metadata.tables.values()
                for row in connection.execute(sa.select(table))
            )


def _decoded(cursor: str | None) -> str:
    """A cursor as whoever is curious decodes it, after its signature."""
    if cursor is None:
        return ""
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[16:].decode()


def hidden_words(of: Subject, ask: Ask, answers: Sequence[Answer]) -> list[str]:
    """What is hidden and stands in answers, apart from what the request itself says."""
    asked = f"{ask.path} {json.dumps(ask.json)}"
    found = {word for answer in answers for word in re.findall(of.hidden, answer.raw)}
    return sorted(word for word in found if word not in asked)


def _copy_keys(source: sa.Engine, targets: Sequence[sa.Engine]) -> None:
    with source.connect() as connection:
        keys = [dict(row) for row in connection.execute(sa.select(TABLE)).mappings()]
    for target in targets:
        create_table(target, TABLE)
        with target.begin() as connection:
            connection.execute(sa.insert(TABLE), keys)


def credentials(engine: sa.Engine) -> Mapping[str, dict[str, str]]:
    """The headers of each actor, and of everybody whose credential is bad."""
    good = {"aud": AUDIENCE}
    past = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    revoked = create_key(engine, "revoked", ["admin"], id=str(ADAM))
    revoke_key(engine, next(k.prefix for k in list_keys(engine) if k.name == "revoked"))
    expired = create_key(
        engine, "expired", ["admin"], id=str(ADAM), expires_in=dt.timedelta(seconds=-1)
    )
    claims = {"sub": str(ADAM), "roles": ["admin"], "aud": AUDIENCE, "exp": 2**40}
    bearers = {
        "reader": token(RITA, **good),
        "owner": token(OLGA, **good),
        "other": create_key(engine, "other", id=str(OMAR)),
        "limited": token(OLGA, "limited", **good),
        "admin": token(ADAM, "admin", **good),
        "revoked": revoked,
        "expired-key": expired,
        "expired-token": token(ADAM, "admin", **good, exp=past),
        "alg-none": jwt.encode(claims, "", algorithm="none"),
        "wrong-audience": token(ADAM, "admin", aud="elsewhere"),
        "no-audience": token(ADAM, "admin"),
        "wrong-secret": jwt.encode(claims, SECRET[::-1], algorithm="HS256"),
        "malformed": "x.y.z",
        "no-such-key": revoked[:-1] + ("x" if revoked[-1] != "x" else "y"),
    }
    headers = {actor: {"Authorization": f"Bearer {value}"} for actor, value in bearers.items()}
    return {
        **headers,
        "anonymous": {},
        "basic": {"Authorization": "Basic YWRhbTphZGFt"},
        "empty": {"Authorization": ""},
        "token-as-key": {"X-API-Key": bearers["admin"]},
    }
