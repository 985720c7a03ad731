"""The table of routes outside the resources."""

from __future__ import annotations

from ..settings import Settings
from .backups import backups_routes
from .figures import figures_routes
from .health import health_routes
from .route import Route


def routes(settings: Settings) -> tuple[Route, ...]:
    """The routes of an application."""
    return (*health_routes(settings), *figures_routes(settings), *backups_routes(settings))
