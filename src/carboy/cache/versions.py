"""Which version each table has: a small file that all processes of a user on a machine map.

A version is a random number, so that one which is lost and made anew is never an old one. To read
it costs no system call. A write marks its tables before its COMMIT and finishes them after it;
each gives them a new version. While a table is marked, its rows may be changing: what is read then
isn't kept. Marks are counted by windows of time, and those of a process that died end with their
window.

Tables share ``_TABLES`` places by a digest of their names: where two meet, a write to one makes
the other's answers unreachable, too.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

Places: TypeAlias = tuple[int, ...]
"""Where the versions of some tables are, in order; ``EVERYTHING`` is always among those read."""

EVERYTHING, ANYTHING = 0, 1
"""What a write of unknown tables changes; and what every write changes."""

WINDOW = 30
"""Seconds; a mark ends after two windows at most."""

_TABLES = 1024
_WORDS = 8
_TOKEN, _SOILED = 0, 5
_COUNTS = ((1, 2), (3, 4))  # of even windows and of odd ones: the window's number, and the marks
_SIZE = _TABLES * _WORDS * 8
_PATIENCE = 0.5
_LOOK = 1.0


class CacheUnavailable(Exception):
    """The file of versions can't be used; the message says why."""


@lru_cache(4096)
def place_of(table: str) -> int:
    """The place of a table, by its name without its schema: in doubt one version serves two."""
    digest = blake2b(table.lower().encode(), digest_size=4).digest()
    return 2 + int.from_bytes(digest, "big") % (_TABLES - 2)


def places_of(tables: Iterable[str]) -> Places:
    """The places of tables."""
    return tuple(sorted({place_of(table) for table in tables}))


def default_folder() -> Path:
    """Files in memory where there are such, which a service's private /tmp doesn't hide."""
    shared = Path("/dev/shm")  # noqa: S108  the file's owner and mode are looked at
    return shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())


class Versions:
    """The versions of one database's tables; raises CacheUnavailable where they can't be kept.

    Of a ``database`` without a name, one in memory, they are the process's alone.
    """

    def __init__(self, folder: Path, database: str | None) -> None:
        self._path: Path | None = None
        self._lock = threading.Lock()
        self._look_next = 0.0
        if database is None:
            self._words = memoryview(mmap.mmap(-1, _SIZE)).cast("Q")
            return
        digest = blake2b(database.encode(), digest_size=8).hexdigest()
        self._path = folder / f"carboy-cache-{os.geteuid()}-{digest}"
        try:
            self._map(self._open(self._path))
        except OSError as error:
            raise CacheUnavailable(f"{self._path} can't be used: {error.strerror}") from None

    def read(self, places: Places) -> tuple[Places, bool]:
        """The versions, and whether none of the tables is marked."""
        now = time.monotonic()
        if now >= self._look_next:
            self._look_next = now + _LOOK
            self._find_again()
        words = self._words
        # The version first: a mark made since is one of a COMMIT that is still to come.
        found = tuple([words[place * _WORDS] for place in places])
        for place in places:
            for window, count in _COUNTS:
                at = place * _WORDS
                if words[at + count] and 0 <= now // WINDOW - words[at + window] <= 1:
                    return found, False
        return found, True

    def mark(self, places: Places) -> int:
        """Before a COMMIT; what ``finish`` wants to know."""
        current = int(time.monotonic() // WINDOW)
        window, count = _COUNTS[current % 2]
        with self._alone() as words:
            for place in places:
                at = place * _WORDS
                if words[at + window] != current:
                    words[at + window], words[at + count] = current, 0
                words[at + count] += 1
                words[at + _TOKEN] = _random()
        return current

    def finish(self, places: Places, marked: int) -> None:
        """After a COMMIT that was, or failed."""
        window, count = _COUNTS[marked % 2]
        with self._alone() as words:
            for place in places:
                at = place * _WORDS
                words[at + _TOKEN] = _random()
                if words[at + window] == marked and words[at + count]:
                    words[at + count] -= 1

    def soil(self, places: Places) -> None:
        """Note that whoever shares the versions elsewhere hasn't heard of a write yet."""
        with self._alone() as words:
            for place in places:
                words[place * _WORDS + _SOILED] = _random()

    def is_soiled(self, places: Places) -> bool:
        """Whether one of them is."""
        words = self._words
        return any(words[place * _WORDS + _SOILED] for place in places)

    def soiled(self) -> dict[int, int]:
        """All that are, each with what ``clean`` wants to know."""
        words = self._words
        notes = ((place, words[place * _WORDS + _SOILED]) for place in range(_TABLES))
        return {place: note for place, note in notes if note}

    def clean(self, notes: dict[int, int]) -> None:
        """Those notes are done with, unless there are new ones."""
        with self._alone() as words:
            for place, note in notes.items():
                at = place * _WORDS + _SOILED
                if words[at] == note:
                    words[at] = 0

    @contextmanager
    def _alone(self) -> Iterator[memoryview]:
        """The words, with nobody else writing them; without the lock where it can't be had.

        A count can be wrong then, until its window ends. Each lock has a descriptor of its own:
        one that a fork shares would let both in.
        """
        if self._path is None:
            with self._lock:
                yield self._words
            return
        number = None
        with suppress(OSError):
            number = self._open(self._path)
            if os.fstat(number).st_ino != self._inode:
                self._map(os.dup(number))
            end = time.monotonic() + _PATIENCE
            while not _locked(number) and time.monotonic() < end:
                time.sleep(0.001)
        try:
            yield self._words
        finally:
            if number is not None:
                os.close(number)

    def _find_again(self) -> None:
        """Use the file that is there now, if somebody has removed the one before."""
        if self._path is None:
            return
        with suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                return
        with suppress(OSError):
            self._map(self._open(self._path))

    @staticmethod
    def _open(path: Path) -> int:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        found = os.fstat(number)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            os.close(number)
            raise OSError(0, "it isn't this user's alone")
        if found.st_size < _SIZE:
            os.ftruncate(number, _SIZE)
            # All begin at zero; with this they are others than those of a file that was removed.
            os.pwrite(number, os.urandom(8), EVERYTHING * _WORDS * 8)
        return number

    def _map(self, number: int) -> None:
        try:
            self._inode = os.fstat(number).st_ino
            self._words = memoryview(mmap.mmap(number, _SIZE)).cast("Q")
        finally:
            os.close(number)


def _locked(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _random() -> int:
    return int.from_bytes(os.urandom(8), "big") or 1
