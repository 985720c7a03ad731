"""What the commands need: a database or an application to serve or check, and a server."""

from .app import (
    Opened,
    Openness,
    Served,
    Target,
    load,
    located,
    opened,
    outer_settings,
    reviewed,
    without_api,
)
from .checks import check_target
from .database import open_engine
from .errors import TargetError
from .jobs import work
from .migrated import require_migrated
from .server import ServerOptions, is_loopback, reserve, resolve, run

__all__ = [
    "Opened",
    "Openness",
    "Served",
    "ServerOptions",
    "Target",
    "TargetError",
    "check_target",
    "is_loopback",
    "load",
    "located",
    "open_engine",
    "opened",
    "outer_settings",
    "require_migrated",
    "reserve",
    "resolve",
    "reviewed",
    "run",
    "without_api",
    "work",
]
