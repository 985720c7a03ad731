"""Results and errors to status, headers and bytes."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from .errors import ApiError, NotFound, Problem
from .plan import (
    Cursor,
    PlannedHistory,
    PlannedRead,
    PlannedView,
    ReadResult,
    WritePlan,
    WriteResult,
    encode_cursor,
)
from .request import EntityTags, Request, join_key, preference_applied

JSON = ("Content-Type", "application/json")
_PROBLEM = ("Content-Type", "application/problem+json")
_TYPE_ROOT = "urn:carboy:error:"
_NOT_IN_FILES = re.compile(r"[^A-Za-z0-9._-]")
_REPLACED = re.compile(r"(?:^|&)(?:after|page|offset)=[^&]*")


class Response(Struct, frozen=True):
    """An HTTP answer, ready for any framework; ``stream`` is sent in the place of ``body``."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    stream: Iterator[bytes] | None = None


class ProblemDocument(Struct, frozen=True, omit_defaults=True):
    """RFC 9457, with ``error`` for clients that read just that, and every fault in ``errors``."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    instance: str | None = None
    errors: tuple[Problem, ...] = ()


def respond_json(value: Any, status: int = 200) -> Response:
    """A value of Python's as JSON."""
    return Response(status, (JSON,), msgspec.json.encode(value))


def respond_error(error: ApiError) -> Response:
    """An error as application/problem+json."""
    document = ProblemDocument(
        type=_TYPE_ROOT + error.code,
        title=error.title,
        status=error.status,
        detail=error.detail,
        error=error.detail,
        instance=error.instance,
        errors=error.problems,
    )
    return Response(error.status, (_PROBLEM, *error.headers), msgspec.json.encode(document))


def respond_export(request: Request, stream: Iterator[bytes] | None) -> Response:
    """All rows as they come; without any, as HEAD is answered."""
    headers: list[tuple[str, str]] = [("Content-Type", request.media)]
    if request.media == "text/csv":
        name = _NOT_IN_FILES.sub("_", request.resource)
        headers = [
            ("Content-Type", "text/csv; charset=utf-8; header=present"),
            ("Content-Disposition", f'attachment; filename="{name}.csv"'),
        ]
    return Response(200, tuple(headers), b"", stream if stream is not None else iter(()))


def respond_item(request: Request, result: ReadResult | None) -> Response:
    """One row with its ETag, or 304."""
    if result is None:
        raise NotFound(f"{request.resource!r} has no row {request.key!r}")
    etag = item_etag(result.version, result.body)
    if _matches(request.if_none_match, etag):
        return Response(304, (("ETag", etag),), b"")
    return Response(200, (JSON, ("ETag", etag)), result.body)


def item_etag(version: str | None, body: bytes) -> str:
    """The row's version, which If-Match is about, and a digest of what was asked for."""
    digest = _digest(body)
    return f'"{version}-{digest}"' if version is not None else f'"{digest}"'


def _digest(body: bytes) -> str:
    # Half the time of BLAKE2 where the processor knows SHA-256, as most do.
    return sha256(body).hexdigest()[:16]


def respond_list(
    request: Request,
    planned: PlannedRead | PlannedHistory,
    result: ReadResult,
    cursor_key: bytes,
) -> Response:
    """A page: its rows, the cursor to the next, and what was counted."""
    page = page_facts(planned, result, cursor_key)
    parts = [b'{"data":', result.body]
    for name, value in page.members():
        parts.append(b',"' + name.encode() + b'":' + msgspec.json.encode(value))
    parts.append(b"}")
    body = b"".join(parts)
    headers = [JSON, ("ETag", f'"{_digest(body)}"')]
    if _matches(request.if_none_match, headers[1][1]):
        return Response(304, (headers[1],), b"")
    links = _links(request, page)
    if links:
        headers.append(("Link", links))
    if request.prefer.count is not None and result.counted is not None:
        headers.append(("Preference-Applied", f"count={result.counted}"))
    return Response(200, tuple(headers), body)


class PageFacts(Struct, frozen=True):
    """What a list says beside its rows; the numbers are None where they weren't asked for."""

    next: str | None
    total: int | None
    page: int | None = None
    per_page: int | None = None
    pages: int | None = None
    following: int | None = None

    def members(self) -> list[tuple[str, Any]]:
        """The members of the JSON object, ``data`` aside."""
        numbers = [(n, getattr(self, n)) for n in ("page", "per_page", "pages", "total")]
        return [("next", self.next), *((n, v) for n, v in numbers if v is not None)]


