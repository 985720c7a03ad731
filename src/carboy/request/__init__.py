"""Stage one of the path: the query string, the headers and the body, read into frozen values.

It knows HTTP and the grammar, no models and no database.
"""

from .ast import Query
from .body import check_content_type, parse_json, parse_rows
from .headers import (
    EXPORTS,
    EntityTag,
    EntityTags,
    Export,
    Media,
    Prefer,
    parse_idempotency_key,
    parse_if_match,
    parse_if_none_match,
    parse_prefer,
    preference_applied,
    wanted_media,
)
from .http import Headers, Request, parse
from .keys import join_key, split_key
from .query_string import parse_query
from .records import Csv, ImportForm, Lines, Record, import_form, read_ndjson
from .select import parse_order, parse_select
from .upload import Upload, lower_limit

__all__ = [
    "EXPORTS",
    "Csv",
    "EntityTag",
    "EntityTags",
    "Export",
    "Headers",
    "ImportForm",
    "Lines",
    "Media",
    "Prefer",
    "Query",
    "Record",
    "Request",
    "Upload",
    "check_content_type",
    "import_form",
    "join_key",
    "lower_limit",
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
    "read_ndjson",
    "split_key",
    "wanted_media",
]
