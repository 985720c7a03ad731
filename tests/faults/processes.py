"""Processes as Linux shows them in /proc: killed, stopped, counted, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PATIENCE = 60
"""Seconds that a server may take to start, to stop, or to get where a fault needs it."""


def wait_for(what: str, seen: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until it is seen; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.02)


def children(pid: int, thread: int | None = None) -> list[int]:
    """The processes that a process has started; those of one of its threads, if given."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        tasks = Path(f"/proc/{pid}/task")
        for task in [tasks / str(thread)] if thread else list(tasks.iterdir()):
            found += map(int, (task / "children").read_text().split())
    return found


def tree(pid: int) -> list[int]:
    """A process, those that it has started, and so on."""
    return [pid, *(each for child in children(pid) for each in tree(child))]


def runs(pid: int) -> bool:
    """Whether a process is there, and is no zombie."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def marked(mark: str) -> list[int]:
    """The processes that have ``mark`` in their environment, as those have that they started."""
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and mark.encode() in _read(folder / "environ")
    ]


def command(pid: int) -> bytes:
    """A process's command line."""
    return _read(Path(f"/proc/{pid}/cmdline"))


def _read(file: Path) -> bytes:
    with suppress(OSError):
        return file.read_bytes()
    return b""


def send(number: signal.Signals, *pids: int) -> None:
    """Send a signal to processes that may have ended already."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


class Daemon:
    """A server's process, by its number, and how to start another like it.

    ``said`` is what it reads from its standard input.
    """

    def __init__(self, pid: int, command: list[str] | None = None, said: str = "") -> None:
        self.pid = pid
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        self._command = command or [word.decode() for word in words]
        self._folder = Path(f"/proc/{pid}/cwd").readlink()
        self._account = Path(f"/proc/{pid}").stat()
        self._said = said
        self._started: subprocess.Popen[str] | None = None

    def kill(self) -> None:
        """End it as a crash or the kernel would, and wait until its children have seen that."""
        family = tree(self.pid)
        send(signal.SIGKILL, self.pid)
        if self._started is not None:
            self._started.wait()
        wait_for("the end of a server", lambda: not any(map(runs, family)))

    def start(self) -> None:
        """Start it as it was; it may take a while until it listens."""
        self._started = subprocess.Popen(
            self._command,
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            user=self._account.st_uid,
            group=self._account.st_gid,
            extra_groups=[] if os.geteuid() == 0 else None,
            start_new_session=True,
        )
        assert self._started.stdin
        self._started.stdin.write(self._said)
        self._started.stdin.close()
        self.pid = self._started.pid

    @property
    def is_running(self) -> bool:
        """Whether it is there."""
        if self._started is not None:
            return self._started.poll() is None
        return runs(self.pid)

    def pause(self) -> None:
        """Stop it and all its children in the middle of what they do (SIGSTOP)."""
        send(signal.SIGSTOP, *tree(self.pid))

    def resume(self) -> None:
        """Let them go on."""
        send(signal.SIGCONT, *tree(self.pid))

    def close(self) -> None:
        """End what ``start`` has started: nobody else knows of it."""
        if self._started is not None and self._started.poll() is None:
            self._started.terminate()
            try:
                self._started.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
