"""Runs a page from its first block to its last, against a server that it started.

A block of Python whose first line is ``# name.py`` becomes that file; the others are one module.
``flask ... run``, ``carboy serve`` and ``make run`` start a server in the page's own folder, on a
free port in the place of 8000, which the page's curl commands then ask; other commands run to
their end there. ``NAME=$(command)`` keeps what a command prints, and ``NAME=text`` with ``…`` what
the server has printed like it, for ``$NAME`` in later commands. On a page without a server of its
own, Python is executed in docs/sample.py, all of it first, and that is what curl asks.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from pathlib import Path
from string import Template
from types import ModuleType

from werkzeug.serving import make_server

import carboy
from tests import commands
from tools.servers import free_port

from .compare import require_answer, same_text
from .curl import curl
from .pages import ROOT, Block, Command, asks_sample, blocks, commands_in, name_of, starts_server

_PROGRAMS = {
    "flask": [sys.executable, "-m", "flask"],
    "carboy": [sys.executable, "-c", "from carboy.cli import main; main(prog_name='carboy')"],
    "python": [sys.executable],
    # The recipe of the Makefile, without the installation before it.
    "make": [sys.executable, "-m", "examples"],
}
_ASSIGNMENT = re.compile(r"([A-Z]+)=(\$\(.+\)|\S+)\Z")
_SECONDS = 60
_numbers = itertools.count(1)


def run_page(
    page: Path, folder: Path, database_url: str, *, without: re.Pattern[str] | None = None
) -> None:
    """Run a page, all but the blocks that have ``without`` in them.

    Raises AssertionError with the line that doesn't hold.
    """
    found = [b for b in blocks(page) if without is None or not without.search(b.text)]
    with ExitStack() as stack:
        sample = None
        if asks_sample(page):
            sample = stack.enter_context(_sample(database_url))
            for block in found:
                _run_python(page, block, folder, sample)
        runner = _Runner(page, folder, database_url, stack)
        if sample is not None:
            runner.port = stack.enter_context(_serving(sample))
        # SQLAlchemy looks up the names in annotations in the module of a class.
        module = sys.modules.setdefault("page", ModuleType("page"))
        stack.callback(sys.modules.pop, "page", None)
        for block in found:
            if sample is None:
                _run_python(page, block, folder, module)
            if block.language == "console":
                for command in commands_in(block):
                    runner.run(command)


@contextmanager
def _sample(database_url: str) -> Iterator[ModuleType]:
    """A fresh docs/sample.py with a database of its own."""
    os.environ["DATABASE_URL"] = database_url
    name = f"docs_sample_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        with module.app.app_context():
            module.db.session.remove()
            module.db.engine.dispose()
        del sys.modules[name]
        del os.environ["DATABASE_URL"]


def _run_python(page: Path, block: Block, folder: Path, module: ModuleType) -> None:
    if block.language != "python":
        return
    if block.file is not None:
        (folder / block.file).write_text(block.text)
        return
    # The empty lines in front let a traceback name the page's own line.
    source = "\n" * (block.line - 1) + block.text
    code = compile(source, name_of(page), "exec", dont_inherit=True)
    with chdir(folder):
        exec(code, module.__dict__)  # noqa: S102  the pages are ours


@contextmanager
def _serving(sample: ModuleType) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, sample.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Runner:
    """Runs the commands of one page, in its folder."""

    def __init__(self, page: Path, folder: Path, database_url: str, stack: ExitStack) -> None:
        self.page = page
        self.folder = folder
        self.stack = stack
        self.port = 0
        self.log: Path | None = None
        self.variables: dict[str, str] = {}
        tested = Path(carboy.__file__).parents[1]
        path = os.pathsep.join([str(tested), str(ROOT), str(folder)])
        self.environment = os.environ | {"PYTHONPATH": path, "DATABASE_URL": database_url}

    def run(self, command: Command) -> None:
        """Run one command, and require what the page says that it prints."""
        try:
            assigned = _ASSIGNMENT.match(command.text)
            if assigned:
                self.variables[assigned[1]] = self._value(assigned[2])
                return
            words = self._words(command.text)
            if words[0] == "curl":
                require_answer(command.output, curl(words[1:], self.port))
            elif starts_server(command.text):
                self.stack.enter_context(self._server(words))
            else:
                self._finish(words, command.output)
        except (AssertionError, ValueError, OSError) as fault:
            where = f"{name_of(self.page)}:{command.line}"
            raise AssertionError(f"{where}: $ {command.text}\n{fault}") from fault

    def _words(self, text: str) -> list[str]:
        return [Template(word).safe_substitute(self.variables) for word in shlex.split(text)]

    def _value(self, text: str) -> str:
        """What a variable is set to: a command's output, or a text of the server's."""
        if text.startswith("$("):
            return self._output(self._words(text[2:-1])).strip()
        assert self.log is not None, f"no server has printed {text}"
        pattern = r"\S+".join(map(re.escape, text.split("…")))
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            if found := re.search(pattern, self.log.read_text()):
                return found[0]
            time.sleep(0.05)
        raise AssertionError(f"the server didn't print {text}:\n{self.log.read_text()}")

    def _arguments(self, words: list[str]) -> list[str]:
        if words[0] not in _PROGRAMS:
            raise ValueError(f"{words[0]} is not among {', '.join(['curl', *_PROGRAMS])}")
        if words[0] == "make":
            if words != ["make", "run"]:
                raise ValueError("only make run is run here; put the others into a text block")
            return _PROGRAMS["make"]
        return [*_PROGRAMS[words[0]], *words[1:]]

    def _finish(self, words: list[str], expected: str) -> None:
        actual = self._output(words)
        shown = [line.rstrip() for line in actual.strip().splitlines()]
        assert same_text(expected.strip(), "\n".join(shown)), f"it printed\n{actual}"

    def _output(self, words: list[str]) -> str:
        if words[0] in ("carboy", "flask"):
            done = commands.run(
                words, folder=self.folder, environment=self.environment, timeout=_SECONDS
            )
        else:
            done = subprocess.run(
                self._arguments(words),
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        actual = done.stdout + done.stderr
        assert done.returncode == 0, actual
        return actual

    @contextmanager
    def _server(self, words: list[str]) -> Iterator[None]:
        self.port = free_port()
        arguments = [str(self.port) if word == "8000" else word for word in words]
        if words[0] != "make" and str(self.port) not in arguments:
            arguments += ["--port", str(self.port)]
        log = self.log = self.folder / f"server-{self.port}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                self._arguments(arguments),
                cwd=self.folder,
                env=self.environment | {"PORT": str(self.port)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                _wait(self.port, process, log)
                yield
            finally:
                process.terminate()
                try:
                    process.wait(_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        # An answer, not a connection: who tries whether a port is free listens for a moment, too.
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as client:
            client.sendall(b"OPTIONS * HTTP/1.0\r\n\r\n")
            if client.recv(1):
                return
        time.sleep(0.05)
    raise AssertionError(f"the server didn't answer in {_SECONDS} s:\n{log.read_text()}")
