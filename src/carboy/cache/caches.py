"""The caches of one application: for each of its databases a store, and an ear for its writes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.engine import Engine

from ..execute import Database
from ..settings import SettingError, Settings
from .cache import Cache
from .memory import MemoryStore
from .store import Store
from .versions import CacheUnavailable, Versions, default_folder
from .writes import Writes

_MEMORY = "memory://"
_REDIS = ("redis", "rediss", "unix")


class Caches:
    """What is kept for an application; ``used`` says whether any answer is to be kept at all.

    ``secret`` is what all its processes have, and nobody else.
    """

    def __init__(
        self, settings: Settings, used: Callable[[], bool], secret: Callable[[], bytes]
    ) -> None:
        self._settings = settings
        self._used = used
        self._secret = secret
        self._writes: dict[Engine, Writes] = {}
        self._stores: dict[Engine, Store] = {}
        self._lock = threading.Lock()
        _check(settings)

    def watch(self, engines: Mapping[str | None, Engine]) -> None:
        """Hear of the writes through these engines from now on."""
        with self._lock:
            for engine in engines.values():
                if engine not in self._writes:
                    self._writes[engine] = self._listening(engine)

    def of(self, database: Database) -> Cache | None:
        """The cache of a database; None where no answer is to be kept."""
        engine = database.engine
        store = self._store(engine)
        if store is None:
            return None
        return Cache(database, store, self._writes[engine], self._secret())

    def _listening(self, engine: Engine) -> Writes:
        return Writes(engine, lambda: self._store(engine))

    def _store(self, engine: Engine) -> Store | None:
        store = self._stores.get(engine)
        if store is None and self._used():
            with self._lock:
                store = self._stores.get(engine) or self._new_store(engine)
                self._stores[engine] = store
        return store

    def _new_store(self, engine: Engine) -> Store:
        settings, name = self._settings, _name(engine)
        folder = Path(settings.cache_folder) if settings.cache_folder else default_folder()
        try:
            versions = Versions(folder, name)
        except CacheUnavailable as error:
            raise SettingError(f"CARBOY_CACHE_FOLDER: {error}") from None
        if settings.cache_url == _MEMORY or name is None:
            return MemoryStore(versions, settings.cache_bytes)
        from .redis import RedisStore

        return RedisStore(settings.cache_url, versions, name, self._secret())


def _check(settings: Settings) -> None:
    """Raise SettingError for a URL that means no store; no message has it, with its password."""
    if settings.cache_url == _MEMORY:
        return
    if urlsplit(settings.cache_url).scheme not in _REDIS:
        raise SettingError(
            f"CARBOY_CACHE_URL must be {_MEMORY} or a URL that begins with "
            f"{' or '.join(f'{scheme}://' for scheme in _REDIS)}"
        )
    try:
        import redis
    except ModuleNotFoundError:
        raise SettingError(
            "CARBOY_CACHE_URL needs redis; run: pip install 'carboy[redis]'"
        ) from None
    try:
        redis.ConnectionPool.from_url(settings.cache_url)
    except ValueError as error:
        raise SettingError(f"CARBOY_CACHE_URL is no URL of a Redis: {error}") from None


def _name(engine: Engine) -> str | None:
    """What all processes call a database, by whatever way they come to it; None in memory.

    The server isn't in it: its name can be spelled in many ways, or be a pooler's. Databases that
    share a name by chance share versions, which costs some answers.
    """
    name = engine.url.database
    if engine.dialect.name != "sqlite":
        return name or ""
    if not name or name == ":memory:" or engine.url.query.get("mode") == "memory":
        return None
    return os.path.realpath(name.removeprefix("file:"))
