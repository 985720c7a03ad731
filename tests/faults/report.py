"""What was seen, as a table in docs/reference/reliability.md."""

from __future__ import annotations
from .runner import Outcome


def seen(outcome: Outcome) -> str:
    """One run in a line."""
    statuses = ", ".join(f"{status or 'broken'} × {count}" for status, count in sorted(outcome.statuses.items()))
    back = "never" if outcome.back is None else f"{outcome.back:.1f} s"
    return f"{outcome.answered} answered ({statuses}); back after {back}; {outcome.acknowledged} writes acknowledged"


def publish(outcomes) -> None:
    print("TODO")
