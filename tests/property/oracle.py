"""What the API should answer, by plain Python over the rows: no SQL, and nothing of Carboy's.

Conditions have SQL's three values: True, False and None for unknown.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .asks import Ask, Condition, Embed, Everything, Filter, Level, Logic, Pick, Ref, Term
from .data import Data, Json, Row
from .models import Column, Family, Link, Table

PAGE_SIZE = 20


@dataclass(frozen=True)
class Near:
    """A number, give or take; in JSON it's text where ``text`` is true."""

    value: float
    tolerance: float
    text: bool = False


@dataclass(frozen=True)
class Answer:
    """``rows`` are None where there is no such item; ``more`` says that a cursor follows."""

    rows: Any
    total: int
    more: bool = False


class Oracle:
    """Answers requests about one data set."""

    def __init__(self, family: Family, data: Data) -> None:
        self.tables = family.tables
        self.data = data

    def answer(self, ask: Ask) -> Answer:
        """The rows of the page asked for, and the count of all."""
        table, level = self.tables[ask.table], ask.level
        rows = self.data[table.source]
        if ask.key is not None:
            rows = [row for row in rows if tuple(row[name] for name in table.key) == ask.key]
            found = self.objects(table, level, rows)
            return Answer(found[0] if found else None, len(found))
        objects = self.objects(table, level, rows)
        if ask.follow:
            return Answer(objects, len(objects))
        limit = ask.per_page or (PAGE_SIZE if level.limit is None else level.limit)
        offset = ((ask.page or 1) - 1) * limit if ask.per_page or ask.page else level.offset or 0
        more = len(objects) > offset + limit and limit > 0 and not level.grouped
        return Answer(objects[offset : offset + limit], len(objects), more)

    # Rows and objects

    def objects(self, table: Table, level: Level, rows: Iterable[Row]) -> list[dict[str, Any]]:
        """Every object of a level in its order, before limit and offset."""
        kept = self.kept(table, level, rows)
        if level.grouped:
            return self.groups(table, level, kept)
        ordered = sorted(kept, key=self.order(table, level.order))
        return [self.object(table, level, row) for row in ordered]

    def kept(self, table: Table, level: Level, rows: Iterable[Row]) -> list[Row]:
        """The rows that the filters and the inner embeds leave."""
        inner = [item for item in level.items if isinstance(item, Embed) and item.inner]
        return [
            row
            for row in rows
            if all(self.holds(table, f, row) is True for f in level.filters)
            and all(self.embedded(table, embed, row) for embed in inner)
        ]

    def embedded(self, table: Table, embed: Embed, row: Row) -> list[Row]:
        """The related rows that an embed's own filters leave, whatever its limit."""
        link = table.links[embed.relation]
        return self.kept(self.tables[link.target], embed.level, self.related(link, row))

    def related(self, link: Link, row: Row) -> list[Row]:
        """The rows at the other end of a relationship."""
        targets = self.data[self.tables[link.target].source]
        if link.through is None:
            return [target for target in targets if _joined(link.pairs, row, target)]
        ties = [tie for tie in self.data[link.through] if _joined(link.pairs, row, tie)]
        return [t for tie in ties for t in targets if _joined(link.far_pairs, t, tie)]

    def object(self, table: Table, level: Level, row: Row) -> dict[str, Any]:
        """One row as JSON shows it."""
        shown: dict[str, Any] = {}
        for item in level.items:
            if isinstance(item, Everything):
                shown |= {n: self.json(Ref(n), row) for n in table.columns}
            elif isinstance(item, Pick):
                assert item.ref is not None
                shown[item.key] = self.json(item.ref, row)
            elif item.spread:
                shown |= self.spread(table, item, row)
            elif item.level.items:
                shown[item.key] = self.nested(table, item, row)
        return shown

    def json(self, ref: Ref, row: Row) -> Any:
        """A field's value as JSON shows it."""
        return to_json(value(ref, row))

    def nested(self, table: Table, embed: Embed, row: Row) -> Any:
        """An embed's object or array."""
        link = table.links[embed.relation]
        level = embed.level
        found = self.objects(self.tables[link.target], level, self.related(link, row))
        if not link.many:
            return found[0] if found else None
        start = level.offset or 0
        return found[start:] if level.limit is None else found[start : start + level.limit]

    def spread(self, table: Table, embed: Embed, row: Row) -> dict[str, Any]:
        """A to-one's own keys, or an array for each key of a to-many."""
        found = self.nested(table, embed, row)
        keys = self.keys(self.tables[table.links[embed.relation].target], embed.level)
        if isinstance(found, list):
            return {key: [item[key] for item in found] for key in keys}
        return {key: found[key] if found is not None else None for key in keys}

    def keys(self, table: Table, level: Level) -> list[str]:
        """The keys that a level's objects have."""
        found: list[str] = []
        for item in level.items:
            if isinstance(item, Everything):
                found += table.columns
            elif isinstance(item, Pick):
                found.append(item.key)
            elif item.spread:
                found += self.keys(self.tables[table.links[item.relation].target], item.level)
            elif item.level.items:
                found.append(item.key)
        return found

    # Groups

    def groups(self, table: Table, level: Level, rows: list[Row]) -> list[dict[str, Any]]:
        """One object for each set of equal plain values; one in all where there are none."""
        aggregates = [i for i in level.items if isinstance(i, Pick) and i.aggregate]
        plain = Level(tuple(i for i in level.items if i not in aggregates))
        groups: dict[str, list[Row]] = {} if self.keys(table, plain) else {"": list(rows)}
        for row in [] if groups else rows:
            identity = [self.sortable(table, plain, row), self.object(table, plain, row)]
            groups.setdefault(json.dumps(identity, default=repr), []).append(row)
        keys, made = self.keys(table, level), []
        for members in groups.values():
            raw = self.sortable(table, plain, members[0]) if members else {}
            shown = self.object(table, plain, members[0]) if members else {}
            for item in aggregates:
                raw[item.key] = aggregated(table, item, members)
                shown[item.key] = to_json(raw[item.key])
            made.append((raw, {key: shown[key] for key in keys}))
        asked = {term.ref.name for term in level.order}
        terms = [*level.order, *(Term(Ref(key)) for key in keys if key not in asked)]
        readers = [(term, _reader_of(term.ref.name)) for term in terms]
        made.sort(key=_sorting(readers))
        return [shown for _, shown in made]

    def sortable(self, table: Table, level: Level, row: Row | None) -> dict[str, Any]:
        """The values behind an object's keys, as comparisons want them."""
        found: dict[str, Any] = {}
        for item in level.items:
            if isinstance(item, Everything):
                found |= {n: row[n] if row else None for n in table.columns}
            elif isinstance(item, Pick):
                assert item.ref is not None
                found[item.key] = value(item.ref, row) if row else None
            elif isinstance(item, Embed):
                link = table.links[item.relation]
                target = self.tables[link.target]
                below = self.embedded(table, item, row) if row else []
                if item.spread:
                    found |= self.sortable(target, item.level, below[0] if below else None)
                elif item.level.items:
                    found[item.key] = self.nested(table, item, row) if row else None
        return found

    # Orders and conditions

    def order(self, table: Table, terms: tuple[Term, ...]) -> Callable[[Row], Any]:
        """A sort key: the terms, then the primary key in the last term's direction."""
        plain = {term.ref.name for term in terms if not term.path and not term.ref.steps}
        descending = bool(terms) and terms[-1].descending is True
        rest = [Term(Ref(n), (), descending) for n in table.key if n not in plain]
        return _sorting([(term, self.reader(table, term)) for term in (*terms, *rest)])

    def reader(self, table: Table, term: Term) -> Callable[[Row], Any]:
        """What a term reads in a row."""

        def read(row: Row) -> Any:
            at, current = table, row
            for name in term.path:
                link = at.links[name]
                found = self.related(link, current)
                if not found:
                    return None
                at, current = self.tables[link.target], found[0]
            return value(term.ref, current)

        return read

    def holds(self, table: Table, filter_: Filter, row: Row) -> bool | None:
        """Whether a condition holds: True, False or unknown."""
        if isinstance(filter_, Logic):
            parts = [self.holds(table, child, row) for child in filter_.children]
            whole = conjunction(parts) if filter_.op == "and" else disjunction(parts)
        else:
            whole = condition(filter_, value(filter_.ref, row))
        return negation(whole) if filter_.negated else whole


