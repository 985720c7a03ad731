"""A disk that is full leaves the last good backup, and the database, as they are."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from carboy.ops.backup import create_backup, list_backups, verify_backup

from .sources import carboy, contents, run
from .test_restore import CARBOY, ROOT

SIZE = 96 * 1024
"""Bytes of the disk: room for one backup of a filled database, and no more."""

# On a disk, and under a limit: the system's, and SQLite's for its copy.
REASONS = ("No space left on device", "File too large", "disk I/O error")
BIG = {
    "sqlite": "CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
    "WHERE i < 40000) SELECT hex(randomblob(8)) t FROM n",
    "postgresql": "CREATE TABLE big AS SELECT md5(i::text) t FROM generate_series(1, 20000) i",
    "mariadb": "CREATE TABLE big AS SELECT MD5(seq) t FROM seq_1_to_20000",
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path | None]:
    """A folder that is a small disk; None where this process may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={SIZE}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def limit() -> None:
    """In a child, where no disk can be mounted: no file may be larger."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, SIZE // 2))


def limited_carboy(*arguments: str) -> tuple[int, str]:
    """As ``carboy``, in a process that may write no large files."""
    done = subprocess.run(
        [*CARBOY, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_full_disk_leaves_the_last_good_backup(
    source: str, url: sa.URL, disk: Path | None, tmp_path: Path
) -> None:
    """The one that doesn't fit fails with the reason, leaves nothing, and deletes nothing."""
    folder = disk or tmp_path / "limited"
    name = create_backup(url, str(folder))
    verify_backup(url, str(folder), name)
    files = {path: path.read_bytes() for path in (folder / name).iterdir()}
    run(source, BIG[url.get_backend_name()])
    command = carboy if disk else limited_carboy
    code, said = command("backup", source, "--to", str(folder), "--keep", "1")
    assert code == 2
    assert any(reason in said for reason in REASONS), said
    assert list(folder.iterdir()) == [folder / name]
    assert {path: path.read_bytes() for path in (folder / name).iterdir()} == files
    assert [(b.name, b.state) for b in list_backups(str(folder))] == [(name, "verified")]


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_a_restore_onto_a_full_disk_changes_nothing(
    source: str, url: sa.URL, place: str, disk: Path | None, tmp_path: Path
) -> None:
    """The file that was there is there, and it is whole."""
    run(source, BIG["sqlite"])
    name = create_backup(url, place)
    target = (disk or tmp_path / "limited") / "shop.sqlite"
    target.parent.mkdir(exist_ok=True)
    run(f"sqlite:///{target}", "CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (7)")
    before, files = contents(f"sqlite:///{target}"), list(target.parent.iterdir())
    command = carboy if disk else limited_carboy
    code, said = command("restore", str(target), name, "--from", place, "--force")
    assert code == 2
    assert any(reason in said for reason in REASONS), said
    assert (contents(f"sqlite:///{target}"), list(target.parent.iterdir())) == (before, files)
