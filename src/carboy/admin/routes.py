"""The table of routes outside the resources."""

from __future__ import annotations

from ..settings import Settings
from .health import live
from .route import Route


def routes(settings: Settings) -> tuple[Route, ...]:
    """The routes of an application."""
    found: list[Route] = []
    if health := settings.health_path.rstrip("/"):
        found.append(Route("health_live", f"{health}/live", live, roles=()))
    return tuple(found)
