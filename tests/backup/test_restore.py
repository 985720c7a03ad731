"""What is backed up comes back, on every database, and nothing comes back by halves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from carboy.ops.backup import (
    BackupError,
    create_backup,
    list_backups,
    restore_backup,
    verify_backup,
)
from carboy.ops.backup.database import database_of

from .sources import connected, contents, fill, number, run

ROOT = Path(__file__).parents[2]
CARBOY = (sys.executable, "-m", "carboy.cli")
_DATABASES = {"postgresql": "SELECT datname FROM pg_database", "mariadb": "SHOW DATABASES"}


def scratch_databases(url: sa.URL) -> set[str]:
    """The databases on the server that Carboy has made."""
    if url.get_backend_name() not in _DATABASES:
        return set()
    with connected(url.render_as_string(hide_password=False)) as connection:
        names = connection.exec_driver_sql(_DATABASES[url.get_backend_name()]).scalars()
        return {name for name in names if name.startswith("carboy_")}


def test_all_that_is_there_comes_back(source: str, url: sa.URL, place: str) -> None:
    """Rows, definitions and sequences: each is as it was, and nothing else is left behind."""
    before, others = contents(source), scratch_databases(url)
    name = create_backup(url, place)
    assert list_backups(place)[0].state == "unverified"
    manifest = verify_backup(url, place, name)
    assert manifest.contents == before
    assert manifest.contents.alembic == ["1a2b3c"]
    assert manifest.contents.tables[next(n for n in before.tables if "people" in n)].rows == 503
    assert list_backups(place)[0].state == "verified"
    run(source, "DELETE FROM visits", "UPDATE people SET weight = 7", "CREATE TABLE late (id int)")
    assert contents(source) != before
    restore_backup(url, place, name, force=True)
    assert contents(source) == before
    assert scratch_databases(url) <= others


def test_what_is_there_is_replaced_only_by_force(source: str, url: sa.URL, place: str) -> None:
    """Without --force the target stays as it is."""
    name = create_backup(url, place)
    run(source, "DELETE FROM visits")
    before = contents(source)
    with pytest.raises(BackupError, match="isn't empty; --force replaces all that is in it"):
        restore_backup(url, place, name)
    assert contents(source) == before


def test_a_database_that_is_gone_comes_back(source: str, url: sa.URL, place: str) -> None:
    """An empty target, or none at all, takes no --force; names may differ."""
    before = contents(source)
    name = create_backup(url, place)
    other = url.set(database=f"{url.database}_2")
    try:
        restore_backup(other, place, name)
        assert contents(other.render_as_string(hide_password=False)) == before
    finally:
        drop(other)


def drop(url: sa.URL) -> None:
    """Drop a database that a test has made."""
    if url.get_backend_name() == "sqlite":
        Path(url.database or "").unlink(missing_ok=True)
        return
    server = url.set(database=str(url.database).removesuffix("_2"))
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {url.database}")
    engine.dispose()


def test_a_backup_of_something_else_is_not_verified(source: str, url: sa.URL, place: str) -> None:
    """A dump that isn't what its manifest says is found by restoring it, and never restored."""
    right = create_backup(url, place)
    run(source, "DELETE FROM visits WHERE id = 1", "UPDATE people SET name = 'x' WHERE id = 7")
    wrong = create_backup(url, place)
    for file in (Path(place) / wrong).iterdir():
        if file.name != "manifest.json":
            file.write_bytes((Path(place) / right / file.name).read_bytes())
    forge(Path(place) / wrong)
    before = contents(source)
    for action in (verify_backup, restore_forced):
        with pytest.raises(BackupError, match=r"isn't what was backed up: .*people has other val"):
            action(url, place, wrong)
    assert contents(source) == before
    assert {b.name: b.state for b in list_backups(place)}[wrong] == "unverified"


def restore_forced(url: sa.URL, place: str, name: str) -> None:
    """As ``carboy restore --force``."""
    restore_backup(url, place, name, force=True)


def forge(folder: Path) -> None:
    """Give a backup the checksums of the files that it has."""
    import hashlib

    from msgspec.structs import replace

    from carboy.ops.backup.manifest import File, Manifest, seal, unseal

    manifest = unseal((folder / "manifest.json").read_bytes(), Manifest, "")
    files = {
        name: File(len(data), hashlib.sha256(data).hexdigest())
        for name, data in ((name, (folder / name).read_bytes()) for name in manifest.files)
    }
    (folder / "manifest.json").write_bytes(seal(replace(manifest, files=files)))


