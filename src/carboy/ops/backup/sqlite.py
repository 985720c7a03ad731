"""SQLite: its own online copy, and contents of that copy."""

from __future__ import annotations

import gzip
import hashlib
import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

import sqlalchemy as sa

from .database import Dumped, Read
from .manifest import BackupError, Contents, Manifest, Table, digest_of
from .programs import Step
from .store import Create, sync_folder

_DUMP = "database.sqlite.gz"
_CHUNK = 1 << 20
_BESIDE = ("-wal", "-shm", "-journal")


class SQLite:
    """An SQLite file by its URL."""

    kind = "sqlite"

    def __init__(self, url: sa.URL) -> None:
        if not url.database or url.database == ":memory:":
            raise BackupError("an SQLite database in memory can't be backed up; name a file")
        # The URLs of open_engine's engines are SQLite's own.
        text = url.database
        self._path = Path(unquote(text.removeprefix("file:")) if text[:5] == "file:" else text)
        self.name = self._path.stem

    def server(self) -> str:
        return sqlite3.sqlite_version

    def dump(self, create: Create, step: Step) -> Dumped:
        """By way of a file in TMPDIR: writers wait while it is copied, and not while it is read."""
        if not self._path.exists():
            raise BackupError(f"there is no file {self._path}")
        with tempfile.TemporaryDirectory(prefix="carboy-") as folder, _faults(self._path):
            copy = Path(folder) / "database.sqlite"
            with closing(_opened(self._path, "ro")) as source, closing(_opened(copy)) as target:
                source.backup(target, pages=-1)
            with (
                copy.open("rb") as data,
                create(_DUMP) as output,
                gzip.GzipFile("", "wb", 6, output, mtime=0) as packed,
            ):
                shutil.copyfileobj(data, packed, _CHUNK)
            contents = SQLite(sa.URL.create("sqlite", database=str(copy))).contents(step)
        return Dumped(self.server(), self.server(), {}, contents)

    @contextmanager
    def loaded(self, manifest: Manifest, read: Read, *, owners: bool) -> Iterator[SQLite]:
        with tempfile.TemporaryDirectory(prefix="carboy-") as folder:
            copy = Path(folder) / "database.sqlite"
            with (
                copy.open("xb") as output,
                closing(read(_DUMP)) as packed,
                gzip.GzipFile("", "rb", fileobj=packed) as data,
            ):
                shutil.copyfileobj(data, output, _CHUNK)
            yield SQLite(sa.URL.create("sqlite", database=str(copy)))

    def contents(self, step: Step) -> Contents:
        with _faults(self._path), closing(_opened(self._path, "ro")) as connection:
            faults = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            if faults != ["ok"]:
                raise BackupError(f"the database is damaged: {faults[0]}")
            return _contents(connection, step)

    def is_empty(self) -> bool:
        if not self._path.exists() or self._path.stat().st_size == 0:
            return True
        try:
            with closing(_opened(self._path, "ro")) as connection:
                return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
        except sqlite3.Error:
            # Whatever it is, somebody may want it.
            return False

    def take(self, scratch: SQLite) -> None:
        """The new file is written beside the old one, which gives way to it and is deleted."""
        token = secrets.token_hex(4)
        new = Path(f"{self._path}.{token}.new")
        try:
            with scratch._path.open("rb") as source, new.open("xb") as output:
                shutil.copyfileobj(source, output, _CHUNK)
                output.flush()
                os.fsync(output.fileno())
            if self._path.exists():
                _copy_owner(self._path, new)
            # With its log, which would otherwise be taken for the new file's.
            old = [Path(f"{self._path}{suffix}") for suffix in ("", *_BESIDE)]
            aside = [Path(f"{self._path}.{token}.old{suffix}") for suffix in ("", *_BESIDE)]
            for path, other in zip(old, aside, strict=True):
                if path.exists():
                    path.rename(other)
            new.rename(self._path)
            sync_folder(self._path.parent)
            for path in aside:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise BackupError(f"{self._path}: {error.strerror}") from None
        finally:
            new.unlink(missing_ok=True)


def _opened(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True)


def _copy_owner(path: Path, other: Path) -> None:
    shutil.copymode(path, other)
    status = path.stat()
    with suppress(PermissionError):
        os.chown(other, status.st_uid, status.st_gid)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """What SQLite refuses, as a BackupError."""
    try:
        yield
    except sqlite3.Error as error:
        raise BackupError(f"{path}: {error}") from None


def _contents(connection: sqlite3.Connection, step: Step) -> Contents:
    # Text that is no UTF-8 is data, too; bytes stay apart from text.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    listed = (
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    objects = connection.execute(listed).fetchall()
    # The rows of a virtual table are in tables of its own.
    virtual = "CREATE VIRTUAL"
    names = [n for kind, n, text in objects if kind == "table" and not text.startswith(virtual)]
    tables: dict[str, Table] = {}
    for number, name in enumerate(sorted(names)):
        step("compare", number, len(names))
        tables[name] = _hashed(connection.execute(f"SELECT * FROM {_quoted(name)}"))  # noqa: S608
    sequences: dict[str, tuple[int, int]] = {}
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        rows = connection.execute("SELECT name, seq FROM sqlite_sequence")
        sequences = {name: (value, value) for name, value in rows}
    alembic: list[str] = []
    if "alembic_version" in tables:
        alembic = sorted(
            r[0] for r in connection.execute("SELECT version_num FROM alembic_version")
        )
    schema = {f"{kind} {name}": digest_of(text or "") for kind, name, text in sorted(objects)}
    return Contents(tables=tables, schema=schema, sequences=sequences, alembic=alembic)


def _hashed(rows: Iterable[tuple[object, ...]]) -> Table:
    number = total = 0
    for row in rows:
        digest = hashlib.sha256(repr(row).encode("utf-8", "surrogateescape")).digest()
        total += int.from_bytes(digest[:16], "big")
        number += 1
    return Table(number, f"{total:x}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
