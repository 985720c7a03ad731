"""What backups ask of a database, and which of them a URL means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Protocol, Self

import sqlalchemy as sa
from msgspec import Struct

from .manifest import BackupError, Contents, Manifest
from .programs import Step
from .store import Create


class Dumped(Struct, frozen=True):
    """What a dump was made of and with, and what it holds: both of the same moment."""

    server: str
    program: str
    options: dict[str, str]
    contents: Contents


class Read(Protocol):
    """Opens a file of a backup by its name."""

    def __call__(self, file: str, /) -> BinaryIO:
        """Raises OSError."""


class Database(Protocol):
    """A database by its URL; it need not be there yet. Each method raises BackupError."""

    kind: str
    name: str

    def server(self) -> str:
        """The version of the server."""

    def dump(self, create: Create, step: Step) -> Dumped:
        """Write the database into files of a backup."""

    def loaded(
        self, manifest: Manifest, read: Read, *, owners: bool
    ) -> AbstractContextManager[Self]:
        """A backup in a scratch database of its own, which is dropped at the end.

        Without ``owners``, all of it belongs to whoever restores it, where databases have owners.
        """

    def contents(self, step: Step) -> Contents:
        """What the database holds now."""

    def is_empty(self) -> bool:
        """Whether there is nothing in it, or no such database."""

    def take(self, scratch: Self) -> None:
        """Be replaced by a scratch database: wholly, or not at all."""


def database_of(url: sa.URL) -> Database:
    """The database of a URL; BackupError for a kind that can't be backed up."""
    match url.get_backend_name():
        case "sqlite":
            from .sqlite import SQLite

            return SQLite(url)
        case "postgresql":
            with _driver("postgresql"):
                from .postgresql import PostgreSQL
            return PostgreSQL(url)
        case "mariadb" | "mysql":
            with _driver("mysql"):
                from .mariadb import MariaDB
            return MariaDB(url)
    raise BackupError(f"there are no backups of {url.get_backend_name()}")


@contextmanager
def _driver(extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise BackupError(
            f"the driver {error.name!r} isn't installed; pip install 'carboy[{extra}]'"
        ) from None
