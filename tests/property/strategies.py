"""Random requests about one data set; they shrink to few items, filters and terms."""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from .asks import Ask, Condition, Embed, Everything, Filter, Item, Level, Logic, Pick, Ref, Term
from .data import DOCUMENTS, TEXTS, VALUES, Data, Json
from .models import Column, Family, Table

MAX_DEPTH = 3
_STEPS: tuple[str | int, ...] = (
    "a", "b", 0, 1, -1, -2, "c", "é", "1", "a b", "a.b", "$", "[0]", "it's",
)  # fmt: skip
_ALIASES = ("x", "y", "it's", 'say "x"', "é☃", "a.b", "%s", ":v0", "back\\slash", "count", " a b")
_PATTERNS = (
    "*", "%", "_", "a*", "*a", "*b*", "__", "\\%", "*\\%", "\\_", "*\\\\*", "a\\_b", "", "*É*", "é",
    "σ", "Σ*", "ß", "İ", "i", "*[*", "*]", "?", "[a]", "A%", "*'*", "*😀", "_*_", "**", "%\\**",
)  # fmt: skip
_SUMMABLE = ("small", "int", "big", "float", "numeric")
_ORDERED = (*_SUMMABLE, "wild", "text", "date", "naive", "aware")


@lru_cache(maxsize=None, typed=True)
def _among(*choices: Any) -> SearchStrategy[Any]:
    """One of them; remembered, since making a strategy costs more than drawing from it."""
    return st.sampled_from(choices)


@st.composite
def asks(draw: DrawFn, family: Family, data: Data) -> Ask:
    """A whole request."""
    maker = _Maker(draw, family, data)
    table = family.tables[draw(st.sampled_from(sorted(family.tables)))]
    kind = draw(st.sampled_from(("list", "list", "page", "follow", "item")))
    rows = data[table.source]
    if kind == "item" and rows:
        row = draw(st.sampled_from(rows))
        level = maker.level(table, 0, bare=True)
        return Ask(table.name, level, key=tuple(row[name] for name in table.key))
    grouped = draw(st.integers(0, 4)) == 4
    level = maker.grouped(table, top=True) if grouped else maker.level(table, 0)
    if kind == "page":
        level = dataclasses.replace(level, limit=None, offset=None)
        page, per_page = draw(st.integers(1, 4)), draw(st.integers(1, 9))
        return Ask(table.name, level, page=page, per_page=per_page)
    if kind == "follow" and not grouped:
        level = dataclasses.replace(level, limit=draw(st.integers(1, 5)), offset=None)
        return Ask(table.name, level, follow=True)
    return Ask(table.name, level, count=draw(st.booleans()))


def is_unordered(level: Level, table: Table) -> bool:
    """Whether a grouped level holds whole documents, whose order is each database's own."""
    return level.grouped and any(
        (isinstance(item, Embed) and not item.spread)
        or (isinstance(item, Pick) and item.ref is not None and _is_json(table, item))
        for item in level.items
    )


def _is_json(table: Table, item: Pick) -> bool:
    assert item.ref is not None
    return item.aggregate is None and table.columns[item.ref.name].kind == "json"


def _renamed(level: Level, prefix: str) -> Level:
    """A spread's values under names of their own, which rarely clash with the parent's."""
    items = tuple(
        dataclasses.replace(i, alias=f"{prefix} {i.key}") if isinstance(i, Pick) else i
        for i in level.items
    )
    new = {i.key for i in level.items if isinstance(i, Pick)} if level.grouped else set()
    order = tuple(
        Term(Ref(f"{prefix} {t.ref.name}"), (), t.descending, t.nulls) if t.ref.name in new else t
        for t in level.order
    )
    return dataclasses.replace(level, items=items, order=order)


