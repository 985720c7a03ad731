"""MariaDB: mariadb-dump and mariadb, and contents of the snapshot that was dumped."""

from __future__ import annotations

import gzip
import io
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pymysql
import sqlalchemy as sa
from pymysql.cursors import Cursor

from .database import Dumped, Read
from .manifest import BackupError, Contents, Manifest
from .mariadb_contents import TABLES, contents, named, quoted, relations, rows, sequences
from .programs import Reader, Step, Writer, found, read_from, write_to
from .store import Create

# Tables with their rows; and what can only be made once all of them are there.
_TABLES, _CODE = "tables.sql.gz", "code.sql.gz"
UNFINISHED = "carboy_restore_unfinished"
"""A table that stands in a database while a restore replaces what is in it."""

_FOLDERS = "usr/local/opt/mariadb*/bin"
_INSTALL = (
    "MariaDB's client programs (Debian: apt-get install mariadb-client; "
    "Fedora: dnf install mariadb; macOS: brew install mariadb)"
)
_FIRST_TABLE = re.compile(rb"^-- (Table|Sequence) structure for ", re.MULTILINE)
_LOCK_SECONDS = 30
_SESSION = (
    f"SET SESSION time_zone = '+00:00', lock_wait_timeout = {_LOCK_SECONDS}, sql_mode = ''",
    "SET NAMES utf8mb4",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
)