# Three-valued logic


def conjunction(parts: Iterable[bool | None]) -> bool | None:
    """AND."""
    known = list(parts)
    return False if False in known else None if None in known else True


def disjunction(parts: Iterable[bool | None]) -> bool | None:
    """OR."""
    known = list(parts)
    return True if True in known else None if None in known else False


def negation(part: bool | None) -> bool | None:
    """NOT."""
    return None if part is None else not part


def condition(asked: Condition, left: Any) -> bool | None:
    """One condition on one value, its own negation aside."""
    op, right = asked.op, asked.value
    if op == "is":
        absent = left is None or left == Json(None)
        states = {"null": absent, "unknown": absent, "not_null": not absent}
        return bool(states.get(right, left is (right == "true")))
    if op == "in":
        return disjunction(compare("eq", left, each) for each in right)
    if asked.quantifier == "any":
        return disjunction(compare(op, left, each) for each in right)
    if asked.quantifier == "all":
        return conjunction(compare(op, left, each) for each in right)
    return compare(op, left, right)


def compare(op: str, left: Any, right: Any) -> bool | None:
    """One operator; ``right`` is never NULL."""
    if op == "isdistinct":
        return left is None or bool(comparable(left) != comparable(right))
    if left is None:
        return None
    if op in ("like", "ilike"):
        return like(left, right, fold=op == "ilike")
    if op == "cs":
        return contains(left.value, right.value)
    if op == "cd":
        return contains(right.value, left.value)
    if op == "ov":
        return isinstance(left.value, list) and any(
            equal(a, b) for a in left.value for b in right.value
        )
    a, b = comparable(left), comparable(right)
    results = {"eq": a == b, "neq": a != b}
    if op in results:
        return bool(results[op])
    return bool({"gt": a > b, "gte": a >= b, "lt": a < b, "lte": a <= b}[op])


