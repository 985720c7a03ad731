"""Names bound to the schema, values taken out: what to do, without how."""

from .context import Context
from .cursor import Cursor, decode_cursor, encode_cursor
from .kept import KeptPlans
from .nodes import ReadPlan
from .read import Count, PlannedRead, Window, at_access, at_key, plan_item, plan_list
from .result import ReadResult
from .rows import MAX_FAULTS, Faults, RelatedPlan, RowPlan, has_default, is_mappers_own, walk_rows
from .unique import unique_sets
from .view import PlannedView, plan_view
from .write import Once, Returning, WritePlan, plan_write
from .written import WriteResult

__all__ = [
    "MAX_FAULTS",
    "Context",
    "Count",
    "Cursor",
    "Faults",
    "KeptPlans",
    "Once",
    "PlannedRead",
    "PlannedView",
    "ReadPlan",
    "ReadResult",
    "RelatedPlan",
    "Returning",
    "RowPlan",
    "Window",
    "WritePlan",
    "WriteResult",
    "at_access",
    "at_key",
    "decode_cursor",
    "encode_cursor",
    "has_default",
    "is_mappers_own",
    "plan_item",
    "plan_list",
    "plan_view",
    "plan_write",
    "unique_sets",
    "walk_rows",
]
