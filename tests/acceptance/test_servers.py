"""The throwaway servers start, answer, and leave nothing behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, ConnectionError
from sqlalchemy import create_engine, inspect, make_url, text
from sqlalchemy.exc import OperationalError

from tools import servers
from tools.servers import (
    SERVERS,
    ServerEnded,
    ServerMissing,
    find,
    find_or_install,
    mariadb,
    postgresql,
    redis,
)

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tools.servers", "postgresql"]
PROGRAM = """
import signal, time
from tools.servers import postgresql
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
with postgresql() as url:
    print(url, flush=True)
    time.sleep(60)
"""


def _setting(url: str, name: str) -> str:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
        assert row
        return str(row[0])


def _gone(url: str, files: Path) -> bool:
    """Whether the server no longer listens and its files are removed, at the latest in 20 s."""
    for _ in range(200):
        try:
            _setting(url, "fsync")
        except psycopg.OperationalError:
            if not files.exists():
                return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(("durable", "fsync"), [(False, "off"), (True, "on")])
def test_a_server_answers_in_its_block_and_is_gone_after(durable: bool, fsync: str) -> None:
    """PostgreSQL answers, in UTF-8, durable only where asked; then it and its files are gone."""
    with postgresql(durable=durable) as url:
        folder = Path(_setting(url, "data_directory")).parent
        assert _setting(url, "fsync") == fsync
        assert _setting(url, "server_encoding") == "UTF8"
        assert _setting(url, "listen_addresses") == "127.0.0.1"
    assert _gone(url, folder)


def test_a_server_admits_nobody_without_its_password() -> None:
    """Another account of the machine can't enter."""
    with postgresql() as url:
        guess = make_url(url).set(drivername="postgresql", password="guess")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(guess.render_as_string(hide_password=False))


@pytest.mark.parametrize(("durable", "flushes"), [(False, "0"), (True, "1")])
def test_mariadb_answers_in_its_block_and_is_gone_after(durable: bool, flushes: str) -> None:
    """MariaDB answers whoever has its password, strict and in UTF-8; then it is gone."""
    with mariadb(durable=durable) as url:
        engine = create_engine(url)
        with engine.connect() as connection:
            rows = connection.execute(text("SHOW VARIABLES")).all()
        settings = {str(name): str(value) for name, value in rows}
        assert settings["innodb_flush_log_at_trx_commit"] == flushes
        assert settings["collation_database"] == "utf8mb4_nopad_bin"
        assert "STRICT_ALL_TABLES" in settings["sql_mode"]
        folder = Path(settings["datadir"]).parent
        guess = create_engine(make_url(url).set(password="guess"))
        with pytest.raises(OperationalError, match="Access denied"):
            guess.connect()
    engine.dispose()
    with pytest.raises(OperationalError):
        engine.connect()
    assert not folder.exists()


@pytest.mark.parametrize(("durable", "kept"), [(False, "no"), (True, "yes")])
def test_redis_answers_in_its_block_and_is_gone_after(durable: bool, kept: str) -> None:
    """Redis answers whoever has its password, durable only where asked; then it is gone."""
    with redis(durable=durable) as url, Redis.from_url(url, decode_responses=True) as client:
        settings = client.config_get("*")
        assert settings["appendonly"] == kept
        assert settings["save"] == ""
        assert settings["bind"] == "127.0.0.1"
        folder = Path(settings["dir"])
        assert folder.exists()
        guess = url.replace("redis://:", "redis://:guess")
        with Redis.from_url(guess) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
    with pytest.raises(ConnectionError):
        client.ping()
    assert not folder.exists()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_stop(end: signal.Signals) -> None:
    """`python -m tools.servers postgresql` prints the URL, and cleans up on a signal."""
    with subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        folder = Path(_setting(url, "data_directory")).parent
        process.send_signal(end)
        assert process.wait(timeout=60) == 0
    assert _gone(url, folder)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_goes_with_the_process_that_asked_for_it(end: signal.Signals) -> None:
    """However the process ends, nothing stays behind."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        folder = Path(_setting(url, "data_directory")).parent
        process.send_signal(end)
        assert process.wait(timeout=60) != 0
    assert _gone(url, folder)


@pytest.mark.parametrize("name", ["mariadb", "redis"])
def test_a_port_that_somebody_takes_first_costs_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes to another port; where all are taken, the message has its log."""
    run, programs = SERVERS[name].run, find_or_install(SERVERS[name])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [taken.getsockname()[1]]
        free = servers.free_port
        monkeypatch.setattr(servers, "free_port", lambda: ports.pop() if ports else free())
        with run(programs, False) as url:
            assert not ports
            assert f":{taken.getsockname()[1]}/" not in url
        monkeypatch.setattr(servers, "free_port", lambda: taken.getsockname()[1])
        with pytest.raises(ServerEnded, match="in use"), run(programs, False):
            raise AssertionError


@pytest.mark.parametrize(
    ("name", "debian", "fedora"),
    [
        ("postgresql", "postgresql", "postgresql-server"),
        ("mariadb", "mariadb-server", "mariadb-server"),
        ("redis", "redis-server", "redis"),
    ],
)
def test_a_missing_server_names_what_to_install(name: str, debian: str, fedora: str) -> None:
    """Without a server's programs the message has the package of each system."""
    with pytest.raises(ServerMissing) as missing:
        find(SERVERS[name], [])
    for line in (f"apt-get install {debian}\n", f"dnf install {fedora}\n", "brew install"):
        assert line in str(missing.value)


def test_programs_must_lie_in_one_folder(tmp_path: Path) -> None:
    """A folder with some of a server's programs is passed over for one with all of them."""
    partial, whole = tmp_path / "partial", tmp_path / "whole"
    for folder, programs in [(partial, ["initdb"]), (whole, ["initdb", "pg_ctl", "postgres"])]:
        folder.mkdir()
        for program in programs:
            (folder / program).touch(mode=0o755)
    assert find(SERVERS["postgresql"], [partial, whole]) == whole


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_an_empty_database(database_url: str, turn: int) -> None:
    """The fixture's database answers, and holds no table that the test before has made."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE mark (id integer)"))
    engine.dispose()
