"""What was seen, in a line, and as a table of docs/reference/reliability.md."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from .runner import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "reliability.md"
BEGIN = "<!-- {}: written by `make {}` -->"
END = "<!-- end of {} -->"
_HEADINGS = (
    "Fault",
    "Answered",
    "Refused",
    "First success, s",
    "Writes found",
    "First job, s",
    "Jobs done",
    "Not as expected",
)
_NO_JOBS = "-"


def seen(outcome: Outcome) -> str:
    """One run in a line."""
    refused = _refused(outcome.refused)
    return (
        f"{outcome.answered} answered, refused: {refused}; first success after {_back(outcome)} s; "
        f"{_found(outcome)} writes found; {_jobs(outcome)} jobs done, the first after "
        f"{_first(outcome)} s, all of before after {_last(outcome)} s"
    )


def rows(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, str]:
    """A line of the table for each fault, by its name, with its runs beside each other."""
    return {
        name: _line(
            name,
            _joined(runs, lambda outcome: str(outcome.answered)),
            _joined(runs, lambda outcome: _refused(outcome.refused)),
            _joined(runs, _back),
            _joined(runs, _found),
            _joined(runs, _first),
            _joined(runs, _jobs),
            _joined(runs, lambda outcome: str(len(outcome.missed))),
        )
        for name, runs in outcomes.items()
    }


def publish(found: Mapping[str, str], names: Iterable[str], page: Path = PAGE) -> None:
    """Put new lines of the table in the place of old ones; the order is that of ``names``."""
    known = {**published(page), **found}
    lines = [_line(*_HEADINGS), _line(*["---"] * len(_HEADINGS))]
    lines += [known[name] for name in names if name in known]
    replace_part("faults", "\n".join([*lines, "", _machine()]), page)


def published(page: Path = PAGE) -> dict[str, str]:
    """The lines of the page's table, by the fault's name."""
    _, part, _ = _parts("faults", page)
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return {line.split("|")[1].strip(): line for line in lines[2:]}


def replace_part(name: str, text: str, page: Path = PAGE) -> None:
    """Write a part of the page anew, between its two comments."""
    before, _, after = _parts(name, page)
    page.write_text(f"{before}\n\n{text}\n\n{after}")


def _parts(name: str, page: Path) -> tuple[str, str, str]:
    begin, end = BEGIN.format(name, name), END.format(name)
    before, found, rest = page.read_text().partition(begin)
    part, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{page} has no part {begin} ... {end}")
    return before + begin, part, end + after


def _machine() -> str:
    return f"Python {platform.python_version()} on {platform.system()}, the last time."


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _joined(runs: Sequence[Outcome], cell: Callable[[Outcome], str]) -> str:
    cells = [cell(outcome) for outcome in runs]
    return _NO_JOBS if set(cells) == {_NO_JOBS} else " / ".join(cells)


def _refused(refused: Counter[int]) -> str:
    return " ".join(f"{n} × {status or 'broken'}" for status, n in sorted(refused.items())) or "0"


def _back(outcome: Outcome) -> str:
    return _time(outcome.back)


def _first(outcome: Outcome) -> str:
    return _NO_JOBS if outcome.jobs is None else _time(outcome.jobs.first)


def _last(outcome: Outcome) -> str:
    return _NO_JOBS if outcome.jobs is None else _time(outcome.jobs.last)


def _jobs(outcome: Outcome) -> str:
    return _NO_JOBS if outcome.jobs is None else f"{outcome.jobs.done} of {outcome.jobs.orders}"


def _time(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f}"


def _found(outcome: Outcome) -> str:
    return f"{outcome.found} of {outcome.acknowledged}"
