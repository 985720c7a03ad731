"""The store in Redis, for the processes of several machines: one round trip for an answer.

An answer stands under a key of its own and says which versions its tables had. One MGET reads it
and the versions as they are now, so nothing has to be deleted, and nothing that comes late does
harm. Versions are random, so that Redis may forget any of them: the next is a new one. Each
connection knows which run of the server it leads to, and that is part of the versions: a server
that is restarted from an old snapshot has old versions and old answers, which nobody uses.

Requests don't wait for Redis: after the first failure of a process nothing is asked until a
thread has found it well again. Writes that Redis hasn't heard of are noted in the file of
versions, for all processes of the machine: they use no answer about these tables until the
thread has told Redis.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import msgspec
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from .store import UNKNOWN, Entry, Found, VersionsRead
from .versions import Places, Versions

_TIMEOUT = 0.08
"""Seconds for each answer of Redis, and for a connection."""
_PAUSE = 0.25
_CLAIM_MS = 5000
_KEPT_SECONDS = 7 * 86_400
_MARKED_SECONDS = 60
_FAULTS = (RedisError, OSError, ValueError, TypeError, msgspec.MsgspecError)
logger = logging.getLogger("carboy")

# A version is a token and the marks of writes: "token id:until id:until". Marks of processes that
# died are left out once they are over; with the last of them the version itself ends.
_CHANGE = """
local now = tonumber(redis.call('TIME')[1])
for _, key in ipairs(KEYS) do
  local marks, old = '', redis.pcall('GET', key)
  if type(old) == 'string' then
    for id, till in string.gmatch(old, ' (%w+):(%d+)') do
      if id ~= ARGV[2] and tonumber(till) > now then marks = marks .. ' ' .. id .. ':' .. till end
    end
  end
  if ARGV[3] == 'mark' then marks = marks .. ' ' .. ARGV[2] .. ':' .. (now + tonumber(ARGV[4])) end
  redis.call('SET', key, ARGV[1] .. marks, 'EX', marks == '' and ARGV[5] or ARGV[4])
