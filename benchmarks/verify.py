"""All peers answer the same JSON, or nothing is measured."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any

from .peers import Peer
from .scenarios import Scenario


class PeersDiffer(Exception):
    """A peer's answer isn't what the first peer's is; the message has both."""


def verify(scenarios: Sequence[Scenario], served: Mapping[Peer, str], keys: Sequence[int]) -> None:
    """Compare all peers' answers with the first one's. Raises PeersDiffer.

    ``served`` has the peers' URLs. A scenario with a key in its path is tried with each key.
    A list is compared by its ``data``: what stands beside it, such as Carboy's cursor, is extra.
    """
    for scenario in scenarios:
        for key in keys if "{key}" in scenario.path else keys[:1]:
            answers = {
                peer: _answer(peer, url + peer.path(scenario).replace("{key}", str(key)))
                for peer, url in served.items()
            }
            _compare(scenario, answers)


def _compare(scenario: Scenario, answers: Mapping[Peer, Any]) -> None:
    (first, expected), *others = answers.items()
    if scenario.rows is not None:
        expected = _rows(first, scenario, expected)
    for peer, answer in others:
        given = answer if scenario.rows is None else _rows(peer, scenario, answer)
        if given != expected:
            raise PeersDiffer(
                f"{scenario.title}: the answers of {first.name} and {peer.name} differ\n"
                f"  {first.name}: {_short(expected)}\n  {peer.name}: {_short(given)}"
            )


def _rows(peer: Peer, scenario: Scenario, answer: Any) -> Any:
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or len(rows) != scenario.rows:
        raise PeersDiffer(
            f"{scenario.title}: {peer.name} should give {scenario.rows} rows in `data`, "
            f"but answers {_short(answer)}"
        )
    return rows


def _answer(peer: Peer, url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310  our own server
            return json.load(response)
    except (OSError, HTTPException, ValueError) as error:
        raise PeersDiffer(f"{peer.name}: {url}: {error}") from error


def _short(answer: Any) -> str:
    text = json.dumps(answer)
    return text if len(text) <= 400 else f"{text[:400]}..."
