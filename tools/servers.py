"""Real database servers to throw away, each on a free port of 127.0.0.1.

    with postgresql() as url:          # an SQLAlchemy URL
        engine = create_engine(url)
    with mariadb() as url:             # the same, for PyMySQL
        engine = create_engine(url)
    with redis() as url:               # redis://...
        client = Redis.from_url(url)

    python -m tools.servers postgresql   # prints the URL, and serves until Ctrl-C

A server is watched over by a process of its own, which stops it and removes its files when
the process that asked for it leaves the block or ends, in whatever way that happens.
"""

from __future__ import annotations

import argparse
import itertools
import locale
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LEAVING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
TIMEOUT = 180
"""Seconds that a server may take to start or to stop; a busy machine takes its time."""

_ROOM = 2**30
_TRIES = 3


class ServerMissing(Exception):
    """The programs aren't on this machine; the message says what to install."""


class ServerEnded(RuntimeError):
    """A server has ended before it was ready; the message has its log."""


@dataclass(frozen=True)
class Programs:
    """Programs of this machine, and how they are found or installed."""

    title: str
    programs: tuple[str, ...]
    """Programs that must lie in one folder together."""
    folders: tuple[str, ...]
    """Patterns of folders to search after PATH, the newest version first."""
    debian: str
    fedora: str
    macos: str


@dataclass(frozen=True)
class Server(Programs):
    """A kind of server, and how one is run."""

    run: Callable[[Path, bool], AbstractContextManager[str]]
    """Runs a server, given its programs' folder and whether it is durable; yields its URL."""


def postgresql(*, durable: bool = False) -> AbstractContextManager[str]:
    """A PostgreSQL cluster of one's own, as the URL of its database ``postgres``.

    It doesn't wait for the disk unless ``durable`` is true, as a benchmark wants it.
    Raises ServerMissing if PostgreSQL is neither found nor can be installed.
    """
    return _durably("postgresql", durable)


def mariadb(*, durable: bool = False) -> AbstractContextManager[str]:
    """A MariaDB of one's own, as the URL of its database ``test``; text is utf8mb4 and exact.

    It doesn't wait for the disk unless ``durable`` is true, as a benchmark wants it.
    Raises ServerMissing if MariaDB is neither found nor can be installed.
    """
    return _durably("mariadb", durable)


def redis(*, durable: bool = False) -> AbstractContextManager[str]:
    """A Redis of one's own, as its URL; it keeps nothing on the disk unless ``durable`` is true.

    Raises ServerMissing if Redis is neither found nor can be installed.
    """
    return _durably("redis", durable)


# --- finding the programs ---


def search_path(wanted: Programs) -> list[Path]:
    """The folders that may hold the programs, the likeliest first."""
    found = [Path(folder) for folder in os.get_exec_path()]
    for pattern in wanted.folders:
        found += sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    return found


def find(wanted: Programs, folders: Sequence[Path]) -> Path:
    """The first of the folders that holds all the programs."""
    for folder in folders:
        if all(os.access(folder / program, os.X_OK) for program in wanted.programs):
            return folder
    raise ServerMissing(
        f"{wanted.title} is needed and was not found. Install it:"
        f"\n  Debian, Ubuntu: apt-get install {wanted.debian}"
        f"\n  Fedora:         dnf install {wanted.fedora}"
        f"\n  macOS:          brew install {wanted.macos}"
    )


