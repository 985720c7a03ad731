"""What is exposed, as plain values for ``--json`` and as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from ..pipeline import allowed_methods
from ..schema import Field, FieldType, Kind, Relation, Resource, Schema


def routes(schema: Schema, prefix: str) -> list[dict[str, Any]]:
    """Each path with its methods: the index, then collections and items."""
    found = [_route(prefix or "/", ("GET", "HEAD", "OPTIONS"), None)]
    for resource in schema.exposed():
        path = _path(resource, prefix)
        found.append(_route(path, allowed_methods(resource, False), resource.name))
        if resource.key:
            key = ",".join(f"<{field.name}>" for field in resource.key)
            found.append(_route(f"{path}/{key}", allowed_methods(resource, True), resource.name))
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
