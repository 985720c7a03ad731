"""Events as Prometheus counts them: for all applications of a process together.

With PROMETHEUS_MULTIPROC_DIR, which ``carboy serve`` sets for several workers, for all processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

import sqlalchemy as sa
from msgspec.structs import asdict
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.engine import Engine

from ..events import Event, StatementRan
from .health import pool_figures

REQUESTS = Counter(
    "carboy_requests_total",
    "Requests answered, by resource or route, method and status.",
    ("resource", "method", "status"),
)
REQUEST_SECONDS = Histogram(
    "carboy_request_seconds",
    "Seconds from a request to its answer.",
    ("resource", "method"),
)
STATEMENT_SECONDS = Histogram(
    "carboy_statement_seconds",
    "Seconds that the database took for a statement of a request or a job.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ROWS = Counter(
    "carboy_rows_total",
    "Rows of a resource that requests have read or written, without embedded and cascaded ones.",
    ("resource", "action"),
)
CACHE = Counter(
    "carboy_cache_total",
    "Reads of resources and views whose answers are kept, by what the cache did.",
    ("resource", "outcome"),
)
POOL = Gauge(
    "carboy_pool_connections",
    "Connections of the engine's pool: its size, those checked_in and checked_out, the overflow.",
    ("database", "state"),
    multiprocess_mode="livesum",
)
JOBS_HELP = "Background jobs, by state."


class Metrics:
    """Counts what happens in one application."""

    def __init__(self) -> None:
        self._engines: Mapping[str | None, Engine] = {}
        # The figures of a pool that are read last must be set last.
        self._lock = Lock()

    def watch(self, engines: Mapping[str | None, Engine]) -> None:
        """Keep the figures of their pools up to date: when a connection is taken, and afterwards.

        ``engines`` are by bind key.
        """
        self._engines = engines
        for engine in engines.values():
            sa.event.listen(engine, "checkout", lambda *_: self._read_pools())

    def __call__(self, event: Event) -> None:
        if isinstance(event, StatementRan):
            STATEMENT_SECONDS.observe(event.seconds)
            return
        REQUESTS.labels(event.resource, event.method, str(event.status)).inc()
        REQUEST_SECONDS.labels(event.resource, event.method).observe(event.seconds)
        if event.cache:
            CACHE.labels(event.resource, event.cache).inc()
        for action, number in (("read", event.rows_read), ("written", event.rows_written)):
            if number:
                ROWS.labels(event.resource, action).inc(number)
        self._read_pools()

    def _read_pools(self) -> None:
        with self._lock:
            for bind, engine in self._engines.items():
                for state, number in asdict(pool_figures(engine)).items():
                    if number is not None:
                        POOL.labels(bind or "", state).set(number)


class _Jobs(Collector):
    """Jobs as they are now, which nothing has to count."""

    def __init__(self, states: Mapping[Any, int]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        found = GaugeMetricFamily("carboy_jobs", JOBS_HELP, labels=("state",))
        for state, number in self._states.items():
            found.add_metric((state,), number)
        yield found


def exposition(jobs: Mapping[Any, int] | None) -> tuple[str, bytes]:
    """All metrics in Prometheus's text format: its content type, and the text.

    ``jobs`` is how many there are by state; None where nobody can tell.
    """
    registry: CollectorRegistry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    now = CollectorRegistry()
    if jobs is not None:
        now.register(_Jobs(jobs))
    return CONTENT_TYPE_LATEST, generate_latest(registry) + generate_latest(now)
