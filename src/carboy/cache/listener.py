"""Writes that others make, of which PostgreSQL's triggers tell: one thread of a process listens."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool, PoolProxiedConnection

from .store import Store
from .versions import ANYTHING, EVERYTHING, Places, place_of

CHANNEL = "carboy_cache"
_ROUND = 5.0
_PATIENCE = 3 * _ROUND
"""Seconds without a sign of life after which the connection is taken for dead."""
_PAUSE = 1.0
logger = logging.getLogger("carboy")


class Listener:
    """Listens on a connection of its own; while it has none, nothing may be taken from the store.

    What was written while nobody listened isn't known, so that everything gets a new version
    whenever it begins.
    """

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._heard_at = float("-inf")
        self._thread: threading.Thread | None = None

    def hears(self) -> bool:
        """Whether nothing is missed; starts listening where that has ended, as after a fork."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._heard_at = float("-inf")
            self._thread = threading.Thread(
                target=_listen, args=(weakref.ref(self),), name="carboy-listen", daemon=True
            )
            self._thread.start()
            return False
        return time.monotonic() - self._heard_at < _PATIENCE

    def connect(self) -> PoolProxiedConnection:
        """A connection that listens; from now on nothing is missed."""
        # Made as the engine's pool makes them, and none of them.
        creator = self._engine.pool._creator
        apart = sa.create_engine(self._engine.url, creator=creator, poolclass=NullPool)
        connection = apart.raw_connection()
        driver: Any = connection.driver_connection
        try:
            driver.autocommit = True
            driver.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            connection.invalidate()
            raise
        self._bump((EVERYTHING, ANYTHING))
        self._heard_at = time.monotonic()
        return connection

    def hear(self, connection: PoolProxiedConnection) -> None:
        """What is said for some seconds, and whether the connection is still alive then."""
        driver: Any = connection.driver_connection
        for told in driver.notifies(timeout=_ROUND):
            self._bump((ANYTHING, place_of(told.payload)))
            self._heard_at = time.monotonic()
        driver.execute("SELECT 1")
        self._heard_at = time.monotonic()

    def lost(self, error: Exception) -> None:
        """There is no connection; said once for each that there was."""
        if self._heard_at > float("-inf"):
            logger.warning("cache: what others write isn't heard, so nothing is taken: %s", error)
        self._heard_at = float("-inf")

    def _bump(self, places: Places) -> None:
        self._store.finish(places, self._store.mark(places))


def _listen(reference: weakref.ref[Listener]) -> None:
    """The thread, as long as there is somebody to listen for."""
    connection: PoolProxiedConnection | None = None
    while (listener := reference()) is not None:
        try:
            connection = connection or listener.connect()
            listener.hear(connection)
        except Exception as error:  # noqa: BLE001  whatever the driver raises, it goes on
            listener.lost(error)
            if connection is not None:
                connection.invalidate()
            connection = None
        pause = 0.0 if connection is not None else _PAUSE
        del listener
        time.sleep(pause)
    if connection is not None:
        connection.invalidate()
