"""Who is asked for what, in this run: servers, and the requests to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from urllib.parse import quote

from msgspec import Struct

from .bodies import body
from .contest import Peer, contestants, headers
from .data import Size
from .load import Request
from .measure import Turn
from .scenarios import Scenario
from .serve import Served, Workers, serving
from .verify import PeersDiffer, ask


class Stage(Struct, frozen=True, eq=False):
    """What all peers find: databases by kind, a Redis, and how they are served."""

    databases: Mapping[str, str]
    redis: str
    workers: Workers
    connections: int
    size: Size

    def serving(self, peer: Peer) -> AbstractContextManager[Served]:
        """A server of a peer; see ``serving``."""
        environment = {"DATABASE_URL": self.databases[peer.database], "REDIS_URL": self.redis}
        path = next(iter(peer.asks.values())).path or "/users/{key}"
        return serving(peer, environment, self.workers, path.replace("{key}", "1"))


def make_turns(
    scenarios: Sequence[Scenario],
    peers: tuple[Peer, ...],
    stage: Stage,
    stack: ExitStack,
    announce: Callable[[str], None],
) -> list[Turn]:
    """Start every peer that a scenario needs, and say what each is asked.

    Transfers are as long as every peer's: ``full_transfers`` makes them what is measured. Raises
    PeerFailed, and PeersDiffer where a page has no ``next``.
    """
    served: dict[Peer, Served] = {}
    turns = []
    for scenario in scenarios:
        for peer in contestants(scenario, peers):
            if peer not in served:
                announce(peer.title)
                served[peer] = stack.enter_context(stage.serving(peer))
            request = _request(scenario, peer, served[peer], stage, "by_hand")
            start = partial(stage.serving, peer)
            turns.append(Turn(scenario, peer, request, served[peer], start))
    return turns


def full_transfers(turns: Sequence[Turn], stage: Stage) -> list[Turn]:
    """The turns with as many rows as each peer sends and takes."""
    return [
        Turn(
            turn.scenario,
            turn.peer,
            _request(turn.scenario, turn.peer, turn.served, stage, turn.peer.transfers),
            turn.served,
            turn.start,
        )
        if turn.scenario.kind == "transfer"
        else turn
        for turn in turns
    ]


def _request(
    scenario: Scenario, peer: Peer, served: Served, stage: Stage, transfers: str
) -> Request:
    ask_for, size = peer.asks[scenario.name], stage.size
    rows = 0
    if scenario.kind == "transfer":
        rows = getattr(size, transfers if scenario.rows == "transferred" else str(scenario.rows))

    def filled(path: str) -> str:
        page = scenario.rows if isinstance(scenario.rows, int) else 0
        filling = {"rows": rows, "depth": size.depth, "before": size.depth - page}
        for name, value in filling.items():
            path = path.replace(f"{{{name}}}", str(value))
        return path

    path = filled(ask_for.path or scenario.path)
    if ask_for.cursor_from:
        path = path.replace("{cursor}", _cursor(served, filled(ask_for.cursor_from)))
    return Request(
        server=served.url,
        path=path,
        method=scenario.method,
        headers=headers(scenario, ask_for),
        body=body(ask_for.body or scenario.body, rows),
        largest_key=getattr(size, scenario.keys) if scenario.keys else 1,
        connections=scenario.connections or stage.connections,
        rows=rows,
    )


def _cursor(served: Served, path: str) -> str:
    """The ``next`` of a page."""
    answer = ask(Request(served.url, path, "GET", {}, b"", 1, 1, 0))
    try:
        return quote(json.loads(answer.body)["next"], safe="")
    except (ValueError, KeyError, TypeError) as error:
        raise PeersDiffer(f"{served.url}{path} has no next: {answer.body[:400]!r}") from error
