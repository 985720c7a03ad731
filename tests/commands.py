"""Commands run to their end, in processes that need not import everything anew.

One process for each run of tests has imported Carboy and what it rests on, and forks a process for
each command: most of a command's own start is these imports. The command's own module runs as it
does under ``python -m``, in its folder, with its environment, its output in files.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_MODULES = {"carboy": "carboy.cli.__main__", "flask": "flask.__main__"}
_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(
    ["carboy", "carboy.cli", "carboy.serve", "flask_migrate", "flask_sqlalchemy", "psycopg"]
)


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run ``carboy ...`` or ``flask ...`` in a folder; TimeoutExpired after so many seconds."""
    module = _MODULES[command[0]]
    with tempfile.TemporaryDirectory(prefix="carboy-command-") as name:
        printed = Path(name, "stdout"), Path(name, "stderr")
        process = _forking.Process(
            target=_become,
            args=(module, list(command), folder or Path.cwd(), dict(environment or os.environ)),
            kwargs={"printed": printed},
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(command), timeout)
        texts = [path.read_text() for path in printed]
    return subprocess.CompletedProcess(list(command), process.exitcode, *texts)


def _become(
    module: str,
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    *,
    printed: tuple[Path, Path],
) -> None:
    """Be a process that was started with a command."""
    for number, path in enumerate(printed, 1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = ["", *filter(None, paths), *sys.path]
    sys.argv = list(command)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runpy.run_module(module, run_name="__main__", alter_sys=False)