def like(text: str, pattern: str, *, fold: bool) -> bool:
    """LIKE, with ``*`` for ``%``."""
    parts = re.findall(r"\\.|.", pattern.replace("*", "%"), re.DOTALL)
    wild = {"%": ".*", "_": "."}
    regex = "".join(wild.get(p) or re.escape(lower(p[-1], fold)) for p in parts)
    return re.fullmatch(regex, lower(text, fold), re.DOTALL) is not None


def lower(text: str, fold: bool) -> str:
    """Lower case character by character, so that the length stays."""
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text) if fold else text


def equal(one: Any, two: Any) -> bool:
    """Equality of JSON: true is not 1, but 1 is 1.0."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(equal(one[k], two[k]) for k in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(equal, one, two))
    return bool(one == two)


def contains(whole: Any, part: Any) -> bool:
    """PostgreSQL's ``@>``: an array at the top contains a bare scalar as well."""
    if isinstance(whole, list) and not isinstance(part, list | dict):
        return any(equal(item, part) for item in whole)
    return nested_contains(whole, part)


def nested_contains(whole: Any, part: Any) -> bool:
    """Containment of equal shapes."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(k in whole and nested_contains(whole[k], part[k]) for k in part)
    if isinstance(whole, list) and isinstance(part, list):
        return all(any(nested_contains(w, p) for w in whole) for p in part)
    return equal(whole, part)


# Values


def _joined(pairs: Iterable[tuple[str, str]], near: Row, far: Row) -> bool:
    return all(near[a] is not None and near[a] == far[b] for a, b in pairs)


def value(ref: Ref, row: Row) -> Any:
    """What is stored in a field, or at a place inside a JSON field: ``->>`` gives text."""
    found = row[ref.name]
    if not ref.steps or found is None:
        return found
    inside = found.value
    for step in ref.steps:
        if not _has(inside, step):
            return None
        inside = inside[step]
    if not ref.as_text:
        return Json(inside)
    if inside is None or isinstance(inside, str):
        return inside
    return json.dumps(inside)


def _has(inside: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(inside, list) and -len(inside) <= step < len(inside)
    return isinstance(inside, dict) and step in inside


def comparable(stored: Any) -> Any:
    """A value as comparisons see it."""
    if isinstance(stored, enum.Enum):
        return list(type(stored)).index(stored)
    if isinstance(stored, Decimal):
        return float(stored)
    if isinstance(stored, Json | dict | list):
        return json.dumps(to_json(stored))
    return stored


def _reader_of(key: str) -> Callable[[Any], Any]:
    return lambda pair: pair[0][key]


def _sorting(readers: list[tuple[Term, Callable[[Any], Any]]]) -> Callable[[Any], Any]:
    def compared(one: Any, two: Any) -> int:
        for term, read in readers:
            a, b = comparable(read(one)), comparable(read(two))
            if a is None or b is None:
                first = term.nulls == "first" if term.nulls else bool(term.descending)
                sign = ((a is not None) - (b is not None)) * (1 if first else -1)
            else:
                a, b = getattr(a, "value", a), getattr(b, "value", b)
                sign = ((a > b) - (a < b)) * (-1 if term.descending else 1)
            if sign:
                return sign
        return 0

    return functools.cmp_to_key(compared)


def to_json(stored: Any) -> Any:
    """A stored value as JSON shows it."""
    match stored:
        case Json(inner):
            return inner
        case enum.Enum():
            return stored.value
        case dt.datetime():
            return stored.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        case dt.date():
            return stored.isoformat()
        case uuid.UUID():
            return str(stored)
        case Decimal():
            return f"{stored:.2f}"
        case float() if math.isinf(stored):
            return None
        case _:
            return stored


def aggregated(table: Table, item: Pick, rows: list[Row]) -> Any:
    """An aggregate over rows; NULLs don't count."""
    if item.ref is None:
        return len(rows)
    found = [v for row in rows if (v := value(item.ref, row)) is not None]
    if item.aggregate == "count":
        return len(found)
    if not found:
        return None
    if item.aggregate in ("min", "max"):
        pick = min if item.aggregate == "min" else max
        return pick(found, key=comparable)
    column: Column = table.columns[item.ref.name]
    total = sum(found)
    if item.aggregate == "sum" and column.kind in ("small", "int", "big"):
        return total
    mean = item.aggregate == "avg"
    tolerance = 1e-9 * max(1.0, float(sum(map(abs, found))))
    if column.kind == "numeric":
        return Near(float(total / len(found) if mean else total), max(tolerance, 1e-6), text=True)
    return Near(float(total) / len(found) if mean else float(total), tolerance)


def same(expected: Any, actual: Any) -> bool:
    """Whether JSON is what was expected; 1 and 1.0 are the same, 1 and true are not."""
    if isinstance(expected, Near):
        if expected.text != isinstance(actual, str):
            return False
        number = float(actual) if isinstance(actual, str | int | float) else math.nan
        return abs(number - expected.value) <= expected.tolerance
    if isinstance(expected, dict) and isinstance(actual, dict):
        return list(expected) == list(actual) and all(same(expected[k], actual[k]) for k in actual)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    return bool(expected == actual)
