"""A resource's rows for whoever runs the API: no policy limits them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from ..access import UNLIMITED
from ..errors import NotFound
from ..events import Trace, traced
from ..execute import execute_read
from ..pipeline import Api, exported
from ..plan import Context, plan_export, plan_list
from ..request import Export, Query, parse_query
from ..schema import Resource

# There is nobody else who waits for the connection; drivers take no more for a time to connect in.
_YEAR = 365 * 24 * 3600


class Exported(Struct):
    """Rows on their way; ``total`` of them where they were counted."""

    chunks: Iterator[bytes]
    total: int | None
    trace: Trace

    def rows(self) -> int:
        """How many rows were read so far."""
        return self.trace.rows_read


def export_rows(api: Api, name: str, query: str, media: Export, *, count: bool) -> Exported:
    """The rows that a query string means, all fields as the API shows them; raises ApiError.

    With ``count`` they are counted first.
    """
    resource = api.schema.resources.get(name)
    if resource is None or not resource.exposed:
        known = ", ".join(r.name for r in api.schema.exposed())
        raise NotFound(f"there is no resource {name!r}; there are {known}")
    parsed = parse_query(query)
    planned = plan_export(Context(api.schema, api.settings, UNLIMITED), resource, parsed)
    total = _count(api, resource, parsed) if count else None
    trace = Trace("export")
    with traced(trace):
        chunks = exported(api, resource, planned, media, UNLIMITED.who, _YEAR)
    return Exported(chunks, total, trace)


def _count(api: Api, resource: Resource, query: Query) -> int:
    """How many rows there will be."""
    below = tuple((path, limit) for path, limit in query.limits if path)
    asked = replace(
        query,
        limits=(((), 0), *below),
        offsets=tuple((path, offset) for path, offset in query.offsets if path),
    )
    context = Context(api.schema, api.settings, UNLIMITED)
    planned = plan_list(context, resource, asked, count="exact", cursor_key=api.cursor_key)
    found = execute_read(api.databases[resource.bind], planned, UNLIMITED.who)
    assert found is not None
    left = max(0, (found.total or 0) - dict(query.offsets).get((), 0))
    return min(left, dict(query.limits).get((), left))
