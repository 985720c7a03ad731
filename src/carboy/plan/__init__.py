"""Names bound to the schema, values taken out: what to do, without how."""

from .context import Context
from .cursor import Cursor, decode_cursor, encode_cursor
from .nodes import ReadPlan
from .read import PlannedRead, Window, plan_item, plan_list
from .result import ReadResult
from .view import PlannedView, plan_view

__all__ = [
    "Context",
    "Cursor",
    "PlannedRead",
    "PlannedView",
    "ReadPlan",
    "ReadResult",
    "Window",
    "decode_cursor",
    "encode_cursor",
    "plan_item",
    "plan_list",
    "plan_view",
]