class MariaDB:
    """A MariaDB database by its URL."""

    kind = "mariadb"

    def __init__(self, url: sa.URL) -> None:
        if not url.database:
            raise BackupError("the URL names no database")
        self.name = url.database
        self._url = url.set(drivername="mariadb+pymysql")
        given = self._url.get_dialect()().create_connect_args(self._url)[1]
        self._parameters: dict[str, Any] = {"connect_timeout": 10, **given}
        self._parameters.pop("database", None)
        self._parameters.pop("client_flag", None)
        # What of a scratch database has to be made anew where its tables go.
        self._code = b""

    def server(self) -> str:
        with self._connected() as cursor:
            return _server(cursor)

    def dump(self, create: Create, step: Step) -> Dumped:
        with self._connected(self.name) as cursor, self._option_file() as options:
            server = _server(cursor)
            program, version = _program(("mariadb-dump", "mysqldump"))
            command = [program, options, "--single-transaction", "--hex-blob"]
            command += ["--default-character-set=utf8mb4", "--max-allowed-packet=1G"]
            listed = relations(cursor, self.name)
            views = named(listed, "VIEW")
            ignored = [f"--ignore-table={self.name}.{view}" for view in views]
            with self._no_commits() as resume:
                # The dump and this transaction have the same snapshot, as nothing is committed.
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
                before = sequences(cursor, self.name)
                # Tables without transactions stay as they are by the lock alone.
                begun = resume if all(safe for _, _, safe in listed) else _nothing
                with create(_TABLES) as output, _packed(output) as packed:
                    tables = [*command, "--skip-triggers", *ignored, self.name]
                    read_from(tables, _Watched(packed, begun), {})
                begun()
                held = contents(cursor, self.name, before, step)
            with create(_CODE) as output, _packed(output) as packed:
                rest = ["--no-data", "--no-create-info", "--routines", "--events", "--triggers"]
                read_from([*command, *rest, *ignored, self.name], packed, {})
                if views:
                    shown = ["--no-data", "--skip-triggers", self.name, *views]
                    read_from([*command, *shown], packed, {})
            options_ = _options(cursor, self.name)
        return Dumped(server, version, options_, held)

    @contextmanager
    def loaded(self, manifest: Manifest, read: Read, *, owners: bool) -> Iterator[MariaDB]:
        scratch = MariaDB(self._url.set(database=f"carboy_{secrets.token_hex(6)}"))
        name = quoted(scratch.name)
        program, _ = _program(("mariadb", "mysql"))
        with self._connected() as cursor:
            cursor.execute(_creation(scratch.name, manifest.options))
            try:
                with closing(read(_TABLES)) as file, gzip.GzipFile("", "rb", fileobj=file) as data:
                    scratch._run(program, data)
                with closing(read(_CODE)) as file, gzip.GzipFile("", "rb", fileobj=file) as data:
                    scratch._code = data.read()
                scratch._run(program, io.BytesIO(scratch._code))
                yield scratch
            finally:
                cursor.execute(f"DROP DATABASE IF EXISTS {name}")

    def contents(self, step: Step) -> Contents:
        with self._connected(self.name) as cursor:
            return contents(cursor, self.name, sequences(cursor, self.name), step)

    def is_empty(self) -> bool:
        with self._connected() as cursor:
            return not relations(cursor, self.name)

    def take(self, scratch: MariaDB) -> None:
        """All tables change places in one statement; views, triggers and routines follow.

        As MariaDB commits each of these, the table ``carboy_restore_unfinished`` stands there
        until the last of them is made.
        """
        program, _ = _program(("mariadb", "mysql"))
        old = f"{scratch.name}_old"
        with self._connected() as cursor:
            options = _options(cursor, scratch.name)
            cursor.execute(_creation(self.name, options, or_keep=True))
            cursor.execute(_creation(old, options))
            mark = f"{quoted(self.name)}.{quoted(UNFINISHED)}"
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {mark} (id INT)")
            _drop_triggers(cursor, scratch.name)
            triggers = _drop_triggers(cursor, self.name)
            try:
                cursor.execute(_swap(cursor, self.name, scratch.name, old))
            except pymysql.MySQLError:
                cursor.execute(f"USE {quoted(self.name)}")
                for mode, trigger in triggers:
                    cursor.execute("SET SESSION sql_mode = %s", [mode])
                    cursor.execute(trigger)
                cursor.execute(f"DROP TABLE {mark}")
                cursor.execute(f"DROP DATABASE {quoted(old)}")
                raise
            _drop_code(cursor, self.name)
            self._run(program, io.BytesIO(scratch._code))
            cursor.execute(f"DROP TABLE {mark}")
            cursor.execute(f"DROP DATABASE {quoted(old)}")

    @contextmanager
    def _connected(self, database: str | None = None) -> Iterator[Cursor]:
        try:
            with closing(pymysql.connect(**self._parameters, database=database)) as connection:
                connection.autocommit(True)
                with connection.cursor() as cursor:
                    for statement in _SESSION:
                        cursor.execute(statement)
                    yield cursor
        except pymysql.MySQLError as error:
            hint = "; making backups takes GRANT RELOAD ON *.*" if "RELOAD" in str(error) else ""
            raise BackupError(f"MariaDB: {error.args[-1] if error.args else error}{hint}") from None

    @contextmanager
    def _no_commits(self) -> Iterator[Callable[[], None]]:
        """Hold up all commits on the server until the given function is called, or the block ends.

        Unlike LOCK TABLES, it lets no transaction fail by a deadlock.
        """
        with self._connected(self.name) as cursor, ExitStack() as stack:
            cursor.execute("BACKUP STAGE START")
            stack.callback(cursor.execute, "BACKUP STAGE END")
            cursor.execute("BACKUP STAGE BLOCK_COMMIT")
            yield stack.close

    def _run(self, program: str, data: Reader) -> None:
        """Let MariaDB's client execute statements in this database."""
        with self._option_file() as options:
            command = [program, options, "--default-character-set=utf8mb4", "--binary-mode"]
            write_to([*command, "--max-allowed-packet=1G", self.name], data, {})

    @contextmanager
    def _option_file(self) -> Iterator[str]:
        """The programs' option that names a private file with the address and the password.

        Only it is read, and no other option file, which could mean another server or output.
        """
        given = self._parameters
        ssl = given.get("ssl") or {}
        options = {
            "host": given.get("host"),
            "port": given.get("port"),
            "user": given.get("user"),
            "password": given.get("password"),
            "socket": given.get("unix_socket"),
            # PyMySQL takes localhost for an address, and MariaDB's programs for a socket.
            "protocol": "SOCKET" if given.get("unix_socket") else "TCP",
            **{f"ssl-{name.replace('_', '-')}": ssl[name] for name in ssl if name in _SSL},
        }
        with tempfile.NamedTemporaryFile("w", prefix="carboy-", suffix=".cnf") as file:
            lines = [f"{name}={_value(value)}" for name, value in options.items() if value]
            file.write("\n".join(["[client]", *lines, ""]))
            file.flush()
            yield f"--defaults-file={file.name}"


