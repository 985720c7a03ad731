"""``carboy backup`` and ``carboy restore`` as people run them."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from carboy.ops.backup import BackupError, create_backup, restore_backup, verify_backup
from carboy.ops.backup.programs import found

from .sources import carboy, connected, contents, fill, number, run
from .test_restore import CARBOY, ROOT

PROGRAMS = {"postgresql": ("pg_dump", "pg_restore"), "mariadb": ("mariadb-dump", "mariadb")}


def test_from_a_backup_to_its_restore(source: str, url: sa.URL, place: str) -> None:
    """TARGET alone makes and verifies one; the newest is the one that is restored."""
    before = contents(source)
    said = carboy("backup", source, CARBOY_BACKUP_URL=place)
    name = said[1].splitlines()[0].removeprefix("Made ").removesuffix(".")
    assert said == (0, f"Made {name}.\nVerified it.\n")
    said = carboy("backup", "list", source, "--from", place, "--json")
    (listed,) = json.loads(said[1])["backups"]
    tables = before.tables.values()
    assert listed["name"] == name
    assert (listed["state"], listed["rows"]) == ("verified", sum(t.rows for t in tables))
    code, said_ = carboy("restore", source, "--from", place)
    assert code == 2
    assert said_.endswith("isn't empty; --force replaces all that is in it\n")
    run(source, "DELETE FROM visits")
    assert carboy("restore", source, "--from", place, "--force")[0] == 0
    assert contents(source) == before


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_steps_of_their_own(source: str, url: sa.URL, place: str, tmp_path: Path) -> None:
    """create, verify and list one by one; old ones go; messages say what to do."""
    options = {"CARBOY_BACKUP_URL": place, "DATABASE_URL": source}
    code, said = carboy("backup", "--no-verify", **options)
    first = said.split()[1].rstrip(".")
    assert (code, said.splitlines()[1]) == (
        0, "It counts once carboy backup verify has restored it.",
    )  # fmt: skip
    code, said = carboy("restore", str(tmp_path / "new.sqlite"), **options)
    assert (code, "there is no verified backup of 'new'" in said) == (2, True)
    assert f"{first}  unverified" in carboy("backup", "list", **options)[1]
    assert carboy("backup", "verify", **options)[1] == f"Verified {first}: 9 tables, 513 rows.\n"
    said = carboy("restore", str(tmp_path / "new.sqlite"), first, **options)[1]
    assert said.startswith(f"Restored {first}, of 20")
    assert number(f"sqlite:///{tmp_path / 'new.sqlite'}", "SELECT count(*) FROM people") == 503
    assert f"Deleted {first}." in carboy("backup", "create", source, "--keep", "1", **options)[1]
    said = carboy("backup", source)[1]
    assert "set CARBOY_BACKUP_URL, or give --to" in said
    said = carboy("backup", str(tmp_path / "none.sqlite"), "--to", place)[1]
    assert "none.sqlite" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_an_application_is_backed_up_by_its_settings(
    source: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its database, its CARBOY_BACKUP_URL and CARBOY_BACKUP_KEEP."""
    (tmp_path / "shop.py").write_text(
        "import sqlalchemy as sa\nfrom carboy import Carboy\nfrom flask import Flask\n"
        f"app = Flask('shop')\napp.config['CARBOY_BACKUP_URL'] = {place!r}\n"
        f"Carboy(app, sa.create_engine({source!r}))\n"
    )
    monkeypatch.chdir(tmp_path)
    assert carboy("backup", "shop:app")[1].endswith("Verified it.\n")
    assert carboy("restore", "shop:app", "--force")[0] == 0