def page_facts(
    planned: PlannedRead | PlannedHistory, result: ReadResult, cursor_key: bytes
) -> PageFacts:
    """The cursor and the numbers of one page."""
    window = planned.window
    assert window is not None
    more = result.rows > window.limit and window.limit > 0
    cursor = None
    if more and planned.scope is not None:
        if planned.by_offset:
            following = Cursor(planned.scope, offset=window.offset + window.limit)
            cursor = encode_cursor(following, cursor_key)
        elif result.cursor is not None:
            values = tuple(msgspec.json.decode(result.cursor))
            cursor = encode_cursor(Cursor(planned.scope, values), cursor_key)
    following_offset = window.offset + window.limit if more else None
    if window.page is None:
        return PageFacts(cursor, result.total, following=following_offset)
    total = result.total or 0
    pages = -(-total // window.limit)
    return PageFacts(cursor, total, window.page, window.limit, pages, following_offset)


def _links(request: Request, page: PageFacts) -> str:
    """RFC 8288 links: by page where one was asked for, else by cursor, else by offset."""
    start = _link_start(request.path, request.query_string)

    def link(relation: str, where: str) -> str:
        return f'<{start}{where}>; rel="{relation}"'

    if page.page is not None:
        links = [link("first", "page=1")]
        if page.page > 1:
            links.append(link("prev", f"page={page.page - 1}"))
        if page.pages and page.page < page.pages:
            links.append(link("next", f"page={page.page + 1}"))
        if page.pages:
            links.append(link("last", f"page={page.pages}"))
        return ", ".join(links)
    if page.next is not None:
        return link("next", f"after={page.next}")
    return link("next", f"offset={page.following}") if page.following is not None else ""


@lru_cache(512)
def _link_start(path: str, query_string: str) -> str:
    """The request's URL up to where its links differ."""
    rest = _REPLACED.sub("", query_string).lstrip("&")
    return f"{quote(path)}?{rest}&" if rest else f"{quote(path)}?"


def _matches(tags: EntityTags | None, etag: str) -> bool:
    """If-None-Match, by weak comparison as RFC 9110 section 13.1.2 says."""
    if tags is None:
        return False
    return tags == "*" or any(f'"{tag.opaque}"' == etag for tag in tags)


class Part(enum.Enum):
    """What an envelope leaves for the answer to fill in."""

    DATA = "data"
    COUNT = "count"
    TOTAL = "total"
    PAGE = "page"
    PER_PAGE = "per_page"
    PAGES = "pages"


def respond_view(
    planned: PlannedView,
    result: ReadResult | None,
    envelope: Mapping[str, object] | None,
    status: int,
) -> Response:
    """A view's answer: the database's JSON, in an envelope if there is one."""
    if result is None:
        raise NotFound("there is no such row")
    if envelope is None:
        return Response(status, (JSON,), result.body)
    parts = _view_parts(planned, result)
    members = [
        msgspec.json.encode(key)
        + b":"
        + (parts[value] if isinstance(value, Part) else msgspec.json.encode(value))
        for key, value in envelope.items()
    ]
    return Response(status, (JSON,), b"{" + b",".join(members) + b"}")


def _view_parts(planned: PlannedView, result: ReadResult) -> dict[Part, bytes]:
    window = planned.window
    parts: dict[Part, Any] = {Part.COUNT: result.rows}
    if window is not None and result.total is not None:
        parts[Part.TOTAL] = result.total
        parts[Part.PAGE] = window.page
        parts[Part.PER_PAGE] = window.limit
        parts[Part.PAGES] = -(-result.total // window.limit)
    return {Part.DATA: result.body} | {k: msgspec.json.encode(v) for k, v in parts.items()}


def respond_options(allowed: Sequence[str]) -> Response:
    """What OPTIONS answers."""
    return Response(204, (("Allow", ", ".join(allowed)),), b"")


def respond_index(prefix: str, resources: Sequence[tuple[str, bool]]) -> Response:
    """The names of the resources, their URLs, and whether they take writes."""
    entries = [
        {"name": name, "url": f"{prefix}/{quote(name, safe='')}", "writable": writable}
        for name, writable in resources
    ]
    return respond_json({"resources": entries})


def respond_write(request: Request, plan: WritePlan, result: WriteResult) -> Response:
    """What a write did: the rows, or just a status; where a new row is; what was obeyed."""
    headers = list(_write_headers(request, plan, result))
    created = result.created > 0
    if result.body is None:
        return Response(201 if created else 204, tuple(headers), b"")
    if plan.many:
        body = b'{"data":' + result.body + b"}"
    else:
        body = result.body
        if plan.action != "delete":
            headers.append(("ETag", item_etag(result.version, body)))
    return Response(201 if created else 200, (JSON, *headers), body)


def _write_headers(
    request: Request, plan: WritePlan, result: WriteResult
) -> Iterator[tuple[str, str]]:
    if result.created and result.key is not None and not plan.many:
        path = request.path
        if request.key is None:
            path = f"{path.rstrip('/')}/{join_key(result.key)}"
        yield "Location", quote(path, safe="/,:@!$&'()*+;=~")
    if plan.many:
        yield "Affected-Rows", str(result.affected)
    obeyed = {"return", "missing", "tx"}
    if plan.conflict:
        obeyed.add("resolution")
    if plan.key is None and plan.action in ("update", "delete"):
        obeyed.add("max-affected")
    applied = preference_applied(request.prefer, obeyed)
    if applied:
        yield "Preference-Applied", applied
    if result.replayed:
        yield "Idempotency-Replayed", "true"