class _Watched:
    """Output that tells when the first table begins: by then the dump has its snapshot."""

    def __init__(self, output: Writer, begun: Callable[[], None]) -> None:
        self._output = output
        self._begun = begun
        self._head: bytes | None = b""

    def write(self, data: bytes, /) -> int:
        if self._head is not None:
            self._head += data
            if _FIRST_TABLE.search(self._head):
                self._head = None
                self._begun()
        return self._output.write(data)

    def flush(self) -> None:
        self._output.flush()


_SSL = ("ca", "cert", "key", "capath", "cipher")


def _program(names: tuple[str, ...]) -> tuple[str, str]:
    return found(names, _FOLDERS, 0, _INSTALL)


def _nothing() -> None:
    """Go on holding up commits."""


def _packed(output: Writer) -> gzip.GzipFile:
    return gzip.GzipFile("", "wb", 6, output, mtime=0)


def _value(value: object) -> str:
    """A value as option files have it."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _server(cursor: Cursor) -> str:
    version = str(rows(cursor, "SELECT version()")[0][0])
    if "mariadb" not in version.lower():
        raise BackupError(f"the server is MySQL {version}; only MariaDB can be backed up")
    return version.partition("-")[0]


def _options(cursor: Cursor, database: str) -> dict[str, str]:
    """The character set and the collation of a database."""
    query = (
        "SELECT default_character_set_name, default_collation_name "
        "FROM information_schema.schemata WHERE schema_name = %s"
    )
    charset, collation = rows(cursor, query, database)[0]
    return {"charset": charset, "collation": collation}


def _creation(database: str, options: dict[str, str], *, or_keep: bool = False) -> str:
    """CREATE DATABASE with a character set and a collation, which are names of the server's."""
    names = [options["charset"], options["collation"]]
    if not all(re.fullmatch(r"\w+", name) for name in names):
        raise BackupError(f"{names} are no character set and collation")
    return (
        f"CREATE DATABASE {'IF NOT EXISTS ' if or_keep else ''}{quoted(database)} "
        f"CHARACTER SET {names[0]} COLLATE {names[1]}"
    )


def _drop_triggers(cursor: Cursor, database: str) -> list[tuple[str, str]]:
    """Drop all triggers, which keep tables from changing places; answers modes and statements."""
    query = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s"
    found = []
    for (name,) in rows(cursor, query, database):
        full = f"{quoted(database)}.{quoted(name)}"
        shown = rows(cursor, f"SHOW CREATE TRIGGER {full}")[0]
        found.append((shown[1], shown[2]))
        cursor.execute(f"DROP TRIGGER {full}")
    return found


def _swap(cursor: Cursor, database: str, scratch: str, old: str) -> str:
    """The one statement that moves all tables and sequences out, and the others in."""
    kinds = (*TABLES, "SEQUENCE")
    there = [n for n in named(relations(cursor, database), *kinds) if n != UNFINISHED]
    new = named(relations(cursor, scratch), *kinds)
    moves = [(database, old, name) for name in there] + [(scratch, database, n) for n in new]
    moved = ", ".join(
        f"{quoted(source)}.{quoted(name)} TO {quoted(target)}.{quoted(name)}"
        for source, target, name in moves
    )
    return f"RENAME TABLE {moved}"


def _drop_code(cursor: Cursor, database: str) -> None:
    """Drop the views, routines and events of a database."""
    routines = (
        "SELECT routine_name, routine_type FROM information_schema.routines "
        "WHERE routine_schema = %s"
    )
    events = "SELECT event_name, 'EVENT' FROM information_schema.events WHERE event_schema = %s"
    dropped = [(name, "VIEW") for name in named(relations(cursor, database), "VIEW")]
    for name, kind in [
        *dropped,
        *rows(cursor, routines, database),
        *rows(cursor, events, database),
    ]:
        cursor.execute(f"DROP {kind} {quoted(database)}.{quoted(name)}")
