"""All peers answer the same JSON, or nothing is measured."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any

from .peers import Peer, headers
from .scenarios import Scenario


class PeersDiffer(Exception):
    """A peer's answer isn't what the first peer's is; the message has both."""


def verify(asked: Mapping[Scenario, Mapping[Peer, str]], keys: Sequence[int]) -> None:
    """Compare the answers of each scenario's peers with the first one's. Raises PeersDiffer.

    ``asked`` has the peers' URLs. A scenario with a key in its path is tried with each key.
    A list is compared by its ``data``: what stands beside it, such as Carboy's cursor, is extra.
    """
    for scenario, served in asked.items():
        for key in keys if "{key}" in scenario.path else keys[:1]:
            answers = {
                peer: _answer(
                    peer, url + peer.path(scenario).replace("{key}", str(key)), headers(scenario)
                )
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


def _answer(peer: Peer, url: str, headers: Mapping[str, str]) -> Any:
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310  our own server
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  the same
            return json.load(response)
    except (OSError, HTTPException, ValueError) as error:
        raise PeersDiffer(f"{peer.name}: {url}: {error}") from error


def _short(answer: Any) -> str:
    text = json.dumps(answer)
    return text if len(text) <= 400 else f"{text[:400]}..."
