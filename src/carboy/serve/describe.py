"""What is exposed, as plain values for ``--json`` and as lines for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from ..ops.review import Answer, Line, ResourceReview, Review, Verdict
from ..pipeline import HISTORY_METHODS, allowed_methods
from ..schema import Field, FieldType, Kind, Reflected, Relation, Resource, Schema
from .app import Served, Target


def routes(schema: Schema, prefix: str) -> list[dict[str, Any]]:
    """Each path with its methods: the index, then collections and items."""
    found = [_route(prefix or "/", ("GET", "HEAD", "OPTIONS"), None)]
    for resource in schema.exposed():
        path = _path(resource, prefix)
        found.append(_route(path, allowed_methods(resource, False), resource.name))
        if resource.key:
            key = ",".join(f"<{field.name}>" for field in resource.key)
            found.append(_route(f"{path}/{key}", allowed_methods(resource, True), resource.name))
        if resource.history:
            found.append(_route(f"{path}/{key}/history", HISTORY_METHODS, resource.name))
    return found


def describe(schema: Schema, prefix: str) -> list[dict[str, Any]]:
    """Each resource with its fields and relations."""
    return [
        {
            "name": resource.name,
            "url": _path(resource, prefix),
            "key": [field.name for field in resource.key],
            "writable": "POST" in allowed_methods(resource, False),
            "search": [field.name for field in resource.search],
            "fields": [_field(field, resource) for field in resource.fields.values()],
            "relations": [
                _relation(relation)
                for relations in resource.relations.values()
                for relation in relations
                if schema.resources[relation.target].exposed
            ],
        }
        for resource in schema.exposed()
    ]


def _path(resource: Resource, prefix: str) -> str:
    return f"{prefix}/{quote(resource.name, safe='')}"


def _route(path: str, methods: Sequence[str], resource: str | None) -> dict[str, Any]:
    return {"path": path, "methods": list(methods), "resource": resource}


def _field(field: Field, resource: Resource) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": type_label(field.type),
        "nullable": field.nullable,
        "readable": field.readable,
        "secret": field.secret,
        "writable": field.writable,
        "key": field in resource.key,
    }


def _relation(relation: Relation) -> dict[str, Any]:
    return {
        "name": relation.name,
        "target": relation.target,
        "many": relation.many,
        "hints": list(relation.hints),
    }


def type_label(type_: FieldType) -> str:
    """A type with its limits: ``text(160)``, ``numeric(10,2)``, ``integer[]``."""
    if type_.item is not None:
        return f"{type_label(type_.item)}[]"
    if type_.kind is Kind.ENUM:
        return f"enum({','.join(str(shown) for _, shown in type_.choices)})"
    limits = [n for n in (type_.length, type_.precision, type_.scale) if n is not None]
    return f"{type_.kind.value}({','.join(map(str, limits))})" if limits else type_.kind.value


def routes_table(schema: Schema, prefix: str) -> list[str]:
    """Aligned lines of methods and paths."""
    return aligned([(" ".join(r["methods"]), r["path"]) for r in routes(schema, prefix)])


def resource_tables(schema: Schema, prefix: str) -> list[tuple[str, list[str]]]:
    """For each resource a heading, and aligned lines of its fields and relations."""
    found = []
    for resource in describe(schema, prefix):
        access = "writable" if resource["writable"] else "read-only"
        fields = [(f["name"], f["type"], _marks(f)) for f in resource["fields"]]
        relations = [
            (r["name"], f"-> {r['target']}{' (many)' if r['many'] else ''}", _hints(r))
            for r in resource["relations"]
        ]
        lines = aligned(fields + relations)
        if resource["search"]:
            lines.append(f"search: {', '.join(resource['search'])}")
        found.append((f"{resource['url']}  {access}", lines))
    return found


def _marks(field: dict[str, Any]) -> str:
    marks = {
        "key": field["key"],
        "nullable": field["nullable"],
        "hidden": not field["readable"] and not field["secret"],
        "hidden (looks like a secret)": field["secret"],
        "writable": field["writable"],
    }
    return ", ".join(mark for mark, holds in marks.items() if holds)


def _hints(relation: dict[str, Any]) -> str:
    return " ".join(f"!{hint}" for hint in relation["hints"])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines whose columns stand below each other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def openness(served: Served, target: Target) -> Iterator[str]:
    """To whom a database is open, how to make a key for it, and what is hidden in it."""
    if served.reflected is None:
        return
    writes = served.writable
    if target.openness == "open":
        does = "read and write" if writes else "read"
        yield f"Open: whoever is on this machine may {does}. On any other address it would be"
        yield "closed, and so it is behind a proxy, with CARBOY_TRUSTED_PROXIES=1."
    else:
        reads = target.openness == "public"
        yield "Public: everybody may read." if reads else "Closed: reading takes a key."
        if writes:
            yield "Writing takes a key with the role writer."
        if writes or not reads:
            # The URL may hold a password.
            name = "DATABASE_URL" if "://" in target.text else shlex.quote(target.text)
            role = " --role writer" if writes else ""
            yield f"  carboy keys create {name} --name NAME{role}"
    yield from about_secrets(served.reflected)


def about_secrets(reflected: Reflected) -> Iterator[str]:
    """The columns that are hidden because they look like secrets, and those that can't be."""
    found = reflected.registrations
    hidden = [f"{r.name}.{column}" for r in found for column in r.secrets]
    keys = [f"{r.name}.{column}" for r in found for column in r.secret_keys]
    if hidden:
        yield f"Hidden, for they look like secrets: {', '.join(hidden)}"
    if keys:
        yield f"Readable, for they are keys, though they look like secrets: {', '.join(keys)}"


def answer_lines(answer: Answer) -> Iterator[str]:
    """An answer: yes or no first, then why."""
    where = answer.resource if answer.key is None else f"{answer.resource}/{answer.key}"
    may = "may" if answer.allowed else "may not"
    yield f"{'yes' if answer.allowed else 'no'}: {answer.actor} {may} {answer.action} {where}"
    rows = [(f"{answer.decided_by} rule:", answer.rule)]
    if answer.condition is not None:
        rows.append(("condition:", answer.condition))
    if answer.row is not None:
        rows.append(("row:", answer.row))
    yield from (f"  {line}" for line in aligned(rows))


def review_tables(review: Review) -> list[tuple[str, list[str]]]:
    """For each resource its name, and aligned lines of its rules; conditions are notes below."""
    return [(r.name, _review_lines(review.actors, r)) for r in review.resources]


def _review_lines(actors: Sequence[str], resource: ResourceReview) -> list[str]:
    notes: dict[str, int] = {}

    def cell(verdict: Verdict) -> str:
        if verdict.condition is None:
            return verdict.allowed
        return f"{verdict.allowed} [{notes.setdefault(verdict.condition, len(notes) + 1)}]"

    def cells(line: Line) -> tuple[str, ...]:
        what = line.action if line.field is None else f"{line.action} {line.field}"
        return (what, *map(cell, line.verdicts), line.rule)

    rows = [cells(line) for line in resource.lines]
    table = aligned([("", *actors, "rule"), *rows])
    return [*table, *(f"[{number}] {note}" for note, number in notes.items())]
