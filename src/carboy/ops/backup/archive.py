"""A backup as one stream: a tar archive, whose length is known before it is read."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress

from msgspec import Struct

from .backups import faults, manifest_of, read_file
from .manifest import MANIFEST, VERIFIED, BackupError, Manifest
from .store import Store, store_at

_CHUNK = 1 << 18


class Archive(Struct, frozen=True):
    """Its name, its length in bytes, and its content, which is read from the backup's place."""

    name: str
    size: int
    content: Iterator[bytes]


def archive_backup(place: str, name: str) -> Archive:
    """A backup of the listing, as it lies there; raises BackupError."""
    store = store_at(place)
    with faults(place):
        manifest, _ = manifest_of(store, name)
        small = {MANIFEST: read_file(store, name, MANIFEST)}
        with suppress(FileNotFoundError):
            small[VERIFIED] = read_file(store, name, VERIFIED)
    sizes = {file: manifest.files[file].size for file in manifest.files}
    sizes |= {file: len(data) for file, data in small.items()}
    heads = {file: _head(f"{name}/{file}", size, manifest) for file, size in sizes.items()}
    used = sum(len(heads[file]) + size + -size % tarfile.BLOCKSIZE for file, size in sizes.items())
    end = 2 * tarfile.BLOCKSIZE
    end += -(used + end) % tarfile.RECORDSIZE

    def content() -> Iterator[bytes]:
        for file, size in sizes.items():
            yield heads[file]
            yield from [small[file]] if file in small else _parts(store, name, file, size)
            yield bytes(-size % tarfile.BLOCKSIZE)
        yield bytes(end)

    return Archive(f"{name}.tar", used + end, content())


def _head(path: str, size: int, manifest: Manifest) -> bytes:
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.mtime = size, 0o600, int(manifest.at.timestamp())
    return info.tobuf()


def _parts(store: Store, name: str, file: str, size: int) -> Iterator[bytes]:
    """A file's content; BackupError where it has another length than the archive says."""
    done = 0
    with closing(store.open(name, file)) as source:
        while chunk := source.read(_CHUNK):
            done += len(chunk)
            if done <= size:
                yield chunk
    if done != size:
        raise BackupError(f"{name}/{file} is damaged: it has {done} bytes, not {size}")