@pytest.mark.parametrize(
    ("empty_url", "filled"), [("postgresql", True), ("mariadb", False)], indirect=["empty_url"]
)
def test_a_restore_that_is_killed_changes_nothing(
    empty_url: str, place: str, tmp_path: Path, filled: bool
) -> None:
    """SIGKILL in the middle of it: what was there is still there, or it is still empty."""
    url = sa.make_url(empty_url)
    fill(empty_url)
    name = create_backup(url, place)
    target = database_of(url)
    if filled:
        run(empty_url, "DELETE FROM visits")
    else:
        empty(url)
    before, others = contents(empty_url), scratch_databases(url)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "carboy.cli",
            "restore",
            empty_url,
            name,
            "--from",
            place,
            "--force",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    wait_for(lambda: scratch_databases(url) > others or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert contents(empty_url) == before
    assert target.is_empty() is not filled
    for left in scratch_databases(url) - others:
        drop_when_idle(url, left)


def empty(url: sa.URL) -> None:
    """Make a database anew."""
    elsewhere = {"postgresql": "postgres", "mariadb": "mysql"}[url.get_backend_name()]
    engine = sa.create_engine(url.set(database=elsewhere), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {url.database}")
        connection.exec_driver_sql(f"CREATE DATABASE {url.database}")
    engine.dispose()


def drop_when_idle(url: sa.URL, name: str) -> None:
    """Drop what a killed restore has left."""
    force = " WITH (FORCE)" if url.get_backend_name() == "postgresql" else ""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{force}")
    engine.dispose()


def wait_for(happens: Callable[[], bool]) -> None:
    """Poll until something is so, for a minute at most."""
    end = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_kinds_are_not_mixed(source: str, url: sa.URL, place: str, tmp_path: Path) -> None:
    """A backup of one kind isn't restored into another."""
    name = create_backup(url, place)
    other = sa.make_url(
        "postgresql://nobody@127.0.0.1:1/x" if "sqlite" in source else f"sqlite:///{tmp_path}/x"
    )
    with pytest.raises(BackupError, match=rf"is of {url.get_backend_name()}, not of"):
        restore_backup(other, place, name)


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_an_sqlite_log_is_replaced_with_its_file(source: str, url: sa.URL, place: str) -> None:
    """A write-ahead log that was left behind isn't played into the restored file."""
    run(source, "PRAGMA journal_mode = WAL")
    name = create_backup(url, place)
    path = Path(url.database or "")
    engine = sa.create_engine(url)
    with engine.connect() as left_open:
        left_open.exec_driver_sql("PRAGMA wal_autocheckpoint = 0")
        left_open.exec_driver_sql("DELETE FROM people")
        left_open.commit()
        assert path.with_name(f"{path.name}-wal").stat().st_size
        restore_backup(url, place, name, force=True)
    engine.dispose()
    assert number(source, "SELECT count(*) FROM people") == 503
    assert [p.name for p in path.parent.iterdir() if p.name.endswith((".old", ".new"))] == []


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
def test_a_database_keeps_its_owner_grants_and_settings(
    source: str, url: sa.URL, place: str
) -> None:
    """What PostgreSQL says of the database itself is the same after a restore."""
    name = url.database
    run(
        source,
        f"DROP ROLE IF EXISTS {name}_r",
        f"CREATE ROLE {name}_r",
        f"ALTER DATABASE {name} OWNER TO {name}_r",
        f"GRANT CREATE ON DATABASE {name} TO pg_monitor WITH GRANT OPTION",
        f'ALTER DATABASE {name} SET search_path = public, "Other"',
        f"ALTER DATABASE {name} SET work_mem = '5MB'",
    )
    query = (
        "SELECT pg_get_userbyid(datdba), datacl::text, setconfig::text FROM pg_database d "
        f"JOIN pg_db_role_setting s ON s.setdatabase = d.oid WHERE datname = '{name}'"
    )
    with connected(source) as connection:
        before = connection.exec_driver_sql(query).one()
    restore_backup(url, place, create_backup(url, place), force=True)
    with connected(source) as connection:
        after = connection.exec_driver_sql(query).one()
    run(source, f"ALTER DATABASE {name} OWNER TO CURRENT_USER", f"DROP ROLE {name}_r")
    assert sorted(after[1].strip("{}").split(",")) == sorted(before[1].strip("{}").split(","))
    assert (after[0], after[2]) == (before[0], before[2])
