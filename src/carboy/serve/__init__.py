"""What the commands need: a database or an application to serve, and a server."""

from .app import Opened, Served, Target, load, opened, without_api
from .database import open_engine
from .errors import TargetError
from .server import ServerOptions, reserve, run

__all__ = [
    "Opened",
    "Served",
    "ServerOptions",
    "Target",
    "TargetError",
    "load",
    "open_engine",
    "opened",
    "reserve",
    "run",
    "without_api",
]
