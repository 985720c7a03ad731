"""Where backups lie: a folder, or any place that fsspec knows.

A backup is a folder of files. In a folder of this machine it gets its name when all of it is on
the disk; elsewhere, where nothing can be renamed at once, its manifest is written last, and what
has no manifest is no backup.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

from .manifest import MANIFEST, BackupError
from .programs import Writer

_PARTIAL = ".partial"

Create: TypeAlias = Callable[[str], AbstractContextManager[Writer]]
"""Opens a new file of a backup, by its name, for writing."""


class Store(Protocol):
    """A place of backups; each method raises OSError."""

    def names(self) -> list[str]:
        """The names of all backups, whole or not."""

    def writing(self, name: str) -> AbstractContextManager[Create]:
        """A new backup, whose files are opened by what the block is given: the manifest last."""

    def open(self, name: str, file: str) -> BinaryIO:
        """A file of a backup, for reading."""

    def put(self, name: str, file: str, data: bytes) -> None:
        """Add a small file to a backup, whole or not at all."""

    def delete(self, name: str) -> None:
        """Delete a backup; one that is deleted in part is none."""


def store_at(place: str) -> Store:
    """The store that a folder's path or an fsspec URL means; BackupError without fsspec."""
    path = re.sub(r"^(file|local)://", "", place)
    if "://" not in path and "::" not in path:
        return Folder(Path(path).expanduser())
    try:
        import fsspec
    except ModuleNotFoundError:
        raise BackupError(
            f"{shown(place)} takes fsspec: run pip install 'carboy[backup]'"
        ) from None
    try:
        filesystem, root = fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise BackupError(f"{shown(place)}: {error}") from None
    return Remote(filesystem, root)


def shown(place: str) -> str:
    """The place for people to read: without a password, and without a query."""
    return re.sub(r"//[^/@]*@", "//***@", place.partition("?")[0])


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        if not self._root.exists():
            return []
        folders = {path.name for path in self._root.iterdir() if path.is_dir()}
        return sorted({name.removesuffix(_PARTIAL) for name in folders})

    @contextmanager
    def writing(self, name: str) -> Iterator[Create]:
        self._root.mkdir(parents=True, exist_ok=True)
        partial = self._root / f"{name}{_PARTIAL}"
        # A backup holds everything that the database does.
        partial.mkdir(mode=0o700)
        try:
            yield lambda file: _synced(partial / file)
            sync_folder(partial)
            partial.rename(self._root / name)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync_folder(self._root)

    def open(self, name: str, file: str) -> BinaryIO:
        return (self._root / name / file).open("rb")

    def put(self, name: str, file: str, data: bytes) -> None:
        partial = self._root / name / f"{file}{_PARTIAL}"
        try:
            with _synced(partial) as output:
                output.write(data)
            partial.rename(self._root / name / file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(self._root / name)

    def delete(self, name: str) -> None:
        partial = self._root / f"{name}{_PARTIAL}"
        if not partial.exists():
            (self._root / name).rename(partial)
        shutil.rmtree(partial)


@contextmanager
def _synced(path: Path) -> Iterator[BinaryIO]:
    """A new file, all of which is on the disk when the block is left."""
    with path.open("xb") as output:
        yield output
        output.flush()
        os.fsync(output.fileno())


def sync_folder(path: Path) -> None:
    """Let a folder's new names outlast a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Remote:
    """A place of an fsspec filesystem."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    def names(self) -> list[str]:
        self._filesystem.invalidate_cache()
        try:
            found = self._filesystem.ls(self._root, detail=True)
        except FileNotFoundError:
            return []
        folders = (entry["name"] for entry in found if entry["type"] == "directory")
        return sorted(name.rstrip("/").rpartition("/")[2] for name in folders)

    @contextmanager
    def writing(self, name: str) -> Iterator[Create]:
        self._filesystem.makedirs(f"{self._root}/{name}", exist_ok=True)
        try:
            yield lambda file: self._opened(name, file, "wb")
        except BaseException:
            with suppress(OSError):
                self.delete(name)
            raise

    def open(self, name: str, file: str) -> BinaryIO:
        return self._opened(name, file, "rb")

    def put(self, name: str, file: str, data: bytes) -> None:
        self._filesystem.pipe_file(f"{self._root}/{name}/{file}", data)

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._filesystem.rm_file(f"{self._root}/{name}/{MANIFEST}")
        self._filesystem.rm(f"{self._root}/{name}", recursive=True)

    def _opened(self, name: str, file: str, mode: str) -> BinaryIO:
        opened: BinaryIO = self._filesystem.open(f"{self._root}/{name}/{file}", mode)
        return opened
