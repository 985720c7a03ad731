"""Stage one of the path: the query string, the headers and the body, read into frozen values.

It knows HTTP and the grammar, no models and no database.
"""

from .ast import Query
from .body import check_content_type, parse_json, parse_rows
from .headers import (
    EntityTag,
    EntityTags,
    Prefer,
    accepts_json,
    parse_idempotency_key,
    parse_if_match,
    parse_if_none_match,
    parse_prefer,
    preference_applied,
)
from .http import Headers, Request, parse
from .keys import join_key, split_key
from .query_string import parse_query
from .select import parse_order, parse_select

__all__ = [
    "EntityTag",
    "EntityTags",
    "Headers",
    "Prefer",
    "Query",
    "Request",
    "accepts_json",
    "check_content_type",
    "join_key",
    "parse",
    "parse_idempotency_key",
    "parse_if_match",
    "parse_if_none_match",
    "parse_json",
    "parse_order",
    "parse_prefer",
    "parse_query",
    "parse_rows",
    "parse_select",
    "preference_applied",
    "split_key",
]