def find_or_install(wanted: Programs) -> Path:
    """As ``find`` on the usual folders, after installing them with apt where that is free."""
    try:
        return find(wanted, search_path(wanted))
    except ServerMissing:
        if not _apt_install(wanted.debian):
            raise
    return find(wanted, search_path(wanted))


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def _apt_install(package: str) -> bool:
    """Whether apt is there, needs no password, and has installed the package."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not all(shutil.which(program) for program in [*sudo[:1], "apt-get"]):
        return False
    if sudo and not _succeeds([*sudo, "true"]):
        return False
    print(f"Installing {package} with apt-get", file=sys.stderr)
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    return _succeeds([*apt, "update"]) and _succeeds(
        [*apt, "install", "--yes", "--no-install-recommends", package]
    )


def _succeeds(command: Sequence[str]) -> bool:
    # Standard output is for the URL alone.
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    return ended.returncode == 0


# --- running one ---


@contextmanager
def _run_postgresql(programs: Path, durable: bool) -> Iterator[str]:
    account = account_for("postgres")
    with temporary_folder("carboy-postgresql-", account) as home:
        password = secrets.token_hex(16)
        password_file = home / "password"
        password_file.write_text(password)
        if account:
            shutil.chown(password_file, account, _group(account))

        def call(program: str, *arguments: str) -> None:
            run_to_end([str(programs / program), *arguments], home, account)

        cluster = f"--pgdata={home / 'cluster'}"
        call(
            "initdb", cluster, "--no-sync", "--username=postgres", "--encoding=UTF8",
            f"--locale={_utf8_locale()}", "--auth=password", f"--pwfile={password_file}",
        )  # fmt: skip
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": ""}
        if not durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = f"--log={home / 'log'}"
        try:
            wait = ("--wait", f"--timeout={TIMEOUT}")
            call("pg_ctl", "start", cluster, log, *wait, f"--options={options}")
            yield f"postgresql+psycopg://postgres:{password}@127.0.0.1:{port}/postgres"
        finally:
            if (home / "cluster" / "postmaster.pid").exists():
                call("pg_ctl", "stop", cluster, "--mode=immediate")


@contextmanager
def _run_mariadb(programs: Path, durable: bool) -> Iterator[str]:
    account = account_for("mysql")
    # MariaDB waits for the disk at every CREATE TABLE, whatever it is told.
    with temporary_folder(
        "carboy-mariadb-", account, within=None if durable else _memory()
    ) as home:
        password = secrets.token_hex(16)
        # Without an ending it would get one.
        log = home / "log.err"
        setup = home / "setup.sql"
        # It is run before the first client is let in.
        setup.write_text(
            "CREATE DATABASE test;\n"
            f"CREATE USER carboy@127.0.0.1 IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON *.* TO carboy@127.0.0.1 WITH GRANT OPTION;\n"
        )
        if account:
            shutil.chown(setup, account, _group(account))
        options = ["--no-defaults", f"--datadir={home / 'data'}"]
        if not durable:
            options += ["--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite"]
            options += ["--innodb-flush-method=nosync", "--skip-innodb-file-per-table"]
            options += ["--innodb-log-file-size=32M", "--skip-sync-frm"]
        # In a folder for temporary tables each server deletes those of the others when it starts.
        options.append(f"--tmpdir={home}")
        install = ["--auth-root-authentication-method=socket", "--skip-test-db"]
        run_to_end([str(_install_db(programs)), *options, *install], home, account)
        settings = {"socket": home / "socket", "bind-address": "127.0.0.1"}
        settings |= {"init-file": setup, "pid-file": home / "pid"}
        settings |= {
            "log-error": log,
            "character-set-server": "utf8mb4",
            "sql-mode": "TRADITIONAL,NO_AUTO_VALUE_ON_ZERO",
        }
        # Text is compared exactly, as PostgreSQL and SQLite do.
        settings |= {"collation-server": "utf8mb4_nopad_bin", "skip-name-resolve": 1}
        settings |= {"innodb-strict-mode": 0}  # a table may be as wide as the longest of its rows
        options += [f"--{name}={value}" for name, value in settings.items()]
        command = [str(programs / "mariadbd"), *options]
        with _listening(command, home, account, log, "ready for connections") as port:
            yield f"mariadb+pymysql://carboy:{password}@127.0.0.1:{port}/test?ssl_disabled=true"


def _install_db(programs: Path) -> Path:
    """The program that makes an empty data folder: not always beside the server."""
    name = "mariadb-install-db"
    folders = [programs, *(programs.parent / other for other in ("bin", "scripts"))]
    found = [folder / name for folder in folders if os.access(folder / name, os.X_OK)]
    if not found:
        raise ServerMissing(f"{programs / 'mariadbd'} is there, but no {name}: install it as well")
    return found[0]


@contextmanager
def _run_redis(programs: Path, durable: bool) -> Iterator[str]:
    account = account_for("redis")
    with temporary_folder("carboy-redis-", account) as home:
        password = secrets.token_hex(16)
        settings = {"bind": "127.0.0.1", "requirepass": password, "dir": home}
        settings |= {"save": '""', "appendonly": "yes" if durable else "no"}
        settings |= {"appendfsync": "always", "logfile": home / "log"}
        # On its standard input, where no list of processes shows the password.
        said = "".join(f"{name} {value}\n" for name, value in settings.items())
        command = [str(programs / "redis-server"), "-"]
        ready = "Ready to accept connections"
        with _listening(command, home, account, home / "log", ready, said) as port:
            yield f"redis://:{password}@127.0.0.1:{port}/0"


@contextmanager
def _listening(
    command: Sequence[str], home: Path, account: str | None, log: Path, ready: str, said: str = ""
) -> Iterator[int]:
    """A server on a free port, once its log says that it is ready; yields the port.

    Somebody may take the port before the server does; then it is another, a few times.
    """
    for left in reversed(range(_TRIES)):
        port = free_port()
        with started([*command, "--port", str(port)], home, account, said) as server:
            try:
                _await_log(server, log, ready)
            except ServerEnded:
                if left:
                    continue
                raise
            yield port
            return


@contextmanager
def started(
    command: Sequence[str], home: Path, account: str | None, said: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """A server in the foreground, told ``said``, and killed at the end of the block."""
    with subprocess.Popen(
        command,
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        user=account,
        group=_group(account) if account else None,
        extra_groups=[] if account else None,
    ) as server:
        assert server.stdin
        server.stdin.write(said)
        server.stdin.close()
        try:
            yield server
        finally:
            server.kill()


def await_listening(server: subprocess.Popen[str], port: int, log: Path) -> None:
    """Wait until a server listens; RuntimeError with its log where it doesn't."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    _await(server, listens, log)


