"""Random requests of an actor who wants to know what there is beyond what may be read.

Foreign keys point at readable, unreadable and missing rows. Only what would tell by itself is
left out: a value of a unique field, or a key, that an unreadable row may have; and deletes of
rows that unreadable ones point at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from carboy.schema import Schema

from .reading import Reader, path_of, query_of, sent
from .two_worlds import (
    LAST,
    SIZES,
    TABLES,
    Key,
    Row,
    Who,
    World,
    hidden_fields,
    pointed_at,
    references,
    seen,
)

CASCADES = {("comments", "post_id"), ("posts", "parent_id"), ("post_tags", "post_id"),
            ("post_tags", "tag_id")}  # fmt: skip
"""Foreign keys that don't stand in the way of deleting the row that they point at."""
NESTED = {"posts": ("comments", "tags", "replies", "author", "parent"), "projects": ("tasks",),
          "teams": ("users",), "users": ("posts", "team"), "tags": ("posts",),
          "tasks": ("project", "owner"), "comments": ("post",)}  # fmt: skip

WRITERS: Mapping[str, tuple[str, ...]] = {
    "users.team_id": ("admin",),
    "posts.published": ("editor", "admin"),
    "posts.reviewer_id": ("editor",),
    "posts.author_id": (),
    "comments.author_id": (),
    "tasks.private": ("editor", "admin"),
    "tasks.owner_id": (),
}
"""Who may write these fields; they are seldom sent by others."""


