"""The request headers that the API obeys, each as a frozen value.

Prefer is RFC 7240, entity tags and Accept are RFC 9110, Idempotency-Key is
draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeAlias, get_args

from msgspec import Struct

from ..errors import BadRequest, Problem
from .scanner import shorten


class Prefer(Struct, frozen=True):
    """What the client asked for in ``Prefer``; None where it didn't say."""

    return_: Literal["representation", "minimal", "headers-only"] | None = None
    count: Literal["exact", "planned", "estimated"] | None = None
    resolution: Literal["merge-duplicates", "ignore-duplicates"] | None = None
    missing: Literal["default", "null"] | None = None
    max_affected: int | None = None
    tx: Literal["commit", "rollback"] | None = None
    handling: Literal["strict", "lenient"] | None = None
    respond_async: bool = False


class EntityTag(Struct, frozen=True):
    """One ``"abc"`` or ``W/"abc"``; ``opaque`` is the text between the quotes."""

    opaque: str
    weak: bool = False


EntityTags: TypeAlias = Literal["*"] | tuple[EntityTag, ...]
"""The tags of If-Match or If-None-Match; ``*`` stands for any row that exists."""

Export: TypeAlias = Literal["application/x-ndjson", "text/csv", "application/vnd.carboy.array+json"]
Media: TypeAlias = Literal["application/json"] | Export
"""What a list is answered in: a page of it as JSON, or all that matches as an export."""
EXPORTS: tuple[Export, ...] = get_args(Export)

_CHOICES = {
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
}
_PREFERENCES = (*_CHOICES, "max-affected", "respond-async")

# The quantifiers are possessive: a hostile header must not cost quadratic time.
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_BLANKS = r"[ \t]*+"
_VALUE = rf'{_BLANKS}(?:={_BLANKS}({_WORD}|"(?:[^"\\]|\\.)*+"){_BLANKS})?+'
_PREFERENCE = re.compile(rf"{_BLANKS}({_WORD}){_VALUE}(?:;{_BLANKS}(?:{_WORD}{_VALUE})?+)*+(?:,|$)")
_EMPTY_ELEMENT = re.compile(r"[ \t]*(?:,|$)")
_ENTITY_TAG = re.compile(r'[ \t]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)')
_MEDIA_RANGE = re.compile(rf"({_WORD})/({_WORD})")
_WEIGHT = re.compile(r"[ \t]*q[ \t]*=[ \t]*([01](?:\.[0-9]*)?)[ \t]*", re.IGNORECASE)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_MAX_AFFECTED = re.compile(r"[0-9]{1,18}")
_NOTHING_PREFERRED = Prefer()


def parse_prefer(header: str | None) -> Prefer:
    """Read ``Prefer``: unknown preferences are ignored unless ``handling=strict`` is among them.

    Raises BadRequest for a known preference with a value that it doesn't have.
    """
    if header is None:
        return _NOTHING_PREFERRED
    values: dict[str, str] = {}
    for name, value in _preferences(header):
        values.setdefault(name, value)  # RFC 7240, section 2: the first of a name counts
    known: dict[str, Any] = {}
    for name, choices in _CHOICES.items():
        if name in values:
            known["return_" if name == "return" else name] = _choice(name, values[name], choices)
    if "max-affected" in values:
        known["max_affected"] = _max_affected(values["max-affected"])
    known["respond_async"] = "respond-async" in values
    unknown = [name for name in values if name not in _PREFERENCES]
    if unknown and known.get("handling") == "strict":
        names = ", ".join(shorten(name) for name in unknown[:10])
        raise _bad_header(
            "Prefer", f"handling=strict, and unknown: {names} (known: {', '.join(_PREFERENCES)})"
        )
    return Prefer(**known)


def preference_applied(prefer: Prefer, applied: Collection[str]) -> str:
    """The ``Preference-Applied`` text for the names in ``applied``, spelled as in the header.

    Names that the client didn't ask for are left out; an empty text means no header.
    """
    parts = []
    for name in _PREFERENCES:
        attribute = "return_" if name == "return" else name.replace("-", "_")
        value = getattr(prefer, attribute)
        if name in applied and value is not None:
            parts.append(f"{name}={value}")
    return ", ".join(parts)


