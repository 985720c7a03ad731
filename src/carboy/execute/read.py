"""A read plan to its result."""

from __future__ import annotations

import json

from ..access import Actor
from ..plan import PlannedRead, ReadResult
from ..sql import Statement, compile_matching
from .database import Database, to_bytes


def execute_read(database: Database, planned: PlannedRead, who: Actor) -> ReadResult | None:
    """Run a read of an actor: None where an item isn't there."""
    plan = planned.plan
    row = database.fetch(database.read_statement(plan), planned.values, who)
    if row is None:
        return None
    if plan.shown is None:
        return ReadResult(body=to_bytes(row[0]), version=row[1])
    body, rows, cursor, total = row
    if plan.counted in ("planned", "estimated") and database.dialect.has_planner_estimates:
        total = _estimate(database, planned, who, total)
        return ReadResult(to_bytes(body), rows, cursor, total, plan.counted)
    return ReadResult(to_bytes(body), rows, cursor, total, "exact" if plan.counted else None)


def _estimate(database: Database, planned: PlannedRead, who: Actor, counted: int | None) -> int:
    """The planner's estimate, which no SELECT can ask for: EXPLAIN, which reads no rows."""
    plan = planned.plan
    if counted is not None and counted <= plan.estimate_above:
        return counted
    dialect = database.engine.dialect

    def build() -> Statement:
        statement = compile_matching(plan, database.dialect, dialect)
        explain = f"EXPLAIN (FORMAT JSON) {statement.sql}"
        return Statement(explain, statement.parameters, statement.positional)

    row = database.fetch(database.statement(("explain", plan), build), planned.values, who)
    assert row is not None
    explained = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    estimate = int(explained[0]["Plan"]["Plan Rows"])
    return max(estimate, counted or 0)
