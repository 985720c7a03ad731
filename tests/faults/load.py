"""Mixed load: clients that ask, write, try again, and keep a log of every answer."""

from __future__ import annotations

import http.client
import json
import random
import select
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple
from uuid import uuid4

ACCOUNTS = 20
CLIENTS = 8
BULK = 20
TIMEOUT = 60
"""Seconds that a client waits for an answer: more than the server may take for one."""

_PAUSE_SECONDS = 0.05
_BROKEN_SECONDS = 0.3
_LAST_TRY_SECONDS = 20
_READS = (
    "/api/accounts/{account}",
    "/api/accounts?select=id,owner&order=id&limit=5",
    "/api/transfers?select=id,amount,source(owner),target(owner)&order=id.desc&limit=10",
    "/api/notes?q=note&limit=5",
    "/api/notes?select=id&limit=1",
)
Kind = Literal["read", "write"]


class Answer(NamedTuple):
    """What became of one request; the status is 0 where the connection broke.

    Times are seconds of the monotonic clock.
    """

    kind: Kind
    begun: float
    ended: float
    status: int
    headers: dict[str, str]
    body: bytes
    asked: str

    @property
    def done(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status < 300

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def is_in_flight(self) -> bool:
        """Whether the same write is being done, for an earlier request of the same client."""
        return self.status == 409 and b"in-flight" in self.body


class Write(NamedTuple):
    """Rows of a resource, by the client's name for them, as they must be if it was acknowledged.

    ``rows`` is how many have the name; ``text`` what a note says, else None.
    """

    resource: Literal["notes", "transfers", "orders"]
    ref: str
    rows: int
    text: str | None
    acknowledged: bool


class Client:
    """One that does one thing after another in a thread, until it is told to stop."""

    def __init__(self, port: int, name: str, credential: str, load: Load) -> None:
        self.name = name
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.answers: list[Answer] = []
        self.writes: list[Write] = []
        self.crash: BaseException | None = None
        self._port = port
        self._headers = {
            "Authorization": f"Bearer {credential}",
            "Content-Type": "application/json",
        }
        self._load = load
        self._random = random.Random(name)
        self._connection: http.client.HTTPConnection | None = None
        self._count = 0
        self._notes: list[tuple[int, str]] = []

    def _run(self) -> None:
        """Do this and that; notes are changed and deleted by the one that made them."""
        todo = [self._read] * 8 + [self._transfer] * 6 + [self._note] * 3
        todo += [self._change] * 2 + [self._delete, self._bulk]
        todo += [self._order] * self._load.orders
        try:
            while not self._load.stopping.is_set():
                self._load.running.wait()
                self._random.choice(todo)()
                time.sleep(self._random.uniform(0, 2 * _PAUSE_SECONDS))
        except Exception as error:  # noqa: BLE001  the runner raises it
            self.crash = error
        finally:
            self._hang_up()

    def _read(self) -> None:
        path = self._random.choice(_READS).format(account=self._random.randint(1, ACCOUNTS))
        self._ask("read", "GET", path)

    def _transfer(self) -> None:
        source, target = self._random.sample(range(1, ACCOUNTS + 1), 2)
        ref = self._new_ref()
        body = {"ref": ref, "source_id": source, "target_id": target}
        answer = self._write("POST", "/api/transfers", {**body, "amount": 1})
        self.writes.append(Write("transfers", ref, 1, None, answer is not None))

    def _note(self) -> None:
        ref = self._new_ref()
        answer = self._write("POST", "/api/notes", {"ref": ref, "text": "a note"})
        self.writes.append(Write("notes", ref, 1, "a note", answer is not None))
        if answer is not None:
            self._notes.append((answer.json["id"], ref))

    def _bulk(self) -> None:
        ref = self._new_ref()
        body = [{"ref": ref, "text": f"note {number}"} for number in range(BULK)]
        answer = self._write("POST", "/api/notes", body)
        self.writes.append(Write("notes", ref, BULK, None, answer is not None))

    def _order(self) -> None:
        ref = self._new_ref()
        answer = self._write("POST", "/api/orders", {"ref": ref})
        self.writes.append(Write("orders", ref, 1, None, answer is not None))

    def _change(self) -> None:
        if self._notes:
            key, ref = self._random.choice(self._notes)
            text = f"a note, {self._new_ref()}"
            answer = self._write("PATCH", f"/api/notes/{key}", {"text": text})
            self.writes.append(Write("notes", ref, 1, text, answer is not None))

    def _delete(self) -> None:
        if self._notes:
            key, ref = self._notes.pop(self._random.randrange(len(self._notes)))
            answer = self._write("DELETE", f"/api/notes/{key}", None)
            self.writes.append(Write("notes", ref, 0, None, answer is not None))

    def _new_ref(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}"

    def _write(self, method: str, path: str, body: Any) -> Answer | None:
        """Send a write again, with the same key, until it is answered; None if that never came."""
        key = {"Idempotency-Key": str(uuid4())}
        data = None if body is None else json.dumps(body).encode()
        while True:
            answer = self._ask("write", method, path, data, key)
            if answer.done:
                return answer
            again = answer.status in (0, 503, 504) or answer.is_in_flight
            if not again or time.monotonic() > self._load.last_try:
                return None
            time.sleep(float(answer.headers.get("retry-after", 0)) or _BROKEN_SECONDS)

    def _ask(
        self,
        kind: Kind,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        begun = time.monotonic()
        status, received, said = 0, {}, b""
        if self._is_dropped():
            self._hang_up()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, TIMEOUT)
            self._connection.request(method, path, body, self._headers | (headers or {}))
            response = self._connection.getresponse()
            said = response.read()
            status = response.status
            received = {name.lower(): value for name, value in response.getheaders()}
        except (OSError, http.client.HTTPException) as error:
            said = repr(error).encode()
            self._hang_up()
        answer = Answer(kind, begun, time.monotonic(), status, received, said, f"{method} {path}")
        # What is as it should be needs no words in the log; a soak is long.
        self.answers.append(answer._replace(headers={}, body=b"") if answer.done else answer)
        return answer

    def _is_dropped(self) -> bool:
        """Whether the server has closed the connection since, as it may do with idle ones."""
        own = self._connection.sock if self._connection is not None else None
        return own is not None and bool(select.select([own], [], [], 0)[0])

    def _hang_up(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
            self._connection = None


class Load:
    """Clients with one of the credentials each; begun at once, and ended by ``stop``.

    Of about twenty things that they do, so many are ``orders``.
    """

    def __init__(
        self,
        port: int,
        name: str,
        credentials: Sequence[str],
        clients: int = CLIENTS,
        orders: int = 0,
    ):
        self.orders = orders
        self.running = threading.Event()
        self.stopping = threading.Event()
        self.last_try = float("inf")
        self.clients = [
            Client(port, f"{name}-{number}", credentials[number % len(credentials)], self)
            for number in range(clients)
        ]
        self.running.set()
        for client in self.clients:
            client.thread.start()

    @property
    def answers(self) -> list[Answer]:
        """Every answer so far, the first first."""
        answers = (answer for client in self.clients for answer in list(client.answers))
        return sorted(answers, key=lambda answer: answer.ended)

    @property
    def writes(self) -> list[Write]:
        """Every write, of each client in its order."""
        return [write for client in self.clients for write in client.writes]

    def stop(self) -> None:
        """Let each client end what it does; raises what has ended one of them before."""
        self.last_try = time.monotonic() + _LAST_TRY_SECONDS
        self.stopping.set()
        self.running.set()
        for client in self.clients:
            client.thread.join(_LAST_TRY_SECONDS + TIMEOUT)
            assert not client.thread.is_alive(), "a client waits for ever"
            if client.crash is not None:
                raise client.crash
