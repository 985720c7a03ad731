"""What Prometheus reads, in one process; tests/acceptance has several."""

from __future__ import annotations

import sys

import pytest
import sqlalchemy as sa
from flask import Flask
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from carboy import Carboy, SettingError
from carboy.ops.api_keys import create_key

from .errands import Errands, write_and_fail, write_note
from .notes import Notes


def value(name: str, **labels: str) -> float:
    """A sample as it is; all applications of this process count together."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_metrics_are_off_unless_a_setting_opens_them(notes: Notes) -> None:
    """Then there is no such path."""
    assert notes.client().get("/metrics").status_code == 404


def test_closed_metrics_are_for_two_roles(notes: Notes) -> None:
    """Prometheus has a key of the role metrics, which may do nothing else."""
    client = notes.client(CARBOY_METRICS="closed")
    keys = {role: create_key(notes.engine, role, [role]) for role in ("metrics", "admin", "x")}
    asked = {
        role: client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code
        for role, key in keys.items()
    }
    assert asked == {"metrics": 200, "admin": 200, "x": 403}
    assert client.get("/metrics").status_code == 401
    stats = client.get("/admin/db-stats", headers={"Authorization": f"Bearer {keys['metrics']}"})
    assert stats.status_code == 403


def test_open_metrics_are_for_everybody_and_can_be_parsed(notes: Notes) -> None:
    """Prometheus's own parser takes them, with its content type."""
    answer = notes.client(CARBOY_METRICS="open").get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"carboy_requests", "carboy_pool_connections", "carboy_statement_seconds"} <= names


def test_requests_statements_and_rows_are_counted(notes: Notes, way: int) -> None:
    """By resource, method and status."""
    client = notes.client(CARBOY_METRICS="open", CARBOY_DIRECT_READS=way)
    wanted = [
        ("carboy_requests_total", {"resource": "notes", "method": "GET", "status": "200"}, 2),
        ("carboy_requests_total", {"resource": "notes", "method": "GET", "status": "404"}, 1),
        ("carboy_requests_total", {"resource": "notes", "method": "POST", "status": "201"}, 1),
        ("carboy_request_seconds_count", {"resource": "notes", "method": "GET"}, 3),
        ("carboy_rows_total", {"resource": "notes", "action": "read"}, 3),
        ("carboy_rows_total", {"resource": "notes", "action": "written"}, 1),
    ]
    before = [value(name, **labels) for name, labels, _ in wanted]
    statements = value("carboy_statement_seconds_count")
    assert client.post("/api/notes", json={"text": "two"}).status_code == 201
    assert value("carboy_statement_seconds_count") - statements >= 2
    for path in ("/api/notes", "/api/notes/1", "/api/notes/9"):
        client.get(path)
    after = [value(name, **labels) for name, labels, _ in wanted]
    assert [b - a for a, b in zip(before, after, strict=True)] == [n for *_, n in wanted]


def test_the_pool_is_seen_while_connections_are_taken(notes: Notes) -> None:
    """Also by whom no request of the API stands."""
    client = notes.client(CARBOY_METRICS="open")
    taken = {"database": "", "state": "checked_out"}
    with notes.engine.connect(), notes.engine.connect():
        assert value("carboy_pool_connections", **taken) == 2
    client.get("/metrics")
    assert value("carboy_pool_connections", **taken) == 0
    assert value("carboy_pool_connections", database="", state="size") == 5


def test_a_setting_that_means_nothing_is_refused(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is one whose library is missing, with how to install it."""
    with pytest.raises(SettingError, match="off, closed or open, not 'yes'"):
        notes.app(CARBOY_METRICS="yes")
    with pytest.raises(SettingError, match="text, json or empty, not 'xml'"):
        notes.app(CARBOY_LOG="xml")
    monkeypatch.delitem(sys.modules, "carboy.ops.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(SettingError, match=r"pip install 'carboy\[metrics\]'"):
        notes.app(CARBOY_METRICS="open")


def test_jobs_are_counted_by_state(database_url: str) -> None:
    """As they are in the database; nothing is said before the first one, or without a database."""
    errands = Errands(database_url, CARBOY_METRICS="open", CARBOY_HEALTH_TIMEOUT_MS=30_000)
    errands.api.job(write_note)
    errands.api.job(attempts=1)(write_and_fail)
    client = errands.app.test_client()
    assert "carboy_jobs{" not in client.get("/metrics").text
    errands.enqueue(write_note, {"text": "a"})
    errands.enqueue(write_and_fail, {"text": "b"})
    assert 'carboy_jobs{state="queued"} 2.0' in client.get("/metrics").text
    errands.run()
    told = client.get("/metrics").text
    assert 'carboy_jobs{state="done"} 1.0' in told
    assert 'carboy_jobs{state="dead"} 1.0' in told
    errands.engine.dispose()


def test_without_a_database_the_rest_is_told() -> None:
    """Then the requests that failed are what somebody wants to see."""
    app = Flask(__name__)
    app.config["CARBOY_METRICS"] = "open"
    Carboy(app, sa.create_engine("postgresql+psycopg://127.0.0.1:1/none"))
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200
    assert "carboy_requests_total" in answer.text
    assert "carboy_jobs" not in answer.text
