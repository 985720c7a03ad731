"""Random requests of an actor who wants to know what there is beyond what may be read.

Field names are known, hidden and unknown ones, values come from both worlds, and foreign keys
point at readable, unreadable and missing rows. Only what would tell by itself is left out:
a value of a unique field, or a key, that an unreadable row may have; and deletes of rows that
unreadable ones point at.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from carboy.schema import Schema

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

ORDERED = ("eq", "neq", "gt", "gte", "lt", "lte", "isdistinct", "in")
WORDY = ("like", "ilike", "fts", "plfts", "phfts", "wfts", "eq(any)", "like(any)", "ilike(all)")
CONTAINING = ("cs", "cd", "ov")
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


class Asker:
    """Makes the requests of one actor about two worlds."""

    def __init__(self, rng: Random, schema: Schema, worlds: Sequence[World], who: Who) -> None:
        self.rng = rng
        self.schema = schema
        self.worlds = worlds
        self.who = who
        self.seen = seen(worlds[0], who)
        self.features: Counter[str] = Counter()
        self.pinned = {key for world in worlds for key in _pinned(world, who)}
        self._fresh = LAST

    def ask(self, *, writes: float = 0.4) -> Ask:
        """A request."""
        self.features = Counter()
        made = self._write() if self.chance(writes) else self._read()
        return Ask(*made, features=tuple(self.features))

    # Choosing

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def one(self, choices: Sequence[Any]) -> Any:
        return self.rng.choice(list(choices))

    def note(self, feature: str) -> None:
        self.features[feature] += 1

    def name(self, table: str) -> str:
        """A field's name: mostly one that may be read."""
        hidden = hidden_fields(table, self.who)
        names = [c.name for c in TABLES[table].columns]
        if hidden and self.chance(0.04):
            self.note("hidden field")
            return str(self.one(sorted(hidden)))
        if self.chance(0.01):
            self.note("unknown field")
            return "nope"
        return str(self.one([n for n in names if n not in hidden]))

    def relations(self, table: str, *, many: bool | None = None) -> list[tuple[str, str]]:
        """Names of relations, hints included, and where they lead."""
        found = []
        for name, choices in sorted(self.schema.resources[table].relations.items()):
            for one in choices:
                hint = f"!{one.hints[0]}" if len(choices) > 1 and one.hints else ""
                if many is None or one.many == many:
                    found.append((name + hint, one.target))
        return found

    def key(self, table: str) -> Key:
        """A key: of a row that may be read, of one that may not, or of none."""
        rows = self.seen[table]
        if rows and self.chance(0.6):
            self.note("readable key")
            return self.one(sorted(rows))  # type: ignore[no-any-return]
        if self.chance(0.7):
            unseen = sorted({k for w in self.worlds for k in w[table]} - rows.keys())
            if unseen:
                self.note("unreadable key")
                return self.one(unseen)  # type: ignore[no-any-return]
        self.note("missing key")
        return tuple(self.rng.randint(70, 80) for _ in TABLES[table].primary_key)

    def stored(self, table: str, name: str) -> Any:
        """A value that the field has somewhere, in rows that may be read or not."""
        values = [row[name] for world in self.worlds for row in world[table].values()]
        values = [value for value in values if value is not None]
        return self.one(values) if values else None

    # Reads

    def _read(self) -> tuple[Any, ...]:
        table = str(self.one(list(SIZES)))
        headers: dict[str, str] = {}
        method = "HEAD" if self.chance(0.03) else "GET"
        if self.chance(0.15):
            self.note("item")
            parts = [self.select(table, 0)] if self.chance(0.7) else []
            return method, f"{table}/{_path(self.key(table))}", _query(parts), headers
        parts = self.level(table, "", 0)
        searchable = self.schema.resources[table].search
        if self.chance(0.5 if searchable else 0.02):
            self.note("q")
            parts.append(("q", str(self.one(("draft", "secret", "plan", "ann bob", "a", "é")))))
        self._window(parts, headers)
        return method, table, _query(parts), headers

    def _window(self, parts: list[tuple[str, str]], headers: dict[str, str]) -> None:
        if self.chance(0.15):
            self.note("page")
            parts.append(("page", str(self.rng.randint(1, 3))))
            parts.append(("per_page", str(self.rng.randint(1, 6))))
        elif self.chance(0.5):
            self.note("limit")
            parts.append(("limit", str(self.rng.randint(0, 6))))
            if self.chance(0.3):
                self.note("offset")
                parts.append(("offset", str(self.rng.randint(0, 4))))
        if self.chance(0.3):
            count = self.one(("exact", "planned", "estimated"))
            self.note(f"count={count}")
            headers["Prefer"] = f"count={count}"

    def level(self, table: str, path: str, depth: int) -> list[tuple[str, str]]:
        """What is asked of a table, and of what is embedded in it: the query's parameters."""
        parts: list[tuple[str, str]] = []
        if self.chance(0.15):
            parts.append(("select", self.grouped(table)))
        elif self.chance(0.85):
            below: list[tuple[str, str]] = []
            parts.append(("select", self.items(table, path, depth, below)))
            parts += below
        for _ in range(self.one((0, 0, 1, 1, 2))):
            parts.append(self.filter(table, ""))
        if self.chance(0.4) and "()" not in dict(parts).get("select", ""):
            parts.append(("order", self.order(table)))
        return parts

    def select(self, table: str, depth: int) -> tuple[str, str]:
        """A select without parameters for its embeds."""
        return "select", self.items(table, "", depth, [])

    def items(self, table: str, path: str, depth: int, below: list[tuple[str, str]]) -> str:
        """The items of a select; what its embeds are filtered and ordered by goes ``below``."""
        found = ["*"] if self.chance(0.25) else [str(key.name) for key in TABLES[table].primary_key]
        for index in range(self.one((0, 1, 1, 2))):
            name = self.name(table)
            column = TABLES[table].columns.get(name)
            inside = column is not None and isinstance(column.type, sa.JSON) and self.chance(0.3)
            found.append(f"x{depth}{index}:{name}" + ("->a" if inside else ""))
        for index in range(self.one(((0, 0, 1, 1, 2), (0, 0, 1), (0, 0, 1), (0,))[depth])):
            found.append(self.embed(table, f"e{depth}{index}", path, depth, below))
        return ",".join(found)

    def embed(
        self, table: str, alias: str, path: str, depth: int, below: list[tuple[str, str]]
    ) -> str:
        """An embed with its own parameters."""
        relation, target = self.one(self.relations(table))
        self.note(f"embed {depth + 1}")
        inner = "!inner" if self.chance(0.25) else ""
        if inner:
            self.note("inner")
        if self.chance(0.12):
            self.note("spread")
            return f"...{relation}{inner}({alias}:{self.name(target)})"
        place = f"{path}{alias}."
        if self.chance(0.15):
            self.note("embed aggregate")
            return f"{alias}:{relation}{inner}({self.grouped(target)})"
        many = (relation, target) in self.relations(table, many=True)
        self._embed_parameters(target, place, path, alias, below, many)
        return f"{alias}:{relation}{inner}({self.items(target, place, depth + 1, below)})"

    def _embed_parameters(
        self,
        target: str,
        place: str,
        path: str,
        alias: str,
        below: list[tuple[str, str]],
        many: bool,
    ) -> None:
        if self.chance(0.3):
            self.note("embed filter")
            below.append(self.filter(target, place))
        if self.chance(0.15):
            self.note("embed order")
            below.append((f"{place}order", self.order(target)))
        if many and self.chance(0.15):
            self.note("embed limit")
            below.append((f"{place}limit", str(self.rng.randint(0, 3))))
        if not path and self.chance(0.25):
            self.note("is.null on an embed")
            below.append((alias, self.one(("is.null", "not.is.null", "is.not_null"))))

    def grouped(self, table: str) -> str:
        """Aggregates, beside fields to group by."""
        self.note("aggregate")
        found = ["n:count()"]
        for index in range(self.one((0, 1, 2))):
            function = self.one(("count", "sum", "avg", "min", "max"))
            numbers = [c.name for c in TABLES[table].columns if isinstance(c.type, sa.Integer)]
            name = self.one(numbers) if self.chance(0.9) else self.name(table)
            found.append(f"a{index}:{name}.{function}()")
        if self.chance(0.5):
            self.note("group")
            found.append(f"g:{self.name(table)}")
        one = self.relations(table, many=False)
        if one and self.chance(0.25):
            self.note("group by relation")
            relation, target = self.one(one)
            found.append(f"...{relation}(r:{self.name(target)})")
        return ",".join(found)

    def order(self, table: str) -> str:
        """Terms, some of which follow relations."""
        terms = []
        for _ in range(self.one((1, 1, 2))):
            direction = self.one(("", ".desc", ".asc.nullsfirst", ".desc.nullslast"))
            one = [pair for pair in self.relations(table, many=False) if "!" not in pair[0]]
            if one and self.chance(0.35):
                self.note("order by relation")
                relation, target = self.one(one)
                terms.append(f"{relation}({self.name(target)}){direction}")
            else:
                terms.append(self.name(table) + direction)
        return ",".join(terms)

    def filter(self, table: str, place: str) -> tuple[str, str]:
        """A condition, or a tree of them."""
        if self.chance(0.25):
            self.note("logic")
            word = self.one(("or", "and", "not.or"))
            children = [self.condition(table) for _ in range(self.one((1, 2, 3)))]
            texts = [f"{name}.{_quoted(text)}" for name, text in children]
            head, _, tail = word.rpartition(".")
            return f"{head}.{place}{tail}" if head and not place else place + tail, (
                f"({','.join(texts)})"
            )
        name, text = self.condition(table)
        return place + name, text

    def condition(self, table: str) -> tuple[str, str]:
        """A field, and an operator with its value."""
        name = self.name(table)
        column = TABLES[table].columns.get(name)
        negated = "not." if self.chance(0.2) else ""
        if column is None or self.chance(0.12):
            self.note("op is")
            return name, f"{negated}is.{self.one(('null', 'not_null', 'null', 'true'))}"
        if isinstance(column.type, sa.JSON):
            if self.chance(0.5):
                self.note("json path")
                return f"{name}->>a", f"{negated}eq.{self.one(('1', 'x'))}"
            op = self.one(CONTAINING)
            self.note(f"op {op}")
            document = self.one(("{}", "[1]", "[]", '["x"]'))
            return name, f"{negated}{op}.{document}"
        textual = isinstance(column.type, sa.String) and not isinstance(column.type, sa.Enum)
        op = self.one((*ORDERED, *WORDY) if textual else ORDERED)
        self.note(f"op {op}")
        return name, f"{negated}{op}.{self.operand(table, name, op)}"

    def operand(self, table: str, name: str, op: str) -> str:
        """The text of a value that some row has, or a pattern made from it."""
        value = _text(self.stored(table, name))
        if op == "in":
            others = [_text(self.stored(table, name)) for _ in range(self.one((0, 1, 3)))]
            return "({})".format(",".join(f'"{_escaped(v)}"' for v in (value, *others)))
        if "(" in op:
            return "{" + f'"*{_escaped(value[:3])}*"' + "}"
        if op in ("like", "ilike"):
            return f"*{value[1:4]}*"
        if op == "fts":
            return next(iter(value.split()), "x")
        return value

    # Writes

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
        return method, path, _query(parts), headers, body

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
        rows = [self.row(table, "create", upsert=upsert, by=by) for _ in range(count)]
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
        return f"{table}/{_path(key)}", self.row(table, "update", key=key)

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
        return f"{table}/{_path(key)}", body

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
        return f"{table}/{_path(key)}", None

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
        return _json(self.stored(table, name))

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


def _json(value: Any) -> Any:
    """A value as a body has it."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.date):
        return value.isoformat()
    return value if isinstance(value, str | int | float | dict | list | None) else str(value)


def _text(value: Any) -> str:
    """A value as a filter has it."""
    written = _json(value)
    return (
        "x"
        if written is None
        else str(written).lower()
        if isinstance(written, bool)
        else str(written)
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    """A condition's text as it stands in a tree: its value in quotes where it is plain."""
    op, dot, value = text.rpartition(".") if "." not in text else text.partition(".")
    while op.endswith("not") and value:
        more, _, value = value.partition(".")
        op = f"{op}.{more}"
    plain = value and value[0] not in "({[" and not op.endswith("is")
    return f'{op}{dot}"{_escaped(value)}"' if plain else text


def _path(key: Key) -> str:
    return ",".join(map(str, key))


def _query(parts: Sequence[tuple[str, str]]) -> str:
    safe = "(),.:*!\"'{}->[]"
    return "&".join(f"{quote(n, safe=safe)}={quote(v, safe=safe)}" for n, v in parts)
