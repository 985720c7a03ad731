"""The store in the process's own memory; only the versions are shared with other processes."""

from __future__ import annotations

import threading
from collections import OrderedDict

from .store import Entry, Found, VersionsRead
from .versions import Places, Versions


class MemoryStore:
    """Keeps so many bytes of answers; those that nobody asked for longest go first."""

    def __init__(self, versions: Versions, size: int) -> None:
        self._versions = versions
        self._size = size
        self._used = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._lock = threading.Lock()

    def fetch(self, key: bytes, places: Places) -> Found:
        versions, settled = self._versions.read(places)
        entry = self._entries.get(key)
        if entry is None:
            return Found(versions, settled)
        own = (versions, settled)
        if entry.places != places:
            own = self._versions.read(entry.places)
        if own != (entry.versions, True):
            return Found(versions, settled)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
        return Found(versions, settled, entry)

    def claim(self, key: bytes, versions: VersionsRead) -> bool:
        return True

    def keep(self, key: bytes, entry: Entry) -> None:
        if entry.size > self._size:
            return
        with self._lock:
            self._used += entry.size - self._removed(key)
            self._entries[key] = entry
            while self._used > self._size:
                _, oldest = self._entries.popitem(last=False)
                self._used -= oldest.size

    def drop(self, key: bytes, versions: VersionsRead) -> None:
        pass

    def mark(self, places: Places) -> int:
        return self._versions.mark(places)

    def finish(self, places: Places, marked: int) -> None:
        self._versions.finish(places, marked)

    def _removed(self, key: bytes) -> int:
        """Take out what was there; its size."""
        before = self._entries.pop(key, None)
        return 0 if before is None else before.size
