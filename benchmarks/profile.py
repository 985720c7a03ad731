"""What Carboy spends a read's time on, stage by stage, in one process.

The stages are those that the Server-Timing header names; a stage has the time since the one before
it. So the first has what comes before the stages, and on Flask's way its dispatch.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tools.servers import postgresql

from .contest import CARBOY
from .data import QUICK, fill
from .page import replace_between
from .scenarios import BY_NAME

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

BEGIN = "<!-- profile: written by `python -m benchmarks.profile --publish` -->"
END = "<!-- end of the profile -->"
PROFILED = ("one", "list")
WARM_UP = 200


class Profile(Struct, frozen=True):
    """Medians of one request, in microseconds: of each stage, in all, and of it without a CPU.

    What has no CPU waits for the database.
    """

    title: str
    stages: dict[str, float]
    total: float
    waiting: float


def profile(title: str, app: WSGIApplication, path: str, requests: int) -> Profile:
    """Measure so many requests for a path, one after the other."""
    stages: dict[str, list[float]] = {}
    totals, waits = [], []
    for number in range(-WARM_UP, requests):
        began, worked = perf_counter(), thread_time()
        timing = _ask(app, path.replace("{key}", str(1 + number % QUICK.users)))
        worked, took = thread_time() - worked, perf_counter() - began
        if number < 0:
            continue
        totals.append(took * 1e6)
        waits.append((took - worked) * 1e6)
        for part in timing.split(", ") if timing else ():
            name, _, milliseconds = part.partition(";dur=")
            stages.setdefault(name, []).append(float(milliseconds) * 1000)
    stages.pop("total", None)
    each = {name: median(times) for name, times in stages.items()}
    return Profile(title, each, median(totals), median(waits))


def _ask(app: WSGIApplication, path: str) -> str:
    """One request; the answer's Server-Timing."""
    path, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(), "wsgi.version": (1, 0), "wsgi.multithread": True,
        "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
    timing = ""

    def start_response(
        status: str, headers: list[tuple[str, str]], *_: object
    ) -> Callable[[bytes], object]:
        nonlocal timing
        assert status.startswith("200"), status
        timing = dict(headers).get("Server-Timing", "")
        return lambda _: None

    answer: Iterable[bytes] = app(environ, start_response)
    b"".join(answer)
    if close := getattr(answer, "close", None):
        close()
    return timing


def profiles(requests: int) -> list[list[Profile]]:
    """The floor, Carboy, and Carboy by Flask's way, in each scenario."""
    with postgresql() as url:
        fill(url, QUICK)
        os.environ |= {"DATABASE_URL": url, "THREADS": "1", "CARBOY_SERVER_TIMING": "yes"}
        from .peers import carboy_app, floor

        direct = carboy_app.app.wsgi_app
        os.environ["CARBOY_DIRECT_READS"] = "no"
        by_flask = carboy_app.new_carboy().wsgi_app
        found = []
        for name in PROFILED:
            path = CARBOY.asks[name].path
            found.append(
                [
                    profile("Floor", floor.app, BY_NAME[name].path, requests),
                    profile("Carboy", direct, path, requests),
                    profile("Carboy, by Flask's dispatch", by_flask, path, requests),
                ]
            )
    return found


def _lines(columns: list[Profile]) -> list[tuple[str, ...]]:
    """A stage a line: its time in each column, in times of all that the first one takes."""

    def cells(times: Iterable[float | None]) -> Iterator[str]:
        for time in times:
            yield "" if time is None else f"{time / columns[0].total:.2f}"

    stages = dict.fromkeys(name for column in columns for name in column.stages)
    around = [c.total - sum(c.stages.values()) if c.stages else None for c in columns]
    return [
        *((stage, *cells(column.stages.get(stage) for column in columns)) for stage in stages),
        ("around them", *cells(around)),
        ("in all", *cells(column.total for column in columns)),
        ("of it, waiting for the database", *cells(column.waiting for column in columns)),
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser("python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--requests", type=int, default=5000, help="of each (%(default)s)")
    parser.add_argument("--publish", action="store_true", help="write the tables into the docs")
    options = parser.parse_args()
    text = ""
    for name, columns in zip(PROFILED, profiles(options.requests), strict=True):
        title, headings = BY_NAME[name].title, [column.title for column in columns]
        shown = Table("Stage", *headings, title=title)
        for line in _lines(columns):
            shown.add_row(*line)
        Console(width=100).print(shown)
        rows = [["Stage", *headings], ["---", *("--:" for _ in columns)], *_lines(columns)]
        text += f"**{title}**\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows) + "\n"
    if options.publish:
        replace_between(BEGIN, END, text)


if __name__ == "__main__":
    main()
