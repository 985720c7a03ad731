"""An export: a statement's rows, sent on while the database still makes them.

A thread of its own has the connection. It is a few chunks ahead of whoever reads, and gives the
connection back at its deadline, however slowly they are read, and as soon as nobody does.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from queue import Empty, Full, Queue
from time import perf_counter
from typing import Any

from msgspec.structs import replace
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from ..access import Actor
from ..errors import ApiError, DeadlineExceeded, Unavailable
from ..events import TRACE, rows, statement_ran, traced
from ..formats import Format, format_of
from ..plan import PlannedExport
from ..request import Export
from ..sql import Statement
from .database import Database, bind_values
from .deadline import RETRY_AFTER, Deadline, Within, has_passed
from .errors import api_error
from .lines import StaleConnection, reading

CHUNK_BYTES = 64 * 1024
_AHEAD = 8


class _Left(Exception):
    """Nobody reads any more."""


class _Pipe:
    """A few chunks on their way from the thread that makes them, and at last how it ended."""

    def __init__(self) -> None:
        self.items: Queue[bytes | BaseException] = Queue(_AHEAD)
        self.left = threading.Event()

    def add(self, chunk: bytes, seconds: float) -> None:
        """Hand a chunk over; raises Full where nobody takes it in time, _Left where nobody will."""
        self.items.put(chunk, timeout=max(0.0, seconds))
        if self.left.is_set():
            raise _Left

    def leave(self) -> None:
        """Take no more, and let whoever waits see it."""
        self.left.set()
        with suppress(Empty):
            while True:
                self.items.get_nowait()


class Chunks:
    """What is sent, chunk by chunk, as a thread of its own makes it.

    It is there once the first chunk is. What breaks the export off is raised here before that, and
    by iterating after it. Whoever stops before the end closes it, or forgets it.
    """

    def __init__(self, run: Callable[[_Pipe], None]) -> None:
        self._pipe = pipe = _Pipe()
        # The thread refers to the pipe alone, so that it ends when nobody has the chunks any more.
        self._end = weakref.finalize(self, pipe.leave)
        trace = TRACE.get()

        def work() -> None:
            end: BaseException = StopIteration()
            try:
                with traced(trace) if trace is not None else nullcontext():
                    run(pipe)
            except BaseException as error:  # noqa: BLE001  it is raised where chunks are taken
                end = error
            pipe.items.put(end)

        threading.Thread(target=work, name="carboy-export", daemon=True).start()
        self._first: bytes | None = None
        self._first = next(self, b"")

    def close(self) -> None:
        """Let the export end."""
        self._end()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        found = self._pipe.items.get()
        if isinstance(found, bytes):
            return found
        self._pipe.items.put(found)  # for whoever asks once more
        raise found


def execute_export(
    database: Database, planned: PlannedExport, media: Export, who: Actor, seconds: float
) -> Iterator[bytes]:
    """Run an export of an actor; what breaks it before its first chunk is raised here."""
    cells = media == "text/csv" and database.driver.copies and not planned.plan.root.grouped
    statement = database.read_statement(replace(planned.plan, cells=cells))
    parameters = statement.named(bind_values(statement, planned.values))
    form = format_of(media, planned.columns, cells=cells)

    def run(add: Callable[[bytes, float], None]) -> None:
        with Within(seconds):
            _Run(database, statement, parameters, who, form, add).run()

    if isinstance(database.engine.pool, StaticPool | SingletonThreadPool):
        # A database in memory, which only this thread can reach, or one connection of everybody's.
        whole: list[bytes] = []
        run(lambda chunk, _: whole.append(chunk))
        return iter(whole)
    if not database.exporting.acquire(blocking=False):
        raise Unavailable(
            "too many exports at a time (CARBOY_EXPORTS); try again", headers=[RETRY_AFTER]
        )

    def run_in_turn(pipe: _Pipe) -> None:
        try:
            run(pipe.add)
        finally:
            database.exporting.release()

    return Chunks(run_in_turn)


class _Run:
    """One export, in the thread that has its connection."""

    def __init__(
        self,
        database: Database,
        statement: Statement,
        parameters: Any,
        who: Actor,
        form: Format,
        add: Callable[[bytes, float], None],
    ) -> None:
        self._database = database
        self._statement = statement
        self._parameters = parameters
        self._who = who
        self._form = form
        self._add = add
        self._begun = False

    def run(self) -> None:
        """Read and add everything; a connection that has gone stale is replaced once."""
        database = self._database
        with database.place() as deadline:
            try:
                try:
                    self._read(deadline)
                except StaleConnection:
                    if self._begun or has_passed():
                        raise
                    self._read(deadline)
            except Full:
                raise _too_late() from None
            except StaleConnection as stale:
                raise self._refusal(stale.error) from stale.error
            except database.errors as error:
                raise self._refusal(error) from error

    def _read(self, deadline: Deadline) -> None:
        form, started = self._form, perf_counter()
        head, size = form.head, 0
        block: list[bytes] = []
        try:
            with reading(self._database, self._statement, self._parameters, self._who) as lines:
                for line in lines:
                    block.append(line)
                    size += len(line)
                    if size >= CHUNK_BYTES:
                        self._begun = True
                        self._add(head + form.block(block), deadline.left)
                        rows(read=len(block))
                        head, block, size = b"", [], 0
        finally:
            statement_ran(self._statement.sql, started)
        # All is read, and the connection is back.
        last = form.block(block) if block else b""
        self._add(head + last + form.tail, deadline.left)
        rows(read=len(block))

    def _refusal(self, error: Exception) -> ApiError:
        return _too_late() if has_passed() else api_error(error, self._database.engine)


def _too_late() -> ApiError:
    return DeadlineExceeded(
        "the export took longer than it may (CARBOY_EXPORT_DEADLINE)", headers=[RETRY_AFTER]
    )