@dataclass(frozen=True)
class Ask:
    """One request; ``features`` say what is in it."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    features: tuple[str, ...] = ()

    def __str__(self) -> str:
        body = "" if self.body is None else f"\n{json.dumps(self.body)}"
        return f"{self.method} /api/{self.path}?{self.query} {dict(self.headers)}{body}"


class Asker(Reader):
    """Makes the requests of one actor about two worlds."""

    def __init__(self, rng: Random, schema: Schema, worlds: Sequence[World], who: Who) -> None:
        super().__init__(rng, schema, worlds, who)
        self.pinned = {key for world in worlds for key in _pinned(world, who)}
        self._fresh = LAST

    def ask(self, *, writes: float = 0.4) -> Ask:
        """A request."""
        self.features = Counter()
        made = self._write() if self.chance(writes) else self.read()
        return replace(Ask(*made), features=tuple(self.features))

    def _write(self) -> tuple[Any, ...]:
        table = str(self.one([*SIZES, "posts", "comments", "tasks", "projects", "post_tags"]))
        method = self.one(("POST", "POST", "PATCH", "PATCH", "PUT", "DELETE"))
        self.note(method)
        prefer = ["tx=rollback"]
        parts = [self.select(table, 1)] if self.chance(0.3) else []
        if self.chance(0.4):
            prefer.append(f"return={self.one(('representation', 'minimal'))}")
        headers: dict[str, str] = {}
        made = getattr(self, f"_{method.lower()}")(table, parts, prefer, headers)
        path, body = made
        headers["Prefer"] = ", ".join(prefer)
        return method, path, query_of(parts), headers, body

    def _post(
        self, table: str, parts: list[Any], prefer: list[str], headers: dict[str, str]
    ) -> tuple[str, Any]:
        if self.chance(0.1):
            prefer.append("missing=null")
        upsert = self.chance(0.35)
        if upsert:
            self.note("upsert")
            prefer.append(f"resolution={self.one(('merge', 'ignore'))}-duplicates")
        many = self.chance(0.35)
        count = self.one((1, 2, 3)) if many else 1
        by = self._conflict(table) if upsert else None
        if by is not None:
            self.note("on_conflict")
            parts.append(("on_conflict", by))
        rows = [
            self.row(table, "create", upsert=upsert, by=by, nested=not upsert) for _ in range(count)
        ]
        if many:
            self.note("bulk")
        return table, rows if many else rows[0]

    def _conflict(self, table: str) -> str | None:
        uniques = [str(c.name) for c in TABLES[table].columns if c.unique]
        return str(self.one(uniques)) if uniques and self.chance(0.4) else None

    def _patch(
        self, table: str, parts: list[Any], prefer: list[str], headers: dict[str, str]
    ) -> tuple[str, Any]:
        if self.chance(0.25):
            self.note("PATCH by filter")
            if self.chance(0.3):
                prefer.append(f"max-affected={self.rng.randint(0, 3)}")
            parts.append(self.filter(table, ""))
            unique = {str(c.name) for c in TABLES[table].columns if c.unique}
            body = self.row(table, "update", nested=False)
            return table, {n: v for n, v in body.items() if n not in unique}
        key = self.key(table)
        if self.chance(0.15):
            self.note("If-Match")
            headers["If-Match"] = self.one(("*", '"0123-4567"'))
        return f"{table}/{path_of(key)}", self.row(table, "update", key=key)

    def _put(
        self, table: str, parts: list[Any], prefer: list[str], headers: dict[str, str]
    ) -> tuple[str, Any]:
        rows = sorted(self.seen[table])
        if rows and self.chance(0.7):
            key = self.one(rows)
        else:
            # An unreadable key is in the way of a new row.
            key = tuple(self.rng.randint(70, 80) for _ in TABLES[table].primary_key)
        body = self.row(table, "create", key=key)
        return f"{table}/{path_of(key)}", body

    def _delete(
        self, table: str, parts: list[Any], prefer: list[str], headers: dict[str, str]
    ) -> tuple[str, Any]:
        if self.chance(0.3):
            self.note("DELETE by filter")
            parts.append(self.filter(table, ""))
            names = [str(c.name) for c in TABLES[table].primary_key]
            free = [k for k in sorted(self.seen[table]) if (table, k) not in self.pinned]
            keys = [f"and({','.join(f'{n}.eq.{v}' for n, v in zip(names, k, strict=True))})"
                    for k in free[:8]]  # fmt: skip
            # No key is 0.
            parts.append(("or", f"({','.join(keys or [f'{names[0]}.eq.0'])})"))
            return table, None
        key = self.key(table)
        if (table, key) in self.pinned and key in self.seen[table]:
            key = tuple(77 for _ in key)
        return f"{table}/{path_of(key)}", None

    def row(
        self,
        table: str,
        mode: str,
        *,
        key: Key | None = None,
        upsert: bool = False,
        by: str | None = None,
        nested: bool = True,
    ) -> Row:
        """A body's object."""
        row: Row = {}
        primary = [str(c.name) for c in TABLES[table].primary_key]
        for column in TABLES[table].columns:
            name = str(column.name)
            wanted = 0.9 if mode == "create" and not column.nullable else 0.3
            if name in hidden_fields(table, self.who):
                # Who may create users has to give them an email that nobody reads.
                wanted = 0.9 if table == "users" and mode == "create" and name == "email" else 0.03
            roles = WRITERS.get(f"{table}.{name}")
            if roles is not None and not self.who.has(*roles):
                wanted = 0.03
            if name in primary or not self.chance(wanted):
                continue
            row[name] = self.written(table, name)
        for columns, target in references(table):
            if any(name in row for name in columns):
                self.refer(row, table, columns, target)
        for name in primary if mode == "update" else ():
            row.pop(name, None)
        self._keys(row, table, mode, key, upsert)
        if by is not None:
            row[by] = self._matching(table, by)
        if nested and table in NESTED and self.chance(0.25):
            self._nest(row, table, key)
        return row

    def _keys(self, row: Row, table: str, mode: str, key: Key | None, upsert: bool) -> None:
        """Give a row its key: a new one's must be free in both worlds."""
        primary = [str(c.name) for c in TABLES[table].primary_key]
        if key is not None:
            if self.chance(0.2):
                row |= dict(zip(primary, key, strict=True))
            return
        if mode != "create" or (primary == ["id"] and not upsert and self.chance(0.9)):
            return
        readable = sorted(self.seen[table])
        if upsert and readable and self.chance(0.6):
            row |= dict(zip(primary, self.one(readable), strict=True))
            return
        if primary == ["id"]:
            return
        free = [k for k in self._pairs(table) if not any(k in w[table] for w in self.worlds)]
        row |= dict(zip(primary, self.one(free), strict=True))

    def _pairs(self, table: str) -> list[Key]:
        """Keys of two parts, whose rows may be there or not."""
        if table == "projects":
            teams = {k[0] for world in self.worlds for k in world["teams"]} | {777}
            return [(team, number) for team in sorted(teams) for number in range(20, 30)]
        ends = [sorted({k[0] for w in self.worlds for k in w[t]}) for t in ("posts", "tags")]
        return [(a, b) for a in (*ends[0], 777) for b in (*ends[1], 777)]

    def _matching(self, table: str, by: str) -> Any:
        """A value to match by: new, or a row's that may be read; a hidden field's is anybody's."""
        if by in hidden_fields(table, self.who):
            return self.stored(table, by)
        values = [r[by] for r in self.seen[table].values() if r[by] is not None]
        return self.one(values) if values and self.chance(0.6) else self.new_text()

    def written(self, table: str, name: str) -> Any:
        """A value to write: one that no row has where it must be unique."""
        column = TABLES[table].columns[name]
        if column.nullable and self.chance(0.15):
            return None
        if self.chance(0.02):
            self.note("wrong value")
            return self.one(([], {}, "x" * 300, True, -1, 10**30))
        if column.unique:
            return self.new_text()
        return sent(self.stored(table, name))

    def new_text(self) -> str:
        """A text that is nowhere yet."""
        self._fresh += 1
        return f"new {self._fresh}"

    def refer(self, row: Row, table: str, columns: tuple[str, ...], target: str) -> None:
        """Let a foreign key, or a part of it, point somewhere."""
        key = self.key(target)
        self.note("foreign key")
        for name, value in zip(columns, key, strict=True):
            if len(columns) == 1 or self.chance(0.7):
                row[name] = value

    def _nest(self, row: Row, table: str, key: Key | None) -> None:
        """Rows under a relation: links to rows, and new ones."""
        relation = str(self.one(NESTED[table]))
        [found] = [r for r in self.schema.resources[table].relations[relation] if r.attribute][:1]
        self.note("nested")
        if not found.many:
            row[relation] = self._child(found.target, table, key)
            return
        children = [self._child(found.target, table, key) for _ in range(self.one((0, 1, 2)))]
        row[relation] = [c for c in children if c is not None]

    def _child(self, target: str, parent: str, parent_key: Key | None) -> Row | None:
        if self.chance(0.5):
            self.note("link")
            key = self.key(target)
            if self._linked_unseen(target, parent, parent_key, key):
                return None
            primary = [str(c.name) for c in TABLES[target].primary_key]
            linked: Row = dict(zip(primary, key, strict=True))
            if key in self.seen[target] and self.chance(0.2):
                linked |= {"text": "changed"}
            return linked
        child = self.row(target, "create", nested=False)
        return {n: v for n, v in child.items() if n != "post_id"}

    def _linked_unseen(self, target: str, parent: str, parent_key: Key | None, key: Key) -> bool:
        """Whether there is a link already, in a row that may not be read: its key is taken."""
        if {target, parent} != {"posts", "tags"} or parent_key is None:
            return False
        pair = (*parent_key, *key) if parent == "posts" else (*key, *parent_key)
        there = any(pair in world["post_tags"] for world in self.worlds)
        return there and pair not in self.seen["post_tags"]


def _pinned(world: World, who: Who) -> set[tuple[str, Key]]:
    """Rows that can't be deleted for what the actor may not read: a row, or where it points."""
    readable = seen(world, who)
    found = set()
    for table, rows in world.items():
        for columns, target in references(table):
            if (table, columns[-1]) in CASCADES:
                continue
            hidden = not hidden_fields(table, who).isdisjoint(columns)
            for key, row in rows.items():
                at = pointed_at(row, columns)
                if at is not None and (hidden or key not in readable[table]):
                    found.add((target, at))
    return found
