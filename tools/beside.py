"""What stands beside a database or in front of a server, to throw away as in ``tools.servers``.

with postgresql() as primary, replica(primary) as url:   # a streaming replica of it
with pgbouncer(primary) as url:                          # the same database, through PgBouncer
with nginx(site, port):                                  # nginx with a file for its conf.d
"""

from __future__ import annotations

import configparser
import datetime as dt
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tools.servers import (
    SERVERS,
    Programs,
    account_for,
    await_listening,
    find_or_install,
    free_port,
    run_to_end,
    serve,
    started,
    temporary_folder,
    watched,
)

PGBOUNCER_INI = Path(__file__).parents[1] / "deploy" / "pgbouncer" / "pgbouncer.ini"
PGBOUNCER = Programs(
    title="PgBouncer",
    programs=("pgbouncer",),
    folders=("/usr/sbin", "/usr/bin", "/opt/homebrew/bin"),
    debian="pgbouncer",
    fedora="pgbouncer",
    macos="pgbouncer",
)
REPLICA = replace(SERVERS["postgresql"], programs=("pg_basebackup", "pg_ctl", "postgres"))
NGINX = Programs(
    title="nginx",
    programs=("nginx",),
    folders=("/usr/sbin", "/usr/bin", "/opt/homebrew/bin"),
    debian="nginx-light",
    fedora="nginx",
    macos="nginx",
)


def replica(primary: str) -> AbstractContextManager[str]:
    """A streaming replica of a cluster of ``tools.servers``, as the URL of the same database."""
    find_or_install(REPLICA)
    return watched("the replica", ["tools.beside", "replica"], OF=primary)


def pgbouncer(database: str) -> AbstractContextManager[str]:
    """PgBouncer with deploy/pgbouncer/pgbouncer.ini, as the URL of the same database through it."""
    find_or_install(PGBOUNCER)
    return watched(PGBOUNCER.title, ["tools.beside", "pgbouncer"], OF=database)


def nginx(site: str, port: int) -> AbstractContextManager[str]:
    """nginx with the text of a file for its conf.d, which listens on a port of 127.0.0.1.

    The files certificate.pem and key.pem are there, for 127.0.0.1. Yields the folder of its logs.
    """
    find_or_install(NGINX)
    return watched(NGINX.title, ["tools.beside", "nginx", str(port)], OF=site)


@contextmanager
def _run_replica(primary: str) -> Iterator[str]:
    programs, account = find_or_install(REPLICA), account_for("postgres")
    url = urlsplit(primary)
    with temporary_folder("carboy-replica-", account) as home:
        cluster = f"--pgdata={home / 'cluster'}"
        # Not among the arguments, which every account of the machine can read.
        os.environ["PGPASSWORD"] = unquote(url.password or "")
        source = [f"--host={url.hostname}", f"--port={url.port}", f"--username={url.username}"]
        copy = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        run_to_end([str(programs / "pg_basebackup"), cluster, *source, *copy], home, account)
        port = free_port()
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories=''"
        control = str(programs / "pg_ctl")
        start = [f"--log={home / 'log'}", "--wait", f"--options={options} -c fsync=off"]
        try:
            run_to_end([control, "start", cluster, *start], home, account)
            yield _at(primary, port)
        finally:
            if (home / "cluster" / "postmaster.pid").exists():
                run_to_end([control, "stop", cluster, "--mode=immediate"], home, account)


@contextmanager
def _run_pgbouncer(database: str) -> Iterator[str]:
    programs, account = find_or_install(PGBOUNCER), account_for("postgres")
    url, port = urlsplit(database), free_port()
    with temporary_folder("carboy-pgbouncer-", account) as home:
        ini = configparser.ConfigParser(interpolation=None)
        ini.read(PGBOUNCER_INI)
        ini["databases"] = {"*": f"host={url.hostname} port={url.port}"}
        own = {
            "listen_port": str(port),
            "auth_file": str(home / "users"),
            "logfile": str(home / "log"),
            "pidfile": str(home / "pid"),
            "unix_socket_dir": "",
        }
        ini["pgbouncer"].update(own)
        for name in ("users", "ini"):
            (home / name).touch(mode=0o644)
        (home / "users").write_text(f'"{url.username}" "{unquote(url.password or "")}"\n')
        with (home / "ini").open("w") as file:
            ini.write(file)
        command = [str(programs / "pgbouncer"), "--quiet", str(home / "ini")]
        with started(command, home, account) as server:
            await_listening(server, port, home / "log")
            yield _at(database, port)


@contextmanager
def _run_nginx(site: str) -> Iterator[str]:
    program, account = find_or_install(NGINX) / "nginx", account_for("www-data")
    port = int(sys.argv[2])
    with temporary_folder("carboy-nginx-", account) as home:
        _write_certificate(home)
        (home / "site.conf").write_text(site)
        (home / "nginx.conf").write_text(_NGINX_CONF)
        for file in home.iterdir():
            file.chmod(0o644)
        arguments = ["-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")]
        # One process, which ends whole where it is killed.
        with started([str(program), *arguments], home, account) as server:
            await_listening(server, port, home / "error.log")
            yield str(home)


_NGINX_CONF = """
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}
"""


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(private)


def _at(database: str, port: int) -> str:
    """The URL of the same database, at another port of 127.0.0.1."""
    url = urlsplit(database)
    user = url.netloc.rpartition("@")[0]
    return url._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()


RUN: dict[str, Callable[[str], AbstractContextManager[str]]] = {
    "replica": _run_replica,
    "pgbouncer": _run_pgbouncer,
    "nginx": _run_nginx,
}

if __name__ == "__main__":
    serve(lambda: RUN[sys.argv[1]](os.environ["OF"]), until_eof=True)
