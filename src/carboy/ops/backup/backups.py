"""Making, listing, verifying, restoring and thinning out backups."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import re
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from typing import Any, BinaryIO, Literal, TypeAlias

import sqlalchemy as sa
from msgspec import Struct

from .database import Database, database_of
from .manifest import (
    MANIFEST,
    VERIFIED,
    BackupError,
    File,
    Manifest,
    NoBackupError,
    Verified,
    differences,
    seal,
    unseal,
)
from .programs import Step, Writer
from .store import Create, Store, shown, store_at

State: TypeAlias = Literal["verified", "unverified", "damaged"]

_CHUNK = 1 << 20
_NAME = re.compile(r"(?P<database>[\w.-]+)-(?P<at>\d{8}T\d{6}Z)-[0-9a-f]{6}", re.ASCII)
_FILE = re.compile(r"[a-z][a-z.]*")
_UNFINISHED = dt.timedelta(days=2)


class Backup(Struct, frozen=True):
    """One backup of a listing; one that is damaged has no manifest."""

    name: str
    state: State
    manifest: Manifest | None = None
    verified_at: dt.datetime | None = None

    @property
    def at(self) -> dt.datetime:
        """When it was made; to the second where only the name says it."""
        return self.manifest.at if self.manifest else _moment(self.name)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.manifest.files.values()) if self.manifest else 0

    @property
    def summary(self) -> dict[str, Any]:
        """What a listing says of it, for JSON."""
        found: dict[str, Any] = {"name": self.name, "state": self.state}
        if self.manifest is None:
            return found
        tables = self.manifest.contents.tables
        return found | {
            "database": self.manifest.database,
            "kind": self.manifest.kind,
            "made_at": self.manifest.at.isoformat(),
            "verified_at": self.verified_at.isoformat() if self.verified_at else None,
            "tables": len(tables),
            "rows": sum(table.rows for table in tables.values()),
            "size": self.size,
        }


def no_step(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def backup_name(url: sa.URL) -> str:
    """A new name, of the database, of now, and of chance."""
    name = database_of(url).name
    label = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._-") or "database"
    return f"{label}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def create_backup(url: sa.URL, place: str, *, name: str | None = None, step: Step = no_step) -> str:
    """Back a database up to a folder or an fsspec URL; answers the backup's name.

    ``name`` is one of ``backup_name``.

    It counts once ``verify_backup`` has restored it. Raises BackupError, and leaves nothing then.
    """
    database, store = database_of(url), store_at(place)
    name = name or backup_name(url)
    now = dt.datetime.now(dt.UTC)
    with faults(place), store.writing(name) as create:
        counted = _Counted(create, step)
        dumped = database.dump(counted.create, step)
        manifest = Manifest(
            name=name,
            kind=database.kind,
            database=database.name,
            at=now,
            carboy=version("carboy"),
            server=dumped.server,
            program=dumped.program,
            options=dumped.options,
            contents=dumped.contents,
            files=counted.files,
        )
        with create(MANIFEST) as output:
            output.write(seal(manifest))
    return name


def verify_backup(url: sa.URL, place: str, name: str, *, step: Step = no_step) -> Manifest:
    """Restore a backup into a scratch database on the same server, and compare it.

    Raises BackupError for a backup that isn't what its manifest says; else it is marked verified.
    """
    store = store_at(place)
    with faults(place):
        manifest, digest = _checked(store, name, step)
        database = _of_kind(url, manifest)
        with _loaded(database, store, manifest, step, owners=False):
            pass
        verified = Verified(digest, dt.datetime.now(dt.UTC))
        store.put(name, VERIFIED, seal(verified))
    return manifest


def restore_backup(
    url: sa.URL,
    place: str,
    name: str,
    *,
    force: bool = False,
    owners: bool = True,
    step: Step = no_step,
) -> Manifest:
    """Restore a backup, in the place of what is there only with ``force``.

    It is restored beside the target, compared with its manifest, and only then takes its place.
    Without ``owners`` all of it belongs to whoever restores it. Raises BackupError, and leaves the
    target as it was then.
    """
    store = store_at(place)
    with faults(place):
        manifest, _ = _checked(store, name, step)
        database = _of_kind(url, manifest)
        if not force and not database.is_empty():
            raise BackupError(f"{database.name} isn't empty; --force replaces all that is in it")
        with _loaded(database, store, manifest, step, owners=owners) as scratch:
            database.take(scratch)
    return manifest


def list_backups(place: str, database: str | None = None) -> list[Backup]:
    """The backups in a place, newest first: all of them, or those of a database by its name."""
    store = store_at(place)
    with faults(place):
        found = [_listed(store, name) for name in store.names() if _NAME.fullmatch(name)]
    backups = [backup for backup in found if backup is not None]
    if database is not None:
        backups = [b for b in backups if b.manifest is None or b.manifest.database == database]
    return sorted(backups, key=lambda backup: backup.at, reverse=True)


def database_name(url: sa.URL) -> str:
    """The name by which backups of a database are listed; BackupError."""
    return database_of(url).name


def prune_backups(place: str, database: str, keep: int) -> list[str]:
    """Delete all but the newest backups of a database; answers the names of the deleted ones.

    ``keep`` is how many are kept, 0 for all. The newest verified one is kept in any case, and so
    are damaged ones, which somebody should look at. What an interrupted backup has left is deleted
    after two days.
    """
    store = store_at(place)
    whole = [backup for backup in list_backups(place, database) if backup.manifest]
    kept = {backup.name for backup in (whole[:keep] if keep else whole)}
    kept |= {b.name for b in [b for b in whole if b.state == "verified"][:1]}
    old = [backup.name for backup in whole if backup.name not in kept]
    with faults(place):
        for name in [*old, *_unfinished(store)]:
            # Another process may have deleted it in between.
            with suppress(FileNotFoundError):
                store.delete(name)
    return old


@contextmanager
def faults(place: str) -> Iterator[None]:
    """What a place refuses, as a BackupError."""
    try:
        yield
    except OSError as error:
        raise BackupError(f"{shown(place)}: {error.strerror or error}") from error


class _Counted:
    """Remembers what the manifest says of each file that is created."""

    def __init__(self, create: Create, step: Step) -> None:
        self._create = create
        self._step = step
        self.files: dict[str, File] = {}

    @contextmanager
    def create(self, file: str) -> Iterator[_Output]:
        with self._create(file) as raw:
            output = _Output(raw, self._step)
            yield output
        self.files[file] = File(output.size, output.sha256.hexdigest())


class _Output:
    """A file that is counted and hashed while it is written."""

    def __init__(self, raw: Writer, step: Step) -> None:
        self._raw = raw
        self._step = step
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._raw.write(data)
        self.sha256.update(data)
        self.size += len(data)
        self._step("dump", self.size, 0)
        return len(data)

    def flush(self) -> None:
        """It is flushed when it is closed."""


class _Input(io.RawIOBase):
    """A file that is counted while it is read."""

    def __init__(self, raw: BinaryIO, size: int, step: Step) -> None:
        self._raw = raw
        self._size = size
        self._step = step
        self._done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        room = memoryview(buffer)
        data = self._raw.read(len(room))
        room[: len(data)] = data
        self._done += len(data)
        self._step("restore", self._done, self._size)
        return len(data)

    def close(self) -> None:
        self._raw.close()
        super().close()


def read_file(store: Store, name: str, file: str) -> bytes:
    """A small file of a backup."""
    with closing(store.open(name, file)) as source:
        return source.read()


def manifest_of(store: Store, name: str) -> tuple[Manifest, str]:
    """The manifest of a backup of the listing, and the SHA-256 of its file; NoBackupError."""
    if not _NAME.fullmatch(name) or name not in store.names():
        raise NoBackupError(f"there is no backup {name!r}; carboy backup list shows which")
    try:
        return _manifest(store, name)
    except FileNotFoundError:
        message = f"{name} has no manifest: it was interrupted, and is no backup"
        raise NoBackupError(message) from None


def _manifest(store: Store, name: str) -> tuple[Manifest, str]:
    """A backup's manifest, and the SHA-256 of its file; FileNotFoundError for what is no backup."""
    data = read_file(store, name, MANIFEST)
    manifest = unseal(data, Manifest, f"{name}/{MANIFEST}")
    if manifest.name != name:
        raise BackupError(f"{name}/{MANIFEST} is that of another backup, {manifest.name}")
    if not all(_FILE.fullmatch(file) for file in manifest.files):
        raise BackupError(f"{name}/{MANIFEST} names files outside of the backup")
    return manifest, hashlib.sha256(data).hexdigest()


