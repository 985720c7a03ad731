"""Logs and metrics of real processes: what several workers write and count."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .test_serve import START_SECONDS, Server, environment, serving

SECRET = "s3cret-value"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """An SQLite file with a table."""
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);"
            f"INSERT INTO item VALUES (1, '{SECRET}');"
        )
    connection.close()
    return path


def samples(server: Server) -> dict[tuple[str, tuple[str, ...]], float]:
    """What /metrics says: each sample by its name and the values of its labels."""
    families = text_string_to_metric_families(server.get("/metrics"))
    return {
        (each.name, tuple(value for _, value in sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


def test_workers_count_together(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of two workers is asked, /metrics has all requests, and both pools."""
    monkeypatch.setenv("CARBOY_METRICS", "open")
    monkeypatch.setenv("CARBOY_LOG", "json")
    with serving(str(database), "--workers", "2", "--threads", "4") as server:
        asked = 0
        # Which worker is asked is the kernel's choice.
        deadline = time.monotonic() + START_SECONDS
        while asked == 0 or (pools(server) < 8 and time.monotonic() < deadline):
            with ThreadPoolExecutor(8) as clients:
                list(clients.map(server.get, [f"/api/item?name=eq.{SECRET}"] * 8))
            asked += 8
        for _ in range(4):
            found = samples(server)
            assert found["carboy_requests_total", ("GET", "item", "200")] == asked
            assert found["carboy_rows_total", ("read", "item")] == asked
            assert found["carboy_statement_seconds_count", ()] == asked
            assert found["carboy_pool_connections", ("", "size")] == 8
        assert SECRET not in server.get("/metrics")
        assert server.stop() == 0
    lines = logged(server)
    assert len([line for line in lines if line.get("resource") == "item"]) == asked
    assert SECRET not in "".join(server.said)


def pools(server: Server) -> float:
    """The pools' sizes added up: each worker adds its own when it has answered once."""
    return samples(server).get(("carboy_pool_connections", ("", "size")), 0)


def logged(server: Server) -> list[dict[str, Any]]:
    """The lines of JSON among what a server has said."""
    return [json.loads(line) for line in server.said if line.startswith("{")]


def test_a_line_of_json_for_each_request(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what a search for it needs, and none of what was asked for."""
    monkeypatch.setenv("CARBOY_LOG", "json")
    monkeypatch.setenv("CARBOY_SLOW_STATEMENT_MS", "1")
    with serving(str(database)) as server:
        request = Request(  # noqa: S310  http://
            f"{server.url}/api/item?name=like.{SECRET[:4]}*",
            headers={"X-Request-ID": "from-the-proxy"},
        )
        with urlopen(request, timeout=START_SECONDS) as answer:  # noqa: S310  http://
            assert answer.headers["X-Request-ID"] == "from-the-proxy"
        assert server.status("GET", "/api/item?nope=eq.1") == 400
        assert server.stop() == 0
    access = [line for line in logged(server) if line["logger"] == "carboy.access"]
    assert len(access) == 2
    first = access[0]
    assert first.pop("milliseconds") > 0
    assert first.pop("time").endswith("+00:00")
    assert first.pop("message").startswith("GET item 200 in ")
    assert first == {
        "level": "info",
        "logger": "carboy.access",
        "request_id": "from-the-proxy",
        "method": "GET",
        "resource": "item",
        "status": 200,
        "statements": 1,
        "rows_read": 1,
        "rows_written": 0,
    }
    assert (access[1]["status"], access[1]["statements"]) == (400, 0)
    assert SECRET[:4] not in "".join(server.said).replace(str(database), "")


BROKEN = """
import logging
from flask import Flask
import sqlalchemy as sa
from carboy import Carboy

app = Flask(__name__)
app.config.from_prefixed_env()
Carboy(app, sa.create_engine("sqlite:///none.sqlite"))

@app.get("/broken")
def broken():
    app.logger.warning("before %s", 1, extra={"order": {1, 2} and 7, "odd": object})
    raise LookupError("oh")
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_applications_own_lines_have_the_id_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Flask's loggers write in the same form; a traceback stays in one line of JSON."""
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.setenv("CARBOY_LOG", form)
    with serving("broken:app", folder=tmp_path) as server:
        assert server.status("GET", "/broken") == 500
        assert server.stop() == 0
    said = "".join(server.said)
    if form == "text":
        (number,) = {id_of(line) for line in server.said if "broken: before" in line}
        assert f"WARNING broken: before 1 [{number}]" in said
        assert "INFO carboy.access: GET /broken 500 in " in said
        return
    before, failed, access = logged(server)
    assert (before["message"], before["order"], before["level"]) == ("before 1", 7, "warning")
    assert failed["exception"].endswith("LookupError: oh")
    assert (access["resource"], access["status"]) == ("/broken", 500)
    assert len({line["request_id"] for line in (before, failed, access)}) == 1


def id_of(line: str) -> str:
    """The id at a line's end."""
    return line.rstrip().rpartition("[")[2].rstrip("]")


def test_an_application_that_has_handlers_keeps_them(tmp_path: Path) -> None:
    """Its own configuration of logging is what holds; the lines of requests go there."""
    code = (
        "import logging, sys\n"
        "logging.basicConfig(stream=sys.stdout, format='mine %(name)s %(statements)s')\n"
        "import sqlalchemy as sa\nfrom flask import Flask\nfrom carboy import Carboy\n"
        "app = Flask('x')\napp.config['CARBOY_LOG'] = 'json'\n"
        "Carboy(app, sa.create_engine('sqlite://'))\napp.test_client().get('/health/live')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("mine carboy.access 0\n", "")
