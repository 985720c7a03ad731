"""Where the processes of one server add up their metrics, as prometheus-client does it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def metrics_folder() -> Iterator[None]:
    """A folder in which the processes that are started meanwhile add up their metrics.

    One that the environment names already is left as it is.
    """
    if _FOLDER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="carboy-metrics-") as folder:
        os.environ[_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[_FOLDER]


def forget_process(number: int | None) -> None:
    """Leave a process that has ended out of figures that are about those that live."""
    if _FOLDER in os.environ and number is not None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(number)  # type: ignore[no-untyped-call]
