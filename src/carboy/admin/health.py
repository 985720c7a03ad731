"""Whether an application works."""

from __future__ import annotations

from ..respond import Response, respond_json
from .route import Visit


def live(_: Visit) -> Response:
    """The process answers, whatever its database does."""
    return respond_json({"status": "ok"})