class _Maker:
    """Draws the parts of one request."""

    def __init__(self, draw: DrawFn, family: Family, data: Data) -> None:
        self.draw = draw
        self.tables = family.tables
        self.data = data
        self.embeds = 0

    def one(self, *choices: Any) -> Any:
        return self.draw(_among(*choices))

    def some(self, most: int) -> range:
        """As many as drawn, few more often than many."""
        return range(self.draw(_among(*range(most + 1))))

    # Levels

    def level(self, table: Table, depth: int, *, bare: bool = False, single: bool = False) -> Level:
        items = self.items(table, depth)
        filters = tuple(self.filter(table, 0) for _ in self.some(2 if depth else 3))
        if bare:
            return Level(items, filters)
        order = self.order(table)
        if single:
            return Level(items, filters, order)
        return Level(items, filters, order, *self.window())

    def window(self) -> tuple[int | None, int | None]:
        return self.one(None, None, 0, 1, 2, 3, 10), self.one(None, None, None, 0, 1, 3, 50)

    def items(self, table: Table, depth: int) -> tuple[Item, ...]:
        found: list[Item] = []
        keys: set[str] = set()
        if self.one(True, False, False):
            self.add(found, keys, Everything(), set(table.columns))
        for _ in self.some(3):
            pick = self.pick(table)
            self.add(found, keys, pick, {pick.key})
        for _ in self.some(2 if depth < MAX_DEPTH and self.embeds < 4 else 0):
            embed = self.embed(table, depth)
            self.add(found, keys, embed, self.keys(table, embed))
        return tuple(found) if found else (Pick(Ref(table.key[0])),)

    def add(self, found: list[Item], keys: set[str], item: Item, new: set[str]) -> None:
        """Take an item unless it would give an object the same key twice."""
        paths = {i.key for i in found if isinstance(i, Embed)}
        if keys & new or (isinstance(item, Embed) and item.key in paths):
            return
        found.append(item)
        keys |= new

    def keys(self, table: Table, item: Item) -> set[str]:
        if isinstance(item, Everything):
            return set(table.columns)
        if isinstance(item, Pick):
            return {item.key}
        if not item.spread:
            return {item.key} if item.level.items else set()
        target = self.tables[table.links[item.relation].target]
        return set().union(*(self.keys(target, below) for below in item.level.items))

    def pick(self, table: Table) -> Pick:
        ref = self.ref(table)
        alias = self.one(None, None, None, *_ALIASES)
        return Pick(ref, alias)

    def embed(self, table: Table, depth: int) -> Embed:
        self.embeds += 1
        prefix = f"s{self.embeds}"
        relation = self.one(*table.links)
        link = table.links[relation]
        target = self.tables[link.target]
        spread, inner = self.one(False, False, True), self.one(False, False, True)
        if self.one(True, True, True, True, False):
            level = self.level(target, depth + 1, single=not link.many)
        elif link.many or not spread:
            level = self.grouped(target, top=False, single=not link.many)
        else:
            level = Level((), tuple(self.filter(target, 0) for _ in self.some(1)))
        if spread:
            level = _renamed(level, prefix)
        alias = None if spread else self.one(None, None, *_ALIASES)
        return Embed(relation, level, alias, inner, spread)

    def grouped(self, table: Table, *, top: bool, single: bool = False) -> Level:
        """Plain values first: they decide the order before any sum with a rounding error does."""
        found: list[Item] = []
        keys: set[str] = set()
        for _ in self.some(2):
            pick = self.pick(table)
            if top or table.columns[pick.ref.name].kind != "json":  # type: ignore[union-attr]
                self.add(found, keys, pick, {pick.key})
        links = [name for name, link in table.links.items() if not link.many]
        if links and self.one(True, False, False):
            embed = self.to_one(table, self.one(*links), top)
            self.add(found, keys, embed, self.keys(table, embed))
        exact = sorted(keys)
        for index in range(self.draw(st.integers(1, 3))):
            pick = self.aggregate(table, f"agg{index}")
            if pick.key in keys:
                continue
            self.add(found, keys, pick, {pick.key})
            if pick.aggregate in ("count", "min", "max"):
                exact.append(pick.key)
        filters = tuple(self.filter(table, 0) for _ in self.some(2))
        level = Level(tuple(found), filters)
        if is_unordered(level, table):
            return dataclasses.replace(level, limit=1000)
        order: dict[str, Term] = {}
        for _ in self.some(2):
            key = self.one(*exact) if exact else None
            if key is not None:
                order[key] = Term(Ref(key), (), *self.direction())
        level = dataclasses.replace(level, order=tuple(order.values()))
        if single:
            return level
        limit, offset = self.window()
        return dataclasses.replace(level, limit=limit, offset=offset)

    def to_one(self, table: Table, relation: str, top: bool) -> Embed:
        self.embeds += 1
        target = self.tables[table.links[relation].target]
        names = [n for n, c in target.columns.items() if c.kind not in ("json", "wild", "float")]
        picks = {f"g {n}": Pick(Ref(n), f"g {n}") for n in (self.one(*names), self.one(*names))}
        filters = tuple(self.filter(target, 0) for _ in self.some(1))
        spread = not top or self.one(True, False)
        return Embed(
            relation, Level(tuple(picks.values()), filters), None, self.one(False, True), spread
        )

    def aggregate(self, table: Table, alias: str) -> Pick:
        name = self.one("count", "sum", "avg", "min", "max")
        alias_ = self.one(alias, alias, None)
        kinds = {"sum": _SUMMABLE, "avg": _SUMMABLE, "min": _ORDERED, "max": _ORDERED}
        fitting = [n for n, c in table.columns.items() if c.kind in kinds.get(name, (c.kind,))]
        if not fitting or (name == "count" and self.one(True, False)):
            return Pick(None, alias_, "count")
        return Pick(Ref(self.one(*fitting)), alias_, name)

    # Fields, orders and filters

    def ref(self, table: Table, *, textual: bool = False) -> Ref:
        column = table.columns[self.one(*table.columns)]
        if column.kind != "json" or (not textual and self.one(True, False, False)):
            return Ref(column.name)
        steps = tuple(self.draw(st.lists(st.sampled_from(_STEPS), min_size=1, max_size=3)))
        return Ref(column.name, steps, textual or self.one(True, False))

    def order(self, table: Table) -> tuple[Term, ...]:
        terms = []
        for _ in self.some(2):
            path: list[str] = []
            at = table
            while len(path) < 3 and self.one(False, False, True):
                links = [name for name, link in at.links.items() if not link.many]
                if not links:
                    break
                path.append(self.one(*links))
                at = self.tables[at.links[path[-1]].target]
            terms.append(Term(self.ref(at, textual=True), tuple(path), *self.direction()))
        return tuple(terms)

    def direction(self) -> tuple[bool | None, str | None]:
        return self.one(None, False, True), self.one(None, None, "first", "last")

    def filter(self, table: Table, depth: int) -> Filter:
        if depth < 3 and self.one(False, False, True):
            children = tuple(self.filter(table, depth + 1) for _ in range(self.one(1, 2, 3)))
            return Logic(self.one("and", "or"), children, self.one(False, True))
        return self.condition(table)

    def condition(self, table: Table) -> Condition:
        ref, negated = self.ref(table), self.one(False, True)
        column = table.columns[ref.name]
        if self.one(True, False, False, False):
            words: tuple[str, ...] = ("null", "not_null")
            words += ("true", "false", "unknown") if column.kind == "bool" else ()
            return Condition(ref, "is", self.one(*words), negated)
        kind = "text" if ref.as_text else column.kind
        if kind == "json":
            return self.containment(ref, negated)
        if kind == "text" and self.one(True, False):
            op, quantifier = self.one("like", "ilike"), self.one(None, None, "any", "all")
            value: Any = self.one(*_PATTERNS)
            if quantifier:
                value = tuple(self.draw(st.lists(st.sampled_from(_PATTERNS), max_size=3)))
            return Condition(ref, op, value, negated, quantifier)
        return self.comparison(ref, self.values(table, ref, column), kind, negated)

    def containment(self, ref: Ref, negated: bool) -> Condition:
        op = self.one("cs", "cd", "ov")
        arrays = tuple(d for d in DOCUMENTS if isinstance(d, list))
        pool = arrays if op == "ov" else DOCUMENTS
        return Condition(ref, op, Json(pool[self.one(*range(len(pool)))]), negated)

    def comparison(
        self, ref: Ref, values: SearchStrategy[Any], kind: str, negated: bool
    ) -> Condition:
        ordered = () if kind == "uuid" else ("gt", "gte", "lt", "lte")
        op = self.one("eq", "neq", "in", "isdistinct", *ordered)
        quantifier = None
        if op in ("eq", "gt", "gte", "lt", "lte"):
            quantifier = self.one(None, None, None, "any", "all")
        if op == "in" or quantifier is not None:
            return Condition(
                ref, op, tuple(self.draw(st.lists(values, max_size=5))), negated, quantifier
            )
        return Condition(ref, op, self.draw(values), negated)

    def values(self, table: Table, ref: Ref, column: Column) -> SearchStrategy[Any]:
        """Values that the rows have, and others of the kind."""
        if ref.as_text:
            return st.sampled_from((*TEXTS, "1", "1.5", "true", "x", "digit", "[]", '{"a": 1}'))
        stored = [row[ref.name] for row in self.data[table.source]]
        pool = [v for v in (*stored, *VALUES.get(column.kind, column.choices)) if v is not None]
        return st.sampled_from(
            [v for v in dict.fromkeys(pool) if not (isinstance(v, float) and math.isinf(v))]
        )
