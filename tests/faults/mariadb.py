"""A MariaDB with a hold on its process."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pymysql
import sqlalchemy as sa
from pymysql.cursors import Cursor

from .processes import Daemon, wait_for

USER = "carboy_app"


class MariaDB:
    """A server of tools.servers; ``url`` was its superuser's, and becomes the application's."""

    def __init__(self, url: str) -> None:
        self._admin = sa.make_url(url)
        password = secrets.token_hex(16)
        with self.admin() as admin:
            # Not a superuser, who could write while the server is read-only.
            admin.execute(f"CREATE USER {USER}@127.0.0.1 IDENTIFIED BY '{password}'")
            admin.execute("CREATE DATABASE app")
            admin.execute(f"GRANT ALL ON app.* TO {USER}@127.0.0.1")
            admin.execute("SELECT @@pid_file")
            [[pid_file]] = admin.fetchall()
        pid = int(Path(pid_file).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        # What it made at its first start is there.
        command = [word for word in words if not word.startswith("--init-file")]
        self.process = Daemon(pid, command)
        self.url = self._admin.set(username=USER, password=password, database="app")

    @contextmanager
    def admin(self) -> Iterator[Cursor]:
        """A superuser's cursor, each statement a transaction of its own."""
        connection = pymysql.connect(
            host=self._admin.host or "",
            port=self._admin.port or 0,
            user=self._admin.username,
            password=self._admin.password or "",
            autocommit=True,
            connect_timeout=10,
        )
        try:
            yield connection.cursor()
        finally:
            with suppress(pymysql.MySQLError):
                connection.close()

    def connection(self) -> closing[pymysql.Connection[Cursor]]:
        """A connection as the application has them."""
        return closing(
            pymysql.connect(
                host=self.url.host or "",
                port=self.url.port or 0,
                user=USER,
                password=self.url.password or "",
                connect_timeout=10,
            )
        )

    def end_connections(self, admin: Cursor, but: Collection[int]) -> int:
        """Close the application's connections but for these; answers how many there were."""
        admin.execute(f"SELECT id FROM information_schema.processlist WHERE user = '{USER}'")
        found = [id_ for (id_,) in admin.fetchall() if id_ not in but]
        for id_ in found:
            with suppress(pymysql.OperationalError):  # it has ended meanwhile
                admin.execute(f"KILL {id_}")
        return len(found)

    def start(self) -> None:
        """Start it again, and wait until it has recovered."""
        self.process.start()
        wait_for("MariaDB to start", self._answers)

    def _answers(self) -> bool:
        with suppress(pymysql.MySQLError), self.admin():
            return True
        return False

    def connections(self, admin: Cursor, condition: str = "true") -> int:
        """How many connections the application has that fulfil a condition."""
        admin.execute(
            "SELECT count(*) FROM information_schema.processlist "
            f"WHERE user = '{USER}' AND {condition}"
        )
        [[count]] = admin.fetchall()
        return int(count)
