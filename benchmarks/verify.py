"""All peers answer the same JSON, or write the same rows, or nothing is measured."""

from __future__ import annotations

import csv
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from http.client import HTTPException
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Engine, text

from .contest import Peer
from .data import Size, empty_anew
from .load import Request
from .measure import Turn
from .scenarios import Scenario

COMPARED_LINES = 1000
"""Of a transfer: the first ones, and how many there are."""
_NOT_THERE = (404, 405, 406, 415, 501)
_DIGEST = """
SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY id)),
       (array_agg(t::text ORDER BY id DESC))[1]
FROM {table} t
"""


class PeersDiffer(Exception):
    """A peer's answer isn't what the first peer's is; the message has both."""


class NotThere(Exception):
    """Carboy can't do what a scenario asks for; the message says how that shows."""


class Answer(Struct, frozen=True):
    """What came: the status, the headers, whose names may be in any case, and the body."""

    status: int
    headers: Message
    body: bytes


def verify(
    turns: Sequence[Turn], engine: Engine, size: Size
) -> tuple[list[Turn], dict[tuple[str, str], str]]:
    """Compare what each scenario's peers answer with what its first peer does.

    Answers the turns that can be measured, and why the others can't, by scenario and peer: only
    Carboy may lack something. A path with a key is tried with the first, a middle and the last one.
    Of a list ``data`` is compared, and where it is counted, its ``total``: what else there is, such
    as Carboy's cursor, is extra. Raises PeersDiffer.
    """
    able: list[Turn] = []
    absent: dict[tuple[str, str], str] = {}
    expected: dict[tuple[str, int], tuple[Peer, Any]] = {}
    for turn in turns:
        largest = turn.request.largest_key
        for key in sorted({1, (largest + 1) // 2, largest}):
            try:
                given = _outcome(turn, key, engine, size)
            except NotThere as error:
                absent[turn.scenario.name, turn.peer.name] = str(error)
                break
            first, wanted = expected.setdefault((turn.scenario.name, key), (turn.peer, given))
            if given != wanted:
                raise PeersDiffer(
                    f"{turn.scenario.title}: the answers of {first.name} and {turn.peer.name} "
                    f"differ\n  {first.name}: {_short(wanted)}\n  {turn.peer.name}: {_short(given)}"
                )
        else:
            able.append(turn)
    return able, absent


def _outcome(turn: Turn, key: int, engine: Engine, size: Size) -> Any:
    """What is compared: an answer's rows, a transfer's lines, or what a table has after a write."""
    scenario, peer = turn.scenario, turn.peer
    request = replace(turn.request, path=turn.request.path.replace("{key}", str(key)))
    if scenario.writes:
        empty_anew(engine, scenario.writes, size)
    answer = ask(request)
    says = peer.asks[scenario.name].says
    if says and answer.status < 300:
        answer = ask(request)  # what is cached is there at the second time
    unlike = [
        f"{name} is {answer.headers.get(name)}, not {value}"
        for name, value in says.items()
        if not (answer.headers.get(name) or "").startswith(value)
    ]
    if peer.ours and (answer.status in _NOT_THERE or (answer.status < 300 and unlike)):
        raise NotThere(unlike[0] if answer.status < 300 else f"status {answer.status}")
    if answer.status >= 300:
        raise PeersDiffer(
            f"{scenario.title}: {peer.name} answers {request.url} with status "
            f"{answer.status}: {answer.body[:400]!r}"
        )
    if scenario.writes:
        with engine.connect() as connection:
            found = connection.execute(text(_DIGEST.format(table=scenario.writes)))
            return tuple(found.one())
    if scenario.kind == "transfer":
        return _lines(scenario, answer.body, request.rows)
    return _rows(turn, answer.body, size)


def _rows(turn: Turn, body: bytes, size: Size) -> Any:
    scenario, peer = turn.scenario, turn.peer
    try:
        answer = json.loads(body)
        if peer.rows is not None:
            answer = peer.rows(answer, many=scenario.rows is not None)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PeersDiffer(f"{scenario.title}: {peer.name}: {error!r}: {body[:400]!r}") from error
    if scenario.rows is None:
        return answer
    rows = answer.get("data") if isinstance(answer, dict) else None
    wanted = scenario.rows if isinstance(scenario.rows, int) else getattr(size, scenario.rows)
    if not isinstance(rows, list) or len(rows) != wanted:
        raise PeersDiffer(
            f"{scenario.title}: {peer.name} should give {wanted} rows in `data`, "
            f"but answers {_short(answer)}"
        )
    return (rows, answer.get("total")) if scenario.name == "count" else rows


def _lines(scenario: Scenario, body: bytes, rows: int) -> Any:
    lines = body.decode().splitlines()
    if scenario.name.endswith("csv"):
        found = list(csv.reader(lines))
        return len(found), found[: COMPARED_LINES + 1]
    return len(lines), [json.loads(line) for line in lines[:COMPARED_LINES]]


def ask(request: Request) -> Answer:
    """One request, whatever its answer is. Raises PeersDiffer where none comes."""
    url = request.url
    asked = urllib.request.Request(  # noqa: S310  our own server
        url, request.body or None, dict(request.headers), method=request.method
    )
    try:
        with urllib.request.urlopen(asked, timeout=300) as response:  # noqa: S310  the same
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())
    except (OSError, HTTPException, ValueError) as error:
        raise PeersDiffer(f"{url}: {error}") from error


def _short(answer: Any) -> str:
    shown = json.dumps(answer)
    return shown if len(shown) <= 400 else f"{shown[:400]}..."
