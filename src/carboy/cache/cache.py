"""An answer from the store, or computed once for all who wait for it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from ..access import Actor
from ..execute import Database
from ..execute.deadline import current, too_late
from ..execute.row_security import told
from ..plan import PlannedView, ReadResult
from ..plan.nodes import ReadPlan
from ..sql import survey, survey_read, view_statement
from .listener import Listener
from .store import Entry, Payload, Store, VersionsRead
from .versions import ANYTHING, EVERYTHING, Places
from .writes import READS, Reads, Writes

Outcome: TypeAlias = Literal["hit", "miss", "stale", "bypass"]
_NUMBERS = (int, float, bool, Decimal)
_MOMENTS = (datetime, date, time_of_day, timedelta)
_PLAIN = frozenset((str, bytes, UUID, type(None), *_NUMBERS, *_MOMENTS))
"""Types whose representation tells all values apart."""
_WAIT = 5.0
_POLL = 0.005


class Keeping(Struct, frozen=True):
    """For how many seconds an answer is kept, and for how many more it may be shown meanwhile."""

    seconds: int
    stale: int = 0


class _Shape(Struct, frozen=True):
    """What all reads of one plan have in common; ``digest`` is None where they can't be kept."""

    plan: ReadPlan
    digest: bytes | None
    places: Places


class _Asked(Struct, frozen=True):
    """One answer that is wanted; ``endpoint`` names the view whose it is."""

    keeping: Keeping
    key: bytes
    places: Places
    endpoint: str | None = None


class Ran(Struct, frozen=True):
    """What was computed; ``shared`` says whether others may have it, and a store may keep it.

    ``places`` are those that it turned out to depend on, where that isn't known before.
    """

    payload: Payload
    shared: bool = True
    places: Places | None = None


class _Flight:
    """A computation that others wait for."""

    def __init__(self) -> None:
        self._landed = threading.Event()
        self._ran: Ran | None = None
        self._error: BaseException | None = None

    def land(self, ran: Ran | None, error: BaseException | None = None) -> None:
        self._ran, self._error = ran, error
        self._landed.set()

    def wait(self) -> Ran:
        """What came out; raises what its computation has raised, and DeadlineExceeded."""
        deadline = current()
        if not self._landed.wait(None if deadline is None else max(0, deadline.left)):
            raise too_late()
        if self._error is not None:
            raise self._error
        assert self._ran is not None
        return self._ran