def _verified(store: Store, name: str, digest: str) -> Verified | None:
    """When a backup was verified, if it was."""
    try:
        data = read_file(store, name, VERIFIED)
    except FileNotFoundError:
        return None
    verified = unseal(data, Verified, f"{name}/{VERIFIED}")
    if verified.manifest != digest:
        raise BackupError(f"{name}/{VERIFIED} is that of another backup")
    return verified


def _checked(store: Store, name: str, step: Step) -> tuple[Manifest, str]:
    """A backup of which every file is as it was written."""
    manifest, digest = manifest_of(store, name)
    _verified(store, name, digest)
    total = sum(file.size for file in manifest.files.values())
    done = 0
    for file, expected in manifest.files.items():
        sha256, size = hashlib.sha256(), 0
        try:
            with closing(store.open(name, file)) as source:
                while chunk := source.read(_CHUNK):
                    sha256.update(chunk)
                    size += len(chunk)
                    step("check", done + size, total)
        except FileNotFoundError:
            raise BackupError(f"{name}/{file} is missing; restore another backup") from None
        if File(size, sha256.hexdigest()) != expected:
            raise BackupError(f"{name}/{file} is damaged: its checksum doesn't fit")
        done += size
    return manifest, digest


def _of_kind(url: sa.URL, manifest: Manifest) -> Database:
    database = database_of(url)
    if database.kind != manifest.kind:
        raise BackupError(f"{manifest.name} is of {manifest.kind}, not of {database.kind}")
    return database


