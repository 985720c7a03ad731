"""The databases' own programs: found in the right version, fed and read in a stream."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeAlias

from .manifest import BackupError

Step: TypeAlias = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is, and of how much: 0 where nobody knows."""

_CHUNK = 1 << 20


class Writer(Protocol):
    """What a program's output goes into."""

    def write(self, data: bytes, /) -> int:
        """Write all of it."""

    def flush(self) -> None:
        """Keep nothing back."""


class Reader(Protocol):
    """What a program's input comes from."""

    def read(self, size: int, /) -> bytes:
        """Some bytes; none at the end."""


def found(names: Sequence[str], folders: str, least: int, install: str) -> tuple[str, str]:
    """A program and its version: the oldest whose major number is at least ``least``.

    Looked for under any of its names on PATH and in the folders of a pattern. Raises BackupError.
    """
    places = [Path(folder) for folder in os.get_exec_path()] + list(Path("/").glob(folders))
    known = {
        path: version_of(path)
        for place in places
        for path in (place / name for name in names)
        if os.access(path, os.X_OK)
    }
    fitting = [path for path in known if _major(known[path]) >= least]
    if fitting:
        path = min(fitting, key=lambda path: _major(known[path]))
        return str(path), known[path]
    if known:
        newest = max(known.values(), key=_major)
        raise BackupError(
            f"{names[0]} is of version {newest}, and the server of {least}: it must be at least "
            f"as new; install {install.format(version=least)}"
        )
    raise BackupError(f"{names[0]} isn't there; install {install.format(version=least)}")


def version_of(path: Path) -> str:
    """What a program says that its version is, such as 15.18."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = re.search(r"(?:Distrib |from |\(PostgreSQL\) )(\d[\d.]*)", said)
    return numbers[1] if numbers else "0"


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def read_from(command: Sequence[str], output: Writer, environment: Mapping[str, str]) -> None:
    """Run a program to its end and write what it prints to ``output``; raises BackupError."""

    def copy(process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        # Whatever is there, so that the first of it doesn't wait for the rest.
        while chunk := os.read(process.stdout.fileno(), _CHUNK):
            output.write(chunk)

    _run(command, environment, copy, stdout=subprocess.PIPE)


def write_to(command: Sequence[str], source: Reader, environment: Mapping[str, str]) -> None:
    """Run a program to its end on ``source``; raises BackupError."""

    def copy(process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            while chunk := source.read(_CHUNK):
                process.stdin.write(chunk)
            process.stdin.close()
        except BrokenPipeError:
            # It has ended, and says why.
            return

    _run(command, environment, copy, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def _run(
    command: Sequence[str],
    environment: Mapping[str, str],
    copy: Callable[[subprocess.Popen[bytes]], None],
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> None:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=said, env={**os.environ, **environment}
        )
        try:
            copy(process)
            status = process.wait()
        finally:
            # Where something else has failed, it must not go on.
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
        if status:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            name = Path(command[0]).name
            raise BackupError(f"{name} failed: {' '.join(lines[-3:]) or f'status {status}'}")
