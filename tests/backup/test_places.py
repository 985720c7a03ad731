"""Where backups are kept: folders and places of fsspec; which are listed, and which deleted."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from carboy.ops.backup import (
    BackupError,
    create_backup,
    list_backups,
    prune_backups,
    restore_backup,
    verify_backup,
)
from carboy.ops.backup.store import shown, store_at

from .sources import contents, run


@pytest.fixture
def empty_url(tmp_path: Path) -> str:
    """The place is what matters here, so SQLite is enough."""
    return f"sqlite:///{tmp_path / 'shop.sqlite'}"


@pytest.fixture(params=["folder", "file", "dir", "memory"])
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder, its URL, and two filesystems of fsspec; nothing is left of the latter's."""
    path = tmp_path / "kept" / "here"
    if request.param != "memory":
        yield {"folder": str(path), "file": f"file://{path}", "dir": f"dir::file://{path}"}[
            request.param
        ]
        return
    from fsspec.implementations.memory import MemoryFileSystem

    yield f"memory://{tmp_path.name}/kept"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_every_place_does_the_same(
    source: str, url: sa.URL, any_place: str, tmp_path: Path
) -> None:
    """Made, listed, verified, restored and deleted."""
    assert list_backups(any_place) == []
    names = [create_backup(url, any_place) for _ in range(3)]
    assert {b.name for b in list_backups(any_place)} == set(names)
    verify_backup(url, any_place, names[0])
    other = url.set(database=str(tmp_path / "other.sqlite"))
    restore_backup(other, any_place, names[1])
    assert contents(f"sqlite:///{tmp_path / 'other.sqlite'}") == contents(source)
    deleted = prune_backups(any_place, "shop", 1)
    left = {b.name: b.state for b in list_backups(any_place)}
    assert set(deleted) | set(left) == set(names)
    assert left.pop(names[0]) == "verified"
    assert len(left) <= 1
    # Put by writing anew: an earlier verification doesn't stand in the way of another.
    verify_backup(url, any_place, names[0])


def test_what_has_no_manifest_is_no_backup(url: sa.URL, any_place: str) -> None:
    """Whatever breaks off leaves nothing that is listed, or that could be restored."""
    store = store_at(any_place)
    name = "shop-20200101T000000Z-0a1b2c"
    with suppress(KeyboardInterrupt), store.writing(name) as create:
        with create("database.sqlite.gz") as output:
            output.write(b"half")
        raise KeyboardInterrupt
    assert store.names() == []
    # As where the process is killed.
    unfinished = store.writing(name)
    with unfinished.__enter__()("database.sqlite.gz") as output:
        output.write(b"half")
    assert store.names() == [name]
    assert list_backups(any_place) == []
    with pytest.raises(BackupError, match="has no manifest: it was interrupted"):
        verify_backup(url, any_place, name)
    assert prune_backups(any_place, "shop", 1) == []
    assert store.names() == []


def test_a_backup_that_is_being_made_is_not_deleted(url: sa.URL, place: str) -> None:
    """What has no manifest yet is left alone for two days."""
    name = f"shop-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-0a1b2c"
    unfinished = store_at(place).writing(name)
    unfinished.__enter__()
    prune_backups(place, "shop", 1)
    assert store_at(place).names() == [name]


def test_the_last_verified_backup_is_never_deleted(url: sa.URL, place: str) -> None:
    """However many newer ones there are, and however few are to be kept; 0 keeps all."""
    backups = [rename(place, create_backup(url, place), hour) for hour in range(5)]
    for name in backups[:2]:
        verify_backup(url, place, name)
    assert prune_backups(place, "shop", 0) == []
    assert prune_backups(place, "other", 1) == []
    assert sorted(prune_backups(place, "shop", 2)) == [backups[0], backups[2]]
    assert [b.name for b in list_backups(place)] == [backups[4], backups[3], backups[1]]
    (Path(place) / backups[4] / "manifest.json").write_text("{}")
    prune_backups(place, "shop", 1)
    assert [b.state for b in list_backups(place)] == ["damaged", "unverified", "verified"]


def rename(place: str, name: str, hour: int) -> str:
    """Make a backup one of another hour."""
    from msgspec.structs import replace

    from carboy.ops.backup.manifest import Manifest, seal, unseal

    at = dt.datetime(2026, 1, 1, hour, tzinfo=dt.UTC)
    other = f"shop-{at:%Y%m%dT%H%M%SZ}-{name[-6:]}"
    folder = (Path(place) / name).rename(Path(place) / other)
    manifest = unseal((folder / "manifest.json").read_bytes(), Manifest, "")
    (folder / "manifest.json").write_bytes(seal(replace(manifest, name=other, at=at)))
    return other


def test_only_names_of_the_listing_are_opened(url: sa.URL, place: str, tmp_path: Path) -> None:
    """A name is never a path."""
    name = create_backup(url, place)
    (Path(place) / name).rename(tmp_path / name)
    for wrong in (f"../{name}", str(tmp_path / name), "", ".", "..", name):
        with pytest.raises(BackupError, match="there is no backup"):
            restore_backup(url, place, wrong, force=True)


def test_backups_are_for_their_owner_alone(url: sa.URL, place: str) -> None:
    """They hold all that the database does."""
    name = create_backup(url, place)
    assert (Path(place) / name).stat().st_mode & 0o777 == 0o700


def test_a_damaged_database_is_no_backup(source: str, url: sa.URL, place: str) -> None:
    """A file whose pages contradict each other is told so before anybody relies on a copy."""
    path = Path(url.database or "")
    run(source, "VACUUM")
    data = bytearray(path.read_bytes())
    data[4096:8192] = os.urandom(4096)
    path.write_bytes(data)
    with pytest.raises(BackupError, match=r"damaged|malformed|disk image"):
        create_backup(url, place)
    assert list_backups(place) == []


def test_places_are_shown_without_passwords() -> None:
    """Nor with what a query may hold."""
    assert shown("sftp://me:secret@host/x?key=abc") == "sftp://***@host/x"
    assert shown("/var/backups") == "/var/backups"
    with pytest.raises(BackupError, match="nowhere") as caught:
        store_at("nowhere://me:secret@host/x")
    assert "secret" not in str(caught.value)
