"""What a backup says of itself: JSON that carries its own checksum."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import TypeVar

import msgspec
from msgspec import Struct

from ...errors import CommandError

MANIFEST = "manifest.json"
VERIFIED = "verified.json"

_SEALED = re.compile(rb'\{\n  "sha256": "([0-9a-f]{64})",\n(.+)', re.DOTALL)
_T = TypeVar("_T")


class BackupError(CommandError):
    """The message is for people: what went wrong, and the fix; it holds no password."""


class NoBackupError(BackupError):
    """The listing has no backup of that name."""


class File(Struct, frozen=True):
    """A file of the backup: its size in bytes, and its SHA-256."""

    size: int
    sha256: str


class Table(Struct, frozen=True):
    """How many rows a table has, and the sum of their hashes, whatever their order."""

    rows: int
    hash: str


class Contents(Struct, frozen=True):
    """What a database holds at one moment.

    ``schema`` has a hash of each object's definition. A sequence has the next values that it had
    before and after the dump was made: databases count them outside of transactions.
    """

    tables: dict[str, Table]
    schema: dict[str, str]
    sequences: dict[str, tuple[int, int]] = {}
    alembic: list[str] = []


class Manifest(Struct, frozen=True):
    """One backup; ``server`` and ``program`` are versions, ``options`` those of the database."""

    name: str
    kind: str
    database: str
    at: dt.datetime
    carboy: str
    server: str
    program: str
    options: dict[str, str]
    contents: Contents
    files: dict[str, File]
    format: int = 1


class Verified(Struct, frozen=True):
    """That a backup has been restored and compared; ``manifest`` is the SHA-256 of that file."""

    manifest: str
    at: dt.datetime


def seal(value: Struct) -> bytes:
    """JSON whose first member is the SHA-256 of everything after it."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).removeprefix(b"{\n") + b"\n"
    return b'{\n  "sha256": "%b",\n%b' % (hashlib.sha256(text).hexdigest().encode(), text)


def unseal(data: bytes, kind: type[_T], file: str) -> _T:
    """What was sealed in a file; BackupError if a single bit has changed."""
    found = _SEALED.fullmatch(data)
    if found is None or hashlib.sha256(found[2]).hexdigest().encode() != found[1]:
        raise BackupError(f"{file} is damaged: its checksum doesn't fit")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise BackupError(f"{file} is of another version of Carboy: {error}") from None


def differences(expected: Contents, found: Contents, *, definitions: bool) -> list[str]:
    """What a restored database has otherwise than when it was backed up, in words.

    Without ``definitions`` only the names of the schema's objects are compared, as another
    version of a server may word them differently.
    """
    result = _names("is missing", expected.schema, found.schema)
    result += _names("is new", found.schema, expected.schema)
    if definitions:
        result += [
            f"{name} is defined differently"
            for name, digest in expected.schema.items()
            if found.schema.get(name, digest) != digest
        ]
    for name, table in expected.tables.items():
        other = found.tables.get(name)
        if other is None:
            result.append(f"the rows of {name} are missing")
        elif other.rows != table.rows:
            result.append(f"{name} has {other.rows} rows, not {table.rows}")
        elif other.hash != table.hash:
            result.append(f"{name} has other values")
    for name, (least, most) in expected.sequences.items():
        value = found.sequences.get(name, (None, None))[0]
        if value is None or not least <= value <= most:
            result.append(f"the sequence {name} is at {value}, not between {least} and {most}")
    if found.alembic != expected.alembic:
        result.append(f"the Alembic revision is {found.alembic}, not {expected.alembic}")
    return result


def _names(fault: str, these: dict[str, str], others: dict[str, str]) -> list[str]:
    return [f"{name} {fault}" for name in these if name not in others]


def digest_of(definition: str) -> str:
    """The hash of an object's definition."""
    return hashlib.sha256(definition.encode()).hexdigest()[:32]
