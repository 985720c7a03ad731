"""OpenTelemetry as docs/how-to/monitor.md sets it up, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.conftest import empty_postgresql_database
from tests.docs.pages import ROOT

from .test_serve import START_SECONDS, environment

PAGE = ROOT / "docs" / "how-to" / "monitor.md"
BEFORE = """
import json, sys
import sqlalchemy as sa
from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from carboy import OPEN, Carboy

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

def create_app():
    app = Flask("notes")
    engine = sa.create_engine(sys.argv[1])
    columns = sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text)
    notes = sa.Table("notes", sa.MetaData(), *columns)
    notes.metadata.create_all(engine)
    Carboy(app, engine, policy=OPEN).resource(notes)
    return app
"""
AFTER = """
client = app.test_client()
client.post("/api/notes", json={"text": "s3cret"}).close()
parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
answers = []
for headers in ({}, {"traceparent": parent}):
    exporter.clear()
    answer = client.get("/api/notes?text=eq.s3cret", headers=headers)
    answers.append(answer.json["data"])
    answer.close()
spans = [
    {"name": s.name, "trace": f"{s.context.trace_id:032x}", "id": s.context.span_id,
     "parent": s.parent and s.parent.span_id, "said": str(dict(s.attributes))}
    for s in exporter.get_finished_spans()
]
print(json.dumps({"answers": answers, "spans": spans, "hooks": bool(app.before_request_funcs)}))
"""


def snippet() -> str:
    """The page's lines of Python."""
    _, found, rest = PAGE.read_text().partition("```text\nfrom opentelemetry")
    return "from opentelemetry" + rest.partition("```")[0] if found else ""


def test_a_read_is_a_span_with_its_statement_within(postgresql_url: str) -> None:
    """Reads in front of Flask's dispatch are seen; SQL is told, and no value."""
    with empty_postgresql_database(postgresql_url) as url:
        done = subprocess.run(
            [sys.executable, "-c", f"{BEFORE}\n{snippet()}\n{AFTER}", url],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["answers"] == [[{"id": 1, "text": "s3cret"}]] * 2
    assert not told["hooks"]
    statement, request = told["spans"]
    assert (statement["name"], request["name"].split()[0]) == ("SELECT", "GET")
    assert statement["parent"] == request["id"]
    assert {statement["trace"], request["trace"]} == {"0af7651916cd43dd8448eb211c80319c"}
    assert "FROM notes" in statement["said"]
    assert "s3cret" not in statement["said"]