@contextmanager
def _loaded(
    database: Database, store: Store, manifest: Manifest, step: Step, *, owners: bool
) -> Iterator[Database]:
    """A backup in a scratch database; BackupError where that isn't what the manifest says."""

    def read(file: str) -> BinaryIO:
        raw = store.open(manifest.name, file)
        return io.BufferedReader(_Input(raw, manifest.files[file].size, step), _CHUNK)

    with database.loaded(manifest, read, owners=owners) as scratch:
        # Another version of the server may word definitions differently.
        same = scratch.server().split(".")[:2] == manifest.server.split(".")[:2]
        found = differences(manifest.contents, scratch.contents(step), definitions=same)
        if found:
            shown = "; ".join(found[:10]) + (f"; and {len(found) - 10} more" if found[10:] else "")
            raise BackupError(f"{manifest.name}, restored, isn't what was backed up: {shown}")
        yield scratch


def _listed(store: Store, name: str) -> Backup | None:
    """A backup of a listing; None for what is no backup, or none yet."""
    try:
        manifest, digest = _manifest(store, name)
        verified = _verified(store, name, digest)
    except FileNotFoundError:
        return None
    except BackupError:
        return Backup(name, "damaged")
    if verified is None:
        return Backup(name, "unverified", manifest)
    return Backup(name, "verified", manifest, verified.at)


def _moment(name: str) -> dt.datetime:
    """When a backup was made, by its name."""
    found = _NAME.fullmatch(name)
    assert found is not None
    return dt.datetime.strptime(found["at"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)


def _unfinished(store: Store) -> list[str]:
    """What looks like a backup that was interrupted."""
    latest = dt.datetime.now(dt.UTC) - _UNFINISHED
    old = [name for name in store.names() if _NAME.fullmatch(name) and _moment(name) < latest]
    return [name for name in old if _listed(store, name) is None]