def _await_log(server: subprocess.Popen[str], log: Path, ready: str) -> None:
    """The same by what its log says: on its port somebody else may listen."""
    _await(server, lambda: ready in _said(log), log)


def _await(server: subprocess.Popen[str], seen: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + TIMEOUT
    while not seen():
        if server.poll() is not None:
            status = f"ended with status {server.returncode} before it was ready"
            raise ServerEnded(f"{server.args!r} {status}:\n{_said(log)}")
        if time.monotonic() > end:
            raise RuntimeError(f"{server.args!r} wasn't ready after {TIMEOUT} s:\n{_said(log)}")
        time.sleep(0.02)


def _said(log: Path) -> str:
    return log.read_text(errors="replace").strip() if log.exists() else ""


def account_for(preferred: str) -> str | None:
    """The account to run a server as: none but one's own, unless that is root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return preferred if preferred in names else "nobody"


def _group(account: str) -> int:
    return pwd.getpwnam(account).pw_gid


@contextmanager
def temporary_folder(
    prefix: str, account: str | None, *, within: Path | None = None
) -> Iterator[Path]:
    """A temporary folder that belongs to the account and goes with the block."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=within, ignore_cleanup_errors=True) as name:
        if account:
            shutil.chown(name, account, _group(account))
        yield Path(name)


def _memory() -> Path | None:
    """The folder of files in memory, where there is one with enough room."""
    shared = Path("/dev/shm")  # noqa: S108  each server's folder in it has a name of its own
    roomy = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > _ROOM
    return shared if roomy else None


def run_to_end(command: Sequence[str], home: Path, account: str | None) -> None:
    """Run a program to its end; RuntimeError with what it and the server's log said if it fails."""
    # Into a file, for a server that stays behind would hold a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        try:
            subprocess.run(
                command,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT,
                check=True,
                user=account,
                group=_group(account) if account else None,
                extra_groups=[] if account else None,
            )
        except subprocess.SubprocessError as error:
            output.seek(0)
            raise RuntimeError(f"{error}\n{output.read()}{_said(home / 'log')}") from None


# Below those that the kernel gives to whoever asks for any, of which one might be taken before a
# server listens; and from anywhere on, for several processes look for ports at a time.
_PORTS = range(10_000, 32_000)
_ports = itertools.islice(itertools.cycle(_PORTS), secrets.randbelow(len(_PORTS)), None)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that this process hasn't had for long."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a cycle has no end")


def _utf8_locale() -> str:
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    return "C.UTF-8"


SERVERS = {
    "postgresql": Server(
        title="PostgreSQL",
        programs=("initdb", "pg_ctl", "postgres"),
        folders=(
            "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
            "/usr/pgsql-*/bin",  # the PostgreSQL project's own packages for Fedora and its kin
            "/opt/homebrew/opt/postgresql@*/bin",
            "/usr/local/opt/postgresql@*/bin",
            "/Applications/Postgres.app/Contents/Versions/*/bin",
        ),
        debian="postgresql",
        fedora="postgresql-server",
        macos="postgresql@17",
        run=_run_postgresql,
    ),
    "mariadb": Server(
        title="MariaDB",
        programs=("mariadbd",),
        folders=(
            "/usr/sbin",  # Debian, Ubuntu
            "/usr/libexec",  # Fedora and its kin
            "/opt/homebrew/opt/mariadb*/bin",
            "/usr/local/opt/mariadb*/bin",
        ),
        debian="mariadb-server",
        fedora="mariadb-server",
        macos="mariadb",
        run=_run_mariadb,
    ),
    "redis": Server(
        title="Redis",
        programs=("redis-server",),
        folders=("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"),
        debian="redis-server",
        fedora="redis",
        macos="redis",
        run=_run_redis,
    ),
}


# --- watching over it ---


def _durably(name: str, durable: bool) -> AbstractContextManager[str]:
    find_or_install(SERVERS[name])
    arguments = [name, "--until-eof", *(["--durable"] if durable else [])]
    return watched(SERVERS[name].title, ["tools.servers", *arguments])


@contextmanager
def watched(title: str, module: Sequence[str], **environment: str) -> Iterator[str]:
    """A module that runs a server, as a process; its first line, which is the server's URL."""
    command = [sys.executable, "-m", *module]
    # The watcher sees its standard input end when this process ends, killed or not. Its own
    # session keeps a Ctrl-C on the terminal from it, which is for this process to act on.
    watcher = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **environment},
        start_new_session=True,
    )
    with watcher:
        assert watcher.stdout
        assert watcher.stderr
        url = watcher.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"{title} didn't start: {watcher.stderr.read()}")
        try:
            yield url
        finally:
            watcher.communicate()


def leave(*_: object) -> None:
    """Unwind the blocks that stop the server, and let no second signal disturb that."""
    for number in LEAVING:
        signal.signal(number, signal.SIG_IGN)
    sys.exit()


def main() -> None:
    """Run one server, print its URL, and stop it on SIGTERM, Ctrl-C or the end of the input."""
    parser = argparse.ArgumentParser(prog="python -m tools.servers", description=main.__doc__)
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("--durable", action="store_true", help="wait for the disk at each commit")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    arguments = parser.parse_args()
    server = SERVERS[arguments.server]
    serve(lambda: server.run(find_or_install(server), arguments.durable), arguments.until_eof)


def serve(run: Callable[[], AbstractContextManager[str]], until_eof: bool) -> None:
    """Run a server, print its URL, and stop it on a signal, or at the end of the input."""
    for number in LEAVING:
        signal.signal(number, leave)
    try:
        with run() as url:
            print(url, flush=True)
            if until_eof:
                sys.stdin.read()
            else:
                signal.pause()
    except (ServerMissing, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
