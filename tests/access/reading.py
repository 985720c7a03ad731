"""Random reads of an actor who wants to know what there is beyond what may be read.

Field names are known, hidden and unknown ones; values come from both worlds.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from carboy.request import EXPORTS
from carboy.schema import Schema

from .two_worlds import SIZES, TABLES, Key, Who, World, hidden_fields, seen

ORDERED = ("eq", "neq", "gt", "gte", "lt", "lte", "isdistinct", "in")
WORDY = ("like", "ilike", "fts", "plfts", "phfts", "wfts", "eq(any)", "like(any)", "ilike(all)")
CONTAINING = ("cs", "cd", "ov")


class Reader:
    """Makes the reads of one actor about two worlds; ``features`` says what is in one."""

    def __init__(self, rng: Random, schema: Schema, worlds: Sequence[World], who: Who) -> None:
        self.rng = rng
        self.schema = schema
        self.worlds = worlds
        self.who = who
        self.seen = seen(worlds[0], who)
        self.features: Counter[str] = Counter()

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

    def read(self) -> tuple[Any, ...]:
        """A list or an item: method, path, query, headers."""
        table = str(self.one(list(SIZES)))
        headers: dict[str, str] = {}
        method = "HEAD" if self.chance(0.03) else "GET"
        if self.chance(0.15):
            self.note("item")
            parts = [self.select(table, 0)] if self.chance(0.7) else []
            return method, f"{table}/{path_of(self.key(table))}", query_of(parts), headers
        parts = self.level(table, "", 0)
        searchable = self.schema.resources[table].search
        if self.chance(0.5 if searchable else 0.02):
            self.note("q")
            parts.append(("q", str(self.one(("draft", "secret", "plan", "ann bob", "a", "é")))))
        self._window(parts, headers)
        if self.chance(0.15):
            self.note("export")
            headers["Accept"] = str(self.one(EXPORTS))
        return method, table, query_of(parts), headers

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
            texts = [f"{name}.{quoted(text)}" for name, text in children]
            head, _, tail = word.rpartition(".")
            return f"{head}.{place}{tail}" if head and not place else place + tail, (
                f"({','.join(texts)})"
            )
        name, text = self.condition(table)
        return place + name, text

    def condition(self, table: str) -> tuple[str, str]:
        """A field, and an operator with its value."""
        documents = [c.name for c in TABLES[table].columns if isinstance(c.type, sa.JSON)]
        name = self.one(documents) if documents and self.chance(0.4) else self.name(table)
        column = TABLES[table].columns.get(name)
        negated = "not." if self.chance(0.2) else ""
        if column is None or self.chance(0.12):
            self.note("op is")
            return name, f"{negated}is.{self.one(('null', 'not_null', 'null', 'true'))}"
        if isinstance(column.type, sa.JSON):
            if self.chance(0.3):
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
        value = as_text(self.stored(table, name))
        if op == "in":
            others = [as_text(self.stored(table, name)) for _ in range(self.one((0, 1, 3)))]
            return "({})".format(",".join(f'"{escaped(v)}"' for v in (value, *others)))
        if "(" in op:
            return "{" + f'"*{escaped(value[:3])}*"' + "}"
        if op in ("like", "ilike"):
            return f"*{value[1:4]}*"
        if op == "fts":
            return next(iter(value.split()), "x")
        return value


def sent(value: Any) -> Any:
    """A value as a body has it."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.date):
        return value.isoformat()
    return value if isinstance(value, str | int | float | dict | list | None) else str(value)


def as_text(value: Any) -> str:
    """A value as a filter has it."""
    written = sent(value)
    return (
        "x"
        if written is None
        else str(written).lower()
        if isinstance(written, bool)
        else str(written)
    )


def escaped(text: str) -> str:
    """A text as it stands between quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def quoted(text: str) -> str:
    """A condition's text as it stands in a tree: its value in quotes where it is plain."""
    op, dot, value = text.rpartition(".") if "." not in text else text.partition(".")
    while op.endswith("not") and value:
        more, _, value = value.partition(".")
        op = f"{op}.{more}"
    plain = value and value[0] not in "({[" and not op.endswith("is")
    return f'{op}{dot}"{escaped(value)}"' if plain else text


def path_of(key: Key) -> str:
    """A key as a URL has it."""
    return ",".join(map(str, key))


def query_of(parts: Sequence[tuple[str, str]]) -> str:
    """Parameters as a query string."""
    safe = "(),.:*!\"'{}->[]"
    return "&".join(f"{quote(n, safe=safe)}={quote(v, safe=safe)}" for n, v in parts)
