"""What a store keeps, and what it is asked."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

from msgspec import Struct

from ..plan import ReadResult
from .versions import Places


class KeptView(NamedTuple):
    """The answer of a view of the application's own."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


Payload: TypeAlias = ReadResult | KeptView | None
"""None is a row that isn't there."""
VersionsRead: TypeAlias = tuple[Any, ...]


class Entry(Struct, frozen=True, array_like=True):
    """An answer, and the versions that its tables had before it was read.

    It is fresh until a moment, and may be shown as stale until another, in seconds since 1970.
    """

    places: Places
    versions: VersionsRead
    fresh_until: float
    stale_until: float
    payload: Payload

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return 500 + (0 if self.payload is None else len(self.payload.body))


class Found(Struct, frozen=True):
    """The versions of some tables now, and an answer that has them, if there is one.

    ``versions`` are None where nobody can tell them, and nothing may be shared. ``settled`` says
    that no write is about to be committed.
    """

    versions: VersionsRead | None
    settled: bool = False
    entry: Entry | None = None


UNKNOWN = Found(None)


class Store(Protocol):
    """Where answers are kept, and the versions of tables; nothing here raises."""

    def fetch(self, key: bytes, places: Places) -> Found:
        """What there is for a key whose answer depends on the tables at these places.

        An answer that is there knows better which they are.
        """

    def claim(self, key: bytes, versions: VersionsRead) -> bool:
        """Whether nobody else computes this answer; whoever claims it keeps or drops it."""

    def keep(self, key: bytes, entry: Entry) -> None:
        """Keep what was computed."""

    def drop(self, key: bytes, versions: VersionsRead) -> None:
        """Give a claim back."""

    def mark(self, places: Places) -> Any:
        """Before a COMMIT to these tables; what ``finish`` wants to know."""

    def finish(self, places: Places, marked: Any) -> None:
        """After it."""