end
return 1
"""


class RedisStore:
    """Answers of one database; ``secret`` signs them, so that only Carboy's own are believed."""

    def __init__(self, url: str, versions: Versions, database: str, secret: bytes) -> None:
        self._prefix = "carboy:" + blake2b(database.encode(), digest_size=8).hexdigest()
        self._versions = versions
        self._secret = blake2b(secret, digest_size=32, person=b"carboy cache").digest()
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            redis_connect_func=_greet,
        )
        self._decoder = msgspec.msgpack.Decoder(Entry)
        self._names: dict[Places, list[str]] = {}
        self._away = False
        self._mending: threading.Thread | None = None
        self._unfinished: deque[tuple[Places, str]] = deque()

    # What requests ask

    def fetch(self, key: bytes, places: Places) -> Found:
        if self._away or self._versions.is_soiled(places):
            self._mend()
            return UNKNOWN
        try:
            return self._fetch(key, places)
        except ResponseError:
            return UNKNOWN  # it is well, but full, or takes no writes for another reason
        except _FAULTS as error:
            self._lost(error)
            return UNKNOWN

    def _fetch(self, key: bytes, places: Places) -> Found:
        names = self._names_of(places)
        (answer, *found), run = self._ask("MGET", self._key(key), *names)
        if None in found:
            self._begin(names, found)
            found, run = self._ask("MGET", *names)
            answer = None
            if None in found:
                return UNKNOWN  # something else stands there, or it takes no writes
        versions = _versions(found, run)
        entry, own = self._entry(key, answer), versions
        if entry is not None and entry.places != places:
            own = _versions(*self._ask("MGET", *self._names_of(entry.places)))
        settled = not _is_marked(versions)
        if entry is None or _is_marked(own) or own != entry.versions:
            return Found(versions, settled)
        return Found(versions, settled, entry)

    def claim(self, key: bytes, versions: VersionsRead) -> bool:
        try:
            claim = self._claim(key, versions)
            return self._ask("SET", claim, "1", "NX", "PX", str(_CLAIM_MS))[0] is not None
        except ResponseError:
            return True
        except _FAULTS as error:
            self._lost(error)
            return True

    def keep(self, key: bytes, entry: Entry) -> None:
        milliseconds = int((entry.stale_until - time.time()) * 1000)
        if milliseconds > 0 and not self._away:
            try:
                payload = msgspec.msgpack.encode(entry)
                value = self._signature(key, payload) + payload
                self._ask("SET", self._key(key), value, "PX", str(milliseconds))
            except ResponseError:
                pass  # it is full, and goes on with what it has
            except _FAULTS as error:
                self._lost(error)

    def drop(self, key: bytes, versions: VersionsRead) -> None:
        if self._away:
            return
        try:
            self._ask("DEL", self._claim(key, versions))
        except _FAULTS as error:
            self._lost(error)

    def mark(self, places: Places) -> str:
        mark = secrets.token_hex(8)
        self._change(places, mark, "mark")
        return mark

    def finish(self, places: Places, marked: str) -> None:
        self._change(places, marked, "finish")

    def _change(self, places: Places, mark: str, what: str) -> None:
        if not self._away:
            try:
                self._tell(self._names_of(places), mark, what)
            except _FAULTS as error:
                self._lost(error)
            else:
                return
        self._versions.soil(places)
        if what == "finish":
            # A Redis that was only stalled may have got the mark in the end.
            self._unfinished.append((places, mark))
        self._mend()

    def _tell(self, names: list[str], mark: str, what: str) -> None:
        token = secrets.token_hex(8)
        times = (str(_MARKED_SECONDS), str(_KEPT_SECONDS))
        try:
            self._ask("EVAL", _CHANGE, str(len(names)), *names, token, mark, what, *times)
        except ResponseError:
            # A full Redis takes no SET, but does delete: the next version is a new one.
            self._ask("DEL", *names)

    def _begin(self, names: list[str], found: list[bytes | None]) -> None:
        """Give tables that have none a version."""
        for name, version in zip(names, found, strict=True):
            if version is None:
                token = secrets.token_hex(8)
                self._ask("SET", name, token, "NX", "EX", str(_KEPT_SECONDS))

    # What stands there

    def _names_of(self, places: Places) -> list[str]:
        names = self._names.get(places)
        if names is None:
            names = self._names[places] = [f"{self._prefix}:v:{place}" for place in places]
        return names

    def _key(self, key: bytes) -> str:
        return f"{self._prefix}:a:{key.hex()}"

    def _claim(self, key: bytes, versions: VersionsRead) -> str:
        of = blake2b(repr(versions).encode(), key=key, digest_size=16).hexdigest()
        return f"{self._prefix}:c:{of}"

    def _entry(self, key: bytes, answer: bytes | None) -> Entry | None:
        """What was kept under the key; None for anything else that is found there."""
        if answer is None or self._signature(key, answer[16:]) != answer[:16]:
            return None
        with suppress(msgspec.MsgspecError):  # another release of Carboy may have written it
            return self._decoder.decode(answer[16:])
        return None

    def _signature(self, key: bytes, payload: bytes) -> bytes:
        return blake2b(key + payload, key=self._secret, digest_size=16).digest()

    # How it is reached

    def _ask(self, *command: Any) -> tuple[Any, str]:
        """One command's answer, and the run of the server that gave it."""
        connection: Any = self._pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response(), connection.carboy_run
        except ResponseError:
            raise
        except BaseException:
            connection.disconnect()  # or the next would read what this one has asked for
            raise
        finally:
            self._pool.release(connection)

    def _lost(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            logger.warning("cache: Redis is away, every read asks the database (%s)", error)
        self._mend()

    def _mend(self) -> None:
        """See to it that a thread tries whether Redis is back; a fork has none yet."""
        if self._mending is None or not self._mending.is_alive():
            self._mending = threading.Thread(target=self._try, name="carboy-cache", daemon=True)
            self._mending.start()

    def _try(self) -> None:
        while self._away or self._versions.soiled():
            with suppress(*_FAULTS):
                self._ask("PING")
                self._wash(self._versions.soiled())
                if self._away:
                    self._away = False
                    logger.warning("cache: Redis is back")
                continue
            time.sleep(_PAUSE)

    def _wash(self, notes: dict[int, int]) -> None:
        """Tell Redis of the writes that it hasn't heard of."""
        while self._unfinished:
            places, mark = self._unfinished[0]
            self._tell(self._names_of(places), mark, "finish")
            self._unfinished.popleft()
        if notes:
            self._tell(self._names_of(tuple(notes)), "-", "finish")
            self._versions.clean(notes)


def _versions(found: list[bytes | None], run: str) -> VersionsRead:
    return (run, *((version or b"").decode("latin-1") for version in found))


def _is_marked(versions: VersionsRead) -> bool:
    return any(" " in version for version in versions)


def _greet(connection: Any) -> None:
    """Make a connection ready, and learn which run of the server it leads to."""
    connection.on_connect()
    connection.send_command("INFO", "server")
    lines: Iterable[bytes] = connection.read_response().splitlines()
    found = [line[7:].decode() for line in lines if line.startswith(b"run_id:")]
    if not found:
        raise ValueError("it doesn't say which run of the server this is")
    connection.carboy_run = found[0]