@pytest.mark.parametrize("empty_url", ["postgresql", "mariadb"], indirect=True)
def test_no_password_is_on_a_command_line(
    source: str, url: sa.URL, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each program is called through a script that notes how, and then runs it."""
    noted, folder = tmp_path / "noted", tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS[url.get_backend_name()]:
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "$0 $*" >> {noted}\nexec {shutil.which(name)} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert carboy("backup", source, "--to", place)[0] == 0
    assert carboy("restore", source, "--from", place, "--force")[0] == 0
    calls = noted.read_text()
    assert all(f"{folder / name} --" in calls for name in PROGRAMS[url.get_backend_name()])
    assert str(url.database) in calls
    assert str(url.password) not in calls


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_a_terminal_shows_progress(source: str, place: str) -> None:
    """Elsewhere nothing but the result is printed."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm"}
    done = subprocess.run(
        [*CARBOY, "backup", source, "--to", place],
        env=environment,
        stderr=follower,
        stdout=subprocess.PIPE,
        check=True,
    )
    os.close(follower)
    shown = ""
    with suppress(OSError):  # Linux's way to say that nobody writes any more.
        while data := os.read(leader, 100_000):
            shown += data.decode(errors="replace")
    os.close(leader)
    assert "Dumping" in shown
    assert "Restoring" in shown
    assert b"Dumping" not in done.stdout


def test_programs_are_as_new_as_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest that is new enough is taken; else the message says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(BackupError, match=r"pg_dump isn't there; install postgresql-client-16"):
        found(["pg_dump"], "nowhere", 16, "postgresql-client-{version}")
    for version in (15, 17, 18):
        program = tmp_path / str(version) / "bin" / "pg_dump"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}.2 (Debian)'\n")
        program.chmod(0o755)
    folders = f"{str(tmp_path)[1:]}/*/bin"
    assert found(["pg_dump"], folders, 16, "")[1] == "17.2"
    with pytest.raises(BackupError, match=r"of version 18\.2, and the server of 19: .* install 19"):
        found(["pg_dump"], folders, 19, "{version}")


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
def test_a_role_that_owns_the_database_needs_createdb(
    empty_url: str, place: str, tmp_path: Path
) -> None:
    """And no more than that: neither to back up, nor to verify, nor to restore."""
    url = sa.make_url(empty_url)
    role = f"{url.database}_owner"
    run(
        empty_url,
        f"CREATE ROLE {role} LOGIN PASSWORD 'p%20''w'",
        f"ALTER DATABASE {url.database} OWNER TO {role}",
    )
    owned = url.set(username=role, password="p%20'w")
    try:
        fill(owned.render_as_string(hide_password=False))
        name = create_backup(owned, place)
        with pytest.raises(BackupError, match=r"ALTER ROLE .* CREATEDB"):
            verify_backup(owned, place, name)
        run(empty_url, f"ALTER ROLE {role} CREATEDB")
        verify_backup(owned, place, name)
        restore_backup(owned, place, name, force=True)
        with connected(empty_url) as connection:
            query = "SELECT tableowner FROM pg_tables WHERE tablename = 'people'"
            assert connection.exec_driver_sql(query).scalar() == role
    finally:
        run(
            empty_url,
            f"ALTER DATABASE {url.database} OWNER TO CURRENT_USER",
            f"DROP OWNED BY {role} CASCADE",
            f"DROP ROLE {role}",
        )


@pytest.mark.parametrize("empty_url", ["mariadb"], indirect=True)
def test_a_user_of_mariadb_needs_what_the_page_says(empty_url: str, place: str) -> None:
    """The rights of docs/how-to/back-up.md are enough, and without RELOAD it is told."""
    url = sa.make_url(empty_url)
    user = f"`{url.database}`@`127.0.0.1`"
    limited = url.set(username=url.database, password='p#"\\ w')
    fill(empty_url)
    run(
        empty_url,
        f"CREATE USER {user} IDENTIFIED BY 'p#\"\\\\ w'",
        f"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON {url.database}.* TO {user}",
        f"GRANT SELECT ON mysql.proc TO {user}",
    )
    try:
        with pytest.raises(BackupError, match=r"RELOAD ON \*\.\*"):
            create_backup(limited, place)
        run(empty_url, f"GRANT RELOAD ON *.* TO {user}")
        name = create_backup(limited, place)
        run(
            empty_url,
            f"GRANT ALL ON {url.database}.* TO {user}",
            f"GRANT ALL ON `carboy\\_%`.* TO {user}",
            f"GRANT SET USER ON *.* TO {user}",
        )
        verify_backup(limited, place, name)
        restore_backup(limited, place, name, force=True)
        assert number(empty_url, "SELECT COUNT(*) FROM people") == 503
    finally:
        run(empty_url, f"DROP USER {user}")
