"""A database URL to an engine that can do no more than it should."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy import URL, make_url
from sqlalchemy.engine import Engine

from ..sql import dialect_for
from .errors import TargetError

_EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_DEFAULT_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_CONNECT_SECONDS = 10


def open_engine(target: str, *, writable: bool = False, connections: int = 5) -> Engine:
    """An engine with a pool of ``connections``, which the database itself keeps from writing.

    Nothing is connected yet. Raises TargetError.
    """
    url = database_url(target)
    backend = url.get_backend_name()
    if backend == "sqlite":
        url = _sqlite_file(url, "rw" if writable else "ro")
    elif backend == "postgresql":
        url = _postgresql(url, writable)
    elif _EXTRAS.get(backend) == "mysql":
        url = _mariadb(url, writable)
    try:
        dialect_for(backend)
        return sa.create_engine(url, pool_size=connections, max_overflow=0)
    except sa.exc.NoSuchModuleError:
        raise TargetError(f"SQLAlchemy knows no database called {url.drivername!r}") from None
    except ValueError as error:
        raise TargetError(str(error)) from None
    except ModuleNotFoundError as error:
        raise TargetError(_missing_driver(backend, error)) from None
    except (sa.exc.ArgumentError, TypeError) as error:
        raise TargetError(f"{shown(url)}: {first_line(error)}") from None


def database_url(target: str) -> URL:
    """The URL, or the URL of the SQLite file, with the driver that Carboy works with."""
    if "://" not in target:
        return URL.create("sqlite", database=target)
    try:
        url = make_url(target)
    except (sa.exc.ArgumentError, ValueError):
        # The text may hold a password, so it isn't repeated.
        raise TargetError(
            "that is no database URL; it looks like postgresql://user:password@host/database, "
            "with %-encoding where the password has special characters"
        ) from None
    if url.get_backend_name() == "sqlite":
        return url.set(drivername="sqlite")
    return url.set(drivername=_DEFAULT_DRIVERS.get(url.drivername, url.drivername))


def shown(url: URL) -> str:
    """The URL for people to read: without the password, and without what a query may hide."""
    return url.set(query={}).render_as_string(hide_password=True)


def unreachable(engine: Engine, error: Exception) -> TargetError:
    """Why the database can't be opened, in one line."""
    url = engine.url
    original = getattr(error, "orig", None) or error
    if url.get_backend_name() == "sqlite":
        path = sqlite_path(url)
        if "unable to open" in str(original) or "readonly" in str(original):
            return TargetError(
                f"{path} can't be opened: it may not be read, or it is in WAL mode in a folder "
                "that can't be written; there, run PRAGMA journal_mode=DELETE on it first"
            )
        return TargetError(f"{path} can't be read: {first_line(original)}")
    return TargetError(f"{shown(url)} can't be reached: {first_line(original)}")


def first_line(error: object) -> str:
    """The first line of a message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip()


def sqlite_path(url: URL) -> Path:
    """The file that a URL of ``open_engine`` names."""
    return Path(unquote(str(url.database).removeprefix("file:")))


def _sqlite_file(url: URL, mode: str) -> URL:
    """The URL of a file that is there; SQLite would make an empty one where none is."""
    if not url.database or url.database == ":memory:":
        raise TargetError("an SQLite database in memory is empty; name a file: sqlite:///path")
    if url.database.startswith("file:"):
        raise TargetError("name the SQLite file by its path: sqlite:///path")
    path = Path(url.database)
    if path.is_dir():
        raise TargetError(f"{path} is a folder, not an SQLite file")
    if not path.exists():
        raise TargetError(f"there is no file {path}")
    query = {**url.query, "mode": mode, "uri": "true"}
    return url.set(database=f"file:{quote(str(path.absolute()))}", query=query)


def _postgresql(url: URL, writable: bool) -> URL:
    query = dict(url.query)
    query.setdefault("connect_timeout", str(_CONNECT_SECONDS))
    if not writable:
        given = query.get("options", "")
        options = given if isinstance(given, str) else " ".join(given)
        query["options"] = f"{options} -c default_transaction_read_only=on".strip()
    return url.set(query=query)


def _mariadb(url: URL, writable: bool) -> URL:
    query = dict(url.query)
    query.setdefault("connect_timeout", str(_CONNECT_SECONDS))
    if not writable:
        query["init_command"] = "SET SESSION TRANSACTION READ ONLY"
    return url.set(query=query)


def _missing_driver(backend: str, error: ModuleNotFoundError) -> str:
    fix = f"pip install 'carboy[{_EXTRAS[backend]}]'" if backend in _EXTRAS else "install it"
    hint = f" and leave the driver out of the URL: {backend}://..."
    usual = error.name in ("psycopg", "pymysql")
    return f"the driver {error.name!r} isn't installed; {fix}{'' if usual else hint}"
