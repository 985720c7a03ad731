"""Names bound to the schema, values taken out: what to do, without how."""

from .context import Context
from .cursor import Cursor, decode_cursor, encode_cursor
from .nodes import ReadPlan
from .read import PlannedRead, Window, plan_item, plan_list
from .rows import MAX_FAULTS, Faults, RelatedPlan, RowPlan, has_default
from .unique import unique_sets
from .write import Once, Returning, WritePlan, plan_write

__all__ = [
    "MAX_FAULTS",
    "Context",
    "Cursor",
    "Faults",
    "Once",
    "PlannedRead",
    "ReadPlan",
    "RelatedPlan",
    "Returning",
    "RowPlan",
    "Window",
    "WritePlan",
    "decode_cursor",
    "encode_cursor",
    "has_default",
    "plan_item",
    "plan_list",
    "plan_write",
    "unique_sets",
]
