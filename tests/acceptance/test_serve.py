"""``carboy serve`` as people run it: real processes, real signals, real sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import sqlalchemy as sa

from tests import commands
from tests.unit.identify.issuer import SECRET, token
from tools.servers import free_port

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "carboy.cli"]
START_SECONDS = 60


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """An SQLite file with a table and a view."""
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);"
            "CREATE VIEW cheap AS SELECT * FROM item;"
            "INSERT INTO item VALUES (1, 'cup');"
        )
    connection.close()
    return path


def environment() -> dict[str, str]:
    """One in which this tree is what is imported."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}


def carboy(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return commands.run(["carboy", *arguments], folder=folder, environment=environment())


class Server:
    """A running ``carboy serve``: ``url`` is its root, ``said`` what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._ready.wait(START_SECONDS), self.said
        found = re.search(r"http://[^/\s]+", "".join(self.said))
        assert found, self.said
        self.url = found[0]

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line)
            if "Ctrl-C" in line:
                self._ready.set()
        self._ready.set()

    def get(self, path: str) -> str:
        """The body of an answer."""
        with urlopen(self.url + path, timeout=START_SECONDS) as answer:  # noqa: S310  http://
            body: bytes = answer.read()
        return body.decode()

    def status(
        self, method: str, path: str, body: bytes | None = None, key: str | None = None
    ) -> int:
        """The status of an answer."""
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {key}"} if key is not None else {}
        request = Request(self.url + path, body, headers, method=method)  # noqa: S310  http://
        try:
            with urlopen(request, timeout=START_SECONDS) as answer:  # noqa: S310  http://
                code: int = answer.status
                return code
        except HTTPError as error:
            error.close()
            return error.code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(START_SECONDS)
        self._reader.join(START_SECONDS)
        return code


@contextmanager
def serving(
    *arguments: str, folder: Path | None = None, port: int | None = None
) -> Iterator[Server]:
    """A server, on a free port unless one is named, killed at the end if it still runs."""
    with subprocess.Popen(
        [*COMMAND, "serve", *arguments, "--port", str(port or free_port())],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Server(process)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(START_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_a_file_until_a_signal(database: Path, number: int) -> None:
    """A file is served as it is, read-only, and each stopping signal ends with exit code 0."""
    with serving(str(database)) as server:
        assert json.loads(server.get("/api/item/1")) == {"id": 1, "name": "cup"}
        # The root leads to the index.
        index = json.loads(server.get("/"))["resources"]
        assert index == [
            {"name": "cheap", "url": "/api/cheap", "writable": False},
            {"name": "item", "url": "/api/item", "writable": False},
        ]
        assert "1 table and 1 view, read-only" in "".join(server.said)
        started = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - started < 5
    assert "Traceback" not in "".join(server.said)


def test_several_workers_share_the_port(database: Path) -> None:
    """With two workers every request is answered, and both processes end with the command."""
    with serving(f"sqlite:///{database}", "--workers", "2") as server:
        for _ in range(20):
            assert json.loads(server.get("/api/item"))["data"] == [{"id": 1, "name": "cup"}]
        assert server.stop() == 0


def test_a_request_in_progress_is_answered_before_the_end(tmp_path: Path) -> None:
    """SIGTERM during a slow request: the client gets its answer, and the exit code is 0."""
    (tmp_path / "slow.py").write_text(
        "import time\nfrom pathlib import Path\nfrom flask import Flask\n\n"
        "def create_app():\n    app = Flask(__name__)\n\n"
        "    @app.get('/slow')\n    def slow():\n        Path('begun').touch()\n"
        "        time.sleep(1.5)\n        return 'done'\n\n    return app\n"
    )
    answers: list[str] = []
    with serving("slow:create_app()", folder=tmp_path) as server:
        client = threading.Thread(target=lambda: answers.append(server.get("/slow")))
        client.start()
        deadline = time.monotonic() + START_SECONDS
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.stop() == 0
        client.join(START_SECONDS)
    assert answers == ["done"]


def test_a_worker_ends_though_its_main_thread_sleeps_on(tmp_path: Path) -> None:
    """A SIGTERM that another thread gets, or that comes just before the main one waits, counts."""
    (tmp_path / "sleepy.py").write_text(
        "import os, signal, threading\nfrom flask import Flask\n\n"
        "def create_app():\n    app = Flask(__name__)\n\n"
        "    @app.get('/')\n    def process():\n        return str(os.getpid())\n\n"
        "    @app.post('/stop')\n    def stop():\n"
        "        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n"
        "        return ''\n\n    return app\n"
    )
    with serving("sleepy:create_app()", folder=tmp_path) as server:
        first = server.get("/")
        assert server.status("POST", "/stop") == 200
        process = Path("/proc") / first
        deadline = time.monotonic() + START_SECONDS
        while process.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not process.exists()


def test_reload_serves_what_was_changed(tmp_path: Path) -> None:
    """With --reload a changed module is served without a restart by hand."""
    module = tmp_path / "hello.py"
    source = (
        "from flask import Flask\napp = Flask(__name__)\napp.add_url_rule('/', 'h', lambda: '{}')"
    )
    module.write_text(source.format("one"))
    with serving("hello:app", "--reload", folder=tmp_path) as server:
        assert server.get("/") == "one"
        answer, deadline = "one", time.monotonic() + START_SECONDS
        # The length changes, for Python tells compiled files by second and length.
        module.write_text(source.format("second"))
        while answer != "second" and time.monotonic() < deadline:
            time.sleep(0.1)
            try:
                answer = server.get("/")
            except OSError:
                continue
        assert answer == "second"
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("sqlite:////no/such.sqlite", "there is no file /no/such.sqlite"),
        ("missing.db", "there is no file missing.db"),
        ("sqlite://", "in memory is empty"),
        ("postgresql://me:s3cret@127.0.0.1:1/db", "Connection refused"),
        ("postgres://me:s3cret@127.0.0.1:1/db", "can't be reached"),
        ("postgresql+pg8000://me:s3cret@h/db", "pip install 'carboy[postgresql]'"),
        ("oracle://me:s3cret@h/db", "stores an empty text as NULL"),
        ("mssql://me:s3cret@h/db", "no JSON array of rows (JSON_ARRAYAGG) before its version 2025"),
        ("db2://me:s3cret@h/db", "it speaks"),
        ("postgresql://me:s3c@ret:x@h:port/db", "is no database URL"),
        ("nosuchmodule:app", "No module named 'nosuchmodule'"),
        ("broken:app", "broken failed: ZeroDivisionError"),
        ("fine:nothing", "'fine' has no 'nothing'"),
        ("fine:make", "write 'fine:make()'"),
        ("fine:number", "is no WSGI application"),
        ("whatever", "is neither a database URL"),
        ("text.db", "is not a database"),
        ("empty.db", "has no tables or views"),
    ],
)
def test_what_cant_be_served_is_one_line_and_exit_code_2(
    tmp_path: Path, target: str, message: str
) -> None:
    """Each fault is one line on stderr that says what is wrong, without a password."""
    (tmp_path / "broken.py").write_text("app = 1 / 0\n")
    (tmp_path / "fine.py").write_text("number = 1\n\ndef make():\n    return None\n")
    (tmp_path / "text.db").write_text("some text that is long enough to be no database " * 20)
    (tmp_path / "empty.db").touch()
    ended = carboy("serve", target, "--port", "0", folder=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "s3c" not in ended.stderr + ended.stdout


def test_a_taken_port_is_refused(database: Path) -> None:
    """A port that another process listens on is named, even where it could be shared."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = carboy("serve", str(database), "--port", str(port))
    assert ended.returncode == 2
    assert ended.stderr == (
        f"carboy: can't listen on 127.0.0.1:{port}: address already in use; see --port\n"
    )


def test_options_of_databases_are_refused_for_applications(tmp_path: Path) -> None:
    """--writable says nothing to an application, and --reload nothing to a database."""
    assert "are for databases" in carboy("serve", "some:app", "--writable").stderr
    assert "are for databases" in carboy("serve", "some:app", "--schema", "s").stderr
    assert "--public is for databases" in carboy("serve", "some:app", "--public").stderr
    assert "is for MODULE:APP" in carboy("serve", f"{tmp_path}/x.db", "--reload").stderr


ELSEWHERE = ("--host", "0.0.0.0")  # noqa: S104  this is the case


def test_loopback_is_open_and_says_so(database: Path) -> None:
    """On this machine alone, nobody is asked for a key: to read, or to write with --writable."""
    with serving(str(database)) as server:
        assert json.loads(server.get("/api/item/1"))["id"] == 1
        assert "Open: whoever is on this machine may read." in "".join(server.said)
    with serving(str(database), "--writable", "--host", "localhost") as server:
        assert server.status("POST", "/api/item", b'{"name": "pot"}') == 201
        assert "whoever is on this machine may read and write." in "".join(server.said)


def test_another_address_is_closed_and_says_how_to_make_a_key(database: Path) -> None:
    """In every worker, reading takes a key, which the command that is shown makes."""
    with serving(str(database), *ELSEWHERE, "--workers", "2") as server:
        assert [server.status("GET", "/api/item/1") for _ in range(6)] == [401] * 6
        said = "".join(server.said)
        assert "Closed: reading takes a key.\n" in said
        shown = f"  carboy keys create {database} --name NAME\n"
        assert shown in said
        made = carboy(*shown.replace("NAME", "me").split()[1:])
        key = made.stdout.strip()
        assert [server.status("GET", "/api/item/1", key=key) for _ in range(6)] == [200] * 6
        assert server.status("POST", "/api/item", b"{}", key=key) == 405


def test_writing_on_another_address_takes_a_role(database: Path) -> None:
    """--writable alone lets nobody write, and a key without the role doesn't either."""
    with serving(str(database), *ELSEWHERE, "--writable") as server:
        said = "".join(server.said)
        assert f"carboy keys create {database} --name NAME --role writer\n" in said
        body = b'{"name": "pot"}'
        assert server.status("POST", "/api/item", body) == 401
        keys = ("keys", "create", str(database), "--name", "n")
        reader, writer = (
            carboy(*keys, *role).stdout.strip() for role in ((), ("--role", "writer"))
        )
        assert server.status("POST", "/api/item", body, key=reader) == 403
        assert server.status("POST", "/api/item", body, key=writer) == 201


def test_public_opens_reading_alone(database: Path) -> None:
    """Everybody reads; writing takes a role as before."""
    with serving(str(database), *ELSEWHERE, "--public", "--writable") as server:
        assert server.status("GET", "/api/item/1") == 200
        assert server.status("POST", "/api/item", b'{"name": "pot"}') == 401
        assert "Public: everybody may read.\nWriting takes a key" in "".join(server.said)


def test_tokens_are_taken_by_the_environments_settings(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CARBOY_JWT_SECRET in the environment lets its tokens in."""
    monkeypatch.setenv("CARBOY_JWT_SECRET", SECRET)
    with serving(str(database), *ELSEWHERE) as server:
        assert server.status("GET", "/api/item/1", key=token()) == 200
        assert server.status("GET", "/api/item/1") == 401


def test_hidden_secrets_are_listed(database: Path) -> None:
    """What looks like a secret is named at the start and in the schema, and not served."""
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE member (token TEXT PRIMARY KEY, password TEXT, n TEXT)")
    connection.close()
    with serving(str(database)) as server:
        said = "".join(server.said)
        assert "Hidden, for they look like secrets: member.password\n" in said
        assert "though they look like secrets: member.token\n" in said
    shown = carboy("schema", str(database)).stdout
    assert re.search(r"password +text +nullable, hidden \(looks like a secret\)\n", shown)


def test_passwords_are_never_printed(postgresql_url: str, tmp_path: Path) -> None:
    """What is printed about a PostgreSQL database leaves the password out, start to end."""
    url = sa.make_url(postgresql_url)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    engine = sa.create_engine(postgresql_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS served (id int PRIMARY KEY)")
    try:
        with serving(plain, "--workers", "2", folder=tmp_path) as server:
            assert json.loads(server.get("/api/served"))["data"] == []
            assert server.stop() == 0
        assert url.password
        assert url.password not in "".join(server.said)
        assert ":***@" in "".join(server.said)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE served")
        engine.dispose()


def test_routes_and_schema_say_what_is_exposed(database: Path) -> None:
    """Both commands print a table for people, and the same as JSON for programs."""
    lines = carboy("routes", str(database)).stdout.splitlines()
    assert "GET HEAD OPTIONS  /api/item/<id>" in lines
    writable = json.loads(carboy("routes", str(database), "--writable", "--json").stdout)
    assert {
        "path": "/api/item",
        "methods": ["GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE"],
        "resource": "item",
    } in writable["routes"]
    described = json.loads(carboy("schema", str(database), "--json").stdout)["resources"]
    item = next(resource for resource in described if resource["name"] == "item")
    assert item["key"] == ["id"]
    assert item["fields"][1] == {
        "name": "name",
        "type": "text",
        "nullable": True,
        "readable": True,
        "secret": False,
        "writable": False,
        "key": False,
    }
    table = carboy("schema", str(database)).stdout
    assert "/api/item  read-only" in table
    assert "\x1b[" not in table
