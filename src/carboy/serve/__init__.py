"""What the commands need: a database or an application to serve or check, and a server."""

from .app import Served, Target, load, opened, without_api
from .checks import check_target
from .database import open_engine
from .errors import TargetError
from .server import ServerOptions, reserve, run

__all__ = [
    "Served",
    "ServerOptions",
    "Target",
    "TargetError",
    "check_target",
    "load",
    "open_engine",
    "opened",
    "reserve",
    "run",
    "without_api",
]