class Cache:
    """The kept answers of one database."""

    def __init__(self, database: Database, store: Store, writes: Writes, secret: bytes) -> None:
        self._database = database
        self._store = store
        self._writes = writes
        # Answers of another server's database of the same name have other keys.
        self._namespace = secret + repr(database.engine.url).encode()
        self._shapes: OrderedDict[int, _Shape] = OrderedDict()
        self._learned: dict[str, Places] = {}
        self._flights: dict[Any, _Flight] = {}
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._is_told: bool | None = None

    def read(
        self,
        keeping: Keeping,
        plan: ReadPlan,
        values: Sequence[Any],
        who: Actor,
        run: Callable[[], ReadResult | None],
    ) -> tuple[Any, Outcome]:
        """What a read answers an actor.

        The policy is a part of the statement and of its values, so an actor for whom it answers
        otherwise has another key.
        """
        shape = self._shape(plan)
        if shape.digest is None or not all(type(value) in _PLAIN for value in values):
            return run(), "bypass"
        asking = told(who) if self._database.row_security else ()
        parts = repr((values, asking)).encode("utf-8", "surrogatepass")
        key = blake2b(parts, key=shape.digest, digest_size=16).digest()
        return self._answer(_Asked(keeping, key, shape.places), lambda: Ran(run()))

    def view(
        self, keeping: Keeping, endpoint: str, asked: object, run: Callable[[], Ran]
    ) -> tuple[Any, Outcome]:
        """What a view of the application's own answers to what is ``asked``, a value of plain ones.

        Which tables it reads is known once it has run; until then every write counts.
        """
        parts = repr((endpoint, asked)).encode("utf-8", "surrogatepass")
        key = blake2b(self._namespace + parts, digest_size=16).digest()
        places = self._learned.get(endpoint, (EVERYTHING, ANYTHING))
        of = _Asked(keeping, key, places, endpoint)
        return self._answer(of, lambda: self._learn(endpoint, run))

    def touch(self, planned: PlannedView) -> None:
        """The cached view that runs here, if one does, reads what a select of its own reads."""
        reads = READS.get()
        if reads is None:
            return
        reads.elsewhere |= reads.writes is not self._writes
        statement = view_statement(planned, self._database.dialect)
        found = survey(statement, self._database.engine.dialect)
        reads.places.update(self._places(found.tables))
        if not found.whole:
            reads.places.add(ANYTHING)

    def _learn(self, endpoint: str, run: Callable[[], Ran]) -> Ran:
        """Run a view, and learn which tables it reads."""
        reads = Reads(self._writes)
        token = READS.set(reads)
        try:
            ran = run()
        finally:
            READS.reset(token)
        # Of a view that reads nothing here nobody knows what it depends on.
        found = {EVERYTHING, *(reads.places or {ANYTHING}), *self._learned.get(endpoint, ())}
        return replace(ran, places=tuple(sorted(found)), shared=ran.shared and not reads.elsewhere)

    def _answer(self, of: _Asked, run: Callable[[], Ran]) -> tuple[Payload, Outcome]:
        found = self._store.fetch(of.key, of.places)
        if found.versions is None or not self._hears():
            return run().payload, "bypass"
        entry = found.entry
        if entry is not None and entry.fresh_until > time.time():
            if of.endpoint is not None and of.endpoint not in self._learned:
                self._learned[of.endpoint] = entry.places
            return entry.payload, "hit"
        name = (of.key, found.versions)
        with self._lock:
            flight = self._flights.get(name)
            if flight is None:
                mine = self._flights[name] = _Flight()
        if flight is not None:
            if entry is not None:
                return entry.payload, "stale"
            ran = flight.wait()
            return (ran.payload, "hit") if ran.shared else (run().payload, "bypass")
        try:
            ran, outcome = self._lead(of, found.versions, run)
        except BaseException as error:
            mine.land(None, error)
            raise
        else:
            mine.land(ran)
            return ran.payload, outcome
        finally:
            with self._lock:
                del self._flights[name]

    def _lead(
        self, of: _Asked, versions: VersionsRead, run: Callable[[], Ran]
    ) -> tuple[Ran, Outcome]:
        """Compute an answer, unless another process does; the others of this one wait."""
        end = time.monotonic() + _WAIT
        # Which tables a view reads not all processes know already.
        name = versions if of.endpoint is None else ()
        claimed = False
        try:
            while True:
                claimed = self._store.claim(of.key, name)
                # Only now is it sure that nobody has finished meanwhile.
                found = self._store.fetch(of.key, of.places)
                entry = found.entry
                if entry is not None and entry.fresh_until > time.time():
                    return Ran(entry.payload), "hit"
                if found.versions is None or not found.settled:
                    return run(), "bypass"
                if claimed or time.monotonic() > end:
                    break
                if entry is not None:
                    return Ran(entry.payload), "stale"
                time.sleep(_POLL)
            ran = run()
            self._keep(of, found.versions, ran)
            return ran, "miss" if ran.shared else "bypass"
        finally:
            if claimed:
                self._store.drop(of.key, name)

    def _keep(self, of: _Asked, versions: VersionsRead, ran: Ran) -> None:
        """Keep what was computed after the versions had been read."""
        if not ran.shared:
            return
        needed = of.places if ran.places is None else ran.places
        self._keep_under(of, versions, needed, ran)
        if of.endpoint is not None:
            # Last, so that who knows of these tables finds the answer there.
            self._learned[of.endpoint] = needed

    def _keep_under(self, of: _Asked, versions: VersionsRead, needed: Places, ran: Ran) -> None:
        if needed != of.places:
            later = self._store.fetch(of.key, needed)
            again = self._store.fetch(of.key, of.places)
            if ANYTHING not in of.places or again.versions != versions or not again.settled:
                return  # something was written meanwhile, perhaps to just these tables
            if later.versions is None:
                return
            versions = later.versions
        fresh = time.time() + of.keeping.seconds
        until = fresh + of.keeping.stale
        self._store.keep(of.key, Entry(needed, versions, fresh, until, ran.payload))

    def _shape(self, plan: ReadPlan) -> _Shape:
        # Kept plans are the same objects each time; to compare them costs more than the rest.
        shape = self._shapes.get(id(plan))
        if shape is not None and shape.plan is plan:
            return shape
        shape = self._new_shape(plan)
        with self._lock:
            self._shapes[id(plan)] = shape
            if len(self._shapes) > 1024:
                self._shapes.popitem(last=False)
        return shape

    def _new_shape(self, plan: ReadPlan) -> _Shape:
        database = self._database
        found = survey_read(plan, database.dialect, database.engine.dialect)
        statement = database.read_statement(plan)
        constants = [(p[0], p[1], p[2]) for p in statement.parameters]
        if not found.pure or not all(type(constant) in _PLAIN for _, _, constant in constants):
            return _Shape(plan, None, ())
        estimates = (plan.counted, plan.estimate_above)
        parts = repr((self._namespace, statement.sql, constants, estimates)).encode()
        return _Shape(plan, blake2b(parts, digest_size=32).digest(), self._places(found.tables))

    def clear(self) -> None:
        """Let nothing that is kept be used again, in any process."""
        places = (EVERYTHING, ANYTHING)
        self._store.finish(places, self._store.mark(places))

    def _hears(self) -> bool:
        """Whether no write of others is missed, where triggers tell of them."""
        if self._is_told is None:
            self._places(())
        return self._listener is None or self._listener.hears()

    def _places(self, tables: Iterable[str]) -> Places:
        database = self._database
        with database.connect() as connection:
            how = self._writes.entangled(connection)
        with self._lock:
            if self._is_told is None:
                self._is_told = how.told and database.engine.driver == "psycopg"
                self._listener = Listener(database.engine, self._store) if self._is_told else None
        return how.read(tables)
