"""Answers whose form a peer doesn't let its user choose, as what the others answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def json_api(answer: Any, *, many: bool) -> Any:
    """JSON:API: attributes and related objects into the row; moments and keys as elsewhere."""
    included = {(row["type"], row["id"]): row for row in answer.get("included", ())}

    def plain(row: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {"id": int(row["id"])}
        for name, value in row["attributes"].items():
            found[name] = _moment(value) if name.endswith("_at") else value
        for name, relation in row.get("relationships", {}).items():
            if to := relation["data"]:
                keys = to if isinstance(to, list) else [to]
                rows = [plain(included[key["type"], key["id"]]) for key in keys]
                found[name] = rows if isinstance(to, list) else rows[0]
        return found

    if many:
        return {"data": [plain(row) for row in answer["data"]]}
    return plain(answer["data"])


def datasette_rows(answer: Any, *, many: bool) -> Any:
    """SQLite's own values: no booleans, and moments as SQLAlchemy stores them."""
    rows = [
        {
            name: _moment(value)
            if name.endswith("_at")
            else bool(value)
            if name == "is_active"
            else value
            for name, value in row.items()
        }
        for row in answer
    ]
    return {"data": rows} if many else rows[0]


def _moment(text: str) -> str:
    value = datetime.fromisoformat(text)
    utc = value.astimezone(UTC) if value.tzinfo else value
    return utc.isoformat(timespec="microseconds")[:26] + "Z"
