"""Names bound to the schema, values taken out: what to do, without how."""

from .context import Context
from .cursor import Cursor, decode_cursor, encode_cursor
from .export import Column, PlannedExport, plan_export
from .history import HistoryPlan, PlannedHistory, history_key, plan_history
from .imports import ImportReader, ImportRow, plan_import
from .kept import KeptPlans
from .nodes import Embed, ExportPlan, ReadPlan
from .read import Count, PlannedRead, Window, at_access, at_key, plan_item, plan_list
from .recording import Recording, linking_relations, recorded_fields, recorded_key
from .result import ReadResult
from .rows import MAX_FAULTS, Faults, RelatedPlan, RowPlan, has_default, is_mappers_own, walk_rows
from .unique import unique_sets
from .view import PlannedView, bind_of_select, plan_view
from .write import Once, Returning, WritePlan, plan_write
from .written import WriteResult

__all__ = [
    "MAX_FAULTS",
    "Column",
    "Context",
    "Count",
    "Cursor",
    "Embed",
    "ExportPlan",
    "Faults",
    "HistoryPlan",
    "ImportReader",
    "ImportRow",
    "KeptPlans",
    "Once",
    "PlannedExport",
    "PlannedHistory",
    "PlannedRead",
    "PlannedView",
    "ReadPlan",
    "ReadResult",
    "Recording",
    "RelatedPlan",
    "Returning",
    "RowPlan",
    "Window",
    "WritePlan",
    "WriteResult",
    "at_access",
    "at_key",
    "bind_of_select",
    "decode_cursor",
    "encode_cursor",
    "has_default",
    "history_key",
    "is_mappers_own",
    "linking_relations",
    "plan_export",
    "plan_history",
    "plan_import",
    "plan_item",
    "plan_list",
    "plan_view",
    "plan_write",
    "recorded_fields",
    "recorded_key",
    "unique_sets",
    "walk_rows",
]
