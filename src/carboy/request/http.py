"""Stage one: what came over HTTP, as one frozen Request that knows no models."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from msgspec import Struct

from ..errors import NotAcceptable
from .ast import Query
from .body import check_content_type
from .headers import (
    EXPORTS,
    EntityTags,
    Media,
    Prefer,
    parse_idempotency_key,
    parse_if_match,
    parse_if_none_match,
    parse_prefer,
    wanted_media,
)
from .query_string import parse_query
from .records import import_form

# The same few query strings come again and again; long ones are a client's own.
_kept_query = lru_cache(512)(parse_query)
_KEPT_LENGTH = 1000
_kept_media = lru_cache(128)(wanted_media)
_EXPORTED = ("GET", "HEAD")
_ONLY = (
    "Accept excludes application/json, the only type that can be answered here; the rows of a "
    f"collection can be read as {', '.join(EXPORTS)} too"
)
_METHODS_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


class Headers(Protocol):
    """The request's headers, found by name whatever its case: WSGI frameworks' own mappings."""

    def get(self, name: str, /) -> str | None:
        """The header's value, or None."""


class Request(Struct, frozen=True):
    """One request, read and checked as far as HTTP and the grammar go.

    ``key`` is the text after the resource, percent-decoded and not yet split. ``body`` is None
    where the method has none, and otherwise still JSON text. ``path`` is what the client asked
    for, without the query, to make ``Location`` and ``Link`` from; ``query_string`` is undecoded.
    ``media`` is what it is to be answered in; only a read of a collection has a choice.
    """

    method: str
    resource: str
    key: str | None
    query: Query
    prefer: Prefer
    if_match: EntityTags | None = None
    if_none_match: EntityTags | None = None
    idempotency_key: str | None = None
    body: bytes | None = None
    path: str = ""
    query_string: str = ""
    media: Media = "application/json"


def parse(
    method: str,
    resource: str,
    key: str | None,
    query_string: bytes | str,
    headers: Headers,
    body: bytes | None,
    *,
    path: str = "",
) -> Request:
    """Read a request; raises BadRequest, NotAcceptable or UnsupportedMediaType."""
    media = _media(headers.get("Accept"))
    if media is None or (media in EXPORTS and (key is not None or method not in _EXPORTED)):
        raise NotAcceptable(_ONLY)
    text = query_string if isinstance(query_string, str) else query_string.decode("latin-1")
    has_body = method in _METHODS_WITH_BODY
    content_type = headers.get("Content-Type")
    if has_body and not (method == "POST" and import_form(content_type)):
        check_content_type(content_type)
    return Request(
        method=method,
        resource=resource,
        key=key,
        query=_kept_query(text) if len(text) <= _KEPT_LENGTH else parse_query(text),
        prefer=parse_prefer(headers.get("Prefer")),
        if_match=parse_if_match(headers.get("If-Match")),
        if_none_match=parse_if_none_match(headers.get("If-None-Match")),
        idempotency_key=parse_idempotency_key(headers.get("Idempotency-Key")),
        body=(body or b"") if has_body else None,
        path=path,
        query_string=text,
        media=media,
    )


def _media(accept: str | None) -> Media | None:
    if accept is not None and len(accept) > _KEPT_LENGTH:
        return wanted_media(accept)
    return _kept_media(accept)