def parse_if_match(header: str | None) -> EntityTags | None:
    """Read ``If-Match``; None without the header; raises BadRequest where it is malformed."""
    return None if header is None else _entity_tags("If-Match", header)


def parse_if_none_match(header: str | None) -> EntityTags | None:
    """Read ``If-None-Match``; None without the header; raises BadRequest where it is malformed."""
    return None if header is None else _entity_tags("If-None-Match", header)


def parse_idempotency_key(header: str | None) -> str | None:
    """Read ``Idempotency-Key``, 1 to 255 visible ASCII characters, in quotes or bare."""
    if header is None:
        return None
    text = header.strip(" \t")
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        text = text[1:-1]
    if not _IDEMPOTENCY_KEY.fullmatch(text) or '"' in text:
        detail = "expected 1 to 255 visible ASCII characters, with or without quotes around them"
        raise _bad_header("Idempotency-Key", detail)
    return text


def wanted_media(header: str | None) -> Media | None:
    """The media type to answer a read in; None where ``Accept`` excludes all there are.

    JSON is the answer unless one of the others is named and weighs more. What is malformed is
    passed over.
    """
    if header is None:
        return "application/json"
    weights: dict[str, float] = {}
    for part in header.split(","):
        media_range, *parameters = part.split(";")
        name = media_range.strip().lower()
        if _MEDIA_RANGE.fullmatch(name):
            weights[name] = max(weights.get(name, 0.0), _weight(parameters))
    json = _json_weight(weights)
    export = max(EXPORTS, key=lambda name: weights.get(name, 0.0))
    if weights.get(export, 0.0) > json:
        return export
    return "application/json" if json > 0 else None


def _json_weight(weights: Mapping[str, float]) -> float:
    if not weights:
        return 1.0
    for name in ("application/json", "application/problem+json", "application/*", "*/*"):
        if name in weights and (weights[name] > 0 or name != "application/problem+json"):
            return weights[name]
    return 0.0


def _preferences(header: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(header):
        empty = _EMPTY_ELEMENT.match(header, position)
        if empty:
            position = empty.end()
            continue
        preference = _PREFERENCE.match(header, position)
        if not preference:
            raise _bad_header("Prefer", f"malformed from character {position + 1} on")
        value = preference[2] or ""
        found.append((preference[1].lower(), value[1:-1] if value[:1] == '"' else value))
        position = preference.end()
    return found


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise _bad_header("Prefer", f"{name} is {' or '.join(choices)}, not '{shorten(value)}'")
    return value


def _max_affected(value: str) -> int:
    if not _MAX_AFFECTED.fullmatch(value):
        detail = f"max-affected is a whole number of at most 18 digits, not '{shorten(value)}'"
        raise _bad_header("Prefer", detail)
    return int(value)


def _entity_tags(name: str, header: str) -> EntityTags:
    if header.strip(" \t") == "*":
        return "*"
    tags: list[EntityTag] = []
    position = 0
    while position < len(header):
        empty = _EMPTY_ELEMENT.match(header, position)
        if empty:
            position = empty.end()
            continue
        tag = _ENTITY_TAG.match(header, position)
        if not tag:
            raise _bad_header(name, f'expected * or tags such as "abc" at character {position + 1}')
        tags.append(EntityTag(tag[2], tag[1] is not None))
        position = tag.end()
    if not tags:
        raise _bad_header(name, 'expected * or tags such as "abc"; the header is empty')
    return tuple(tags)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        weight = _WEIGHT.fullmatch(parameter)
        if weight:
            return float(weight[1])
    return 1.0


def _bad_header(name: str, detail: str) -> BadRequest:
    detail = f"{name}: {detail}"
    return BadRequest(detail, [Problem(detail=detail, code=BadRequest.code, parameter=name)])
