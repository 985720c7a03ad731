"""A backup that isn't as it was written is refused, wherever the damage is."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from carboy.ops.backup import (
    BackupError,
    archive_backup,
    create_backup,
    list_backups,
    restore_backup,
    verify_backup,
)
from carboy.ops.backup.manifest import File, Manifest, Verified, seal, unseal

from .sources import contents

FLIPS = 100


def flip(path: Path, bit: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_one_flipped_bit_is_found(source: str, url: sa.URL, place: str) -> None:
    """100 times of 100, in any file; neither verify nor restore goes on."""
    name = create_backup(url, place)
    verify_backup(url, place, name)
    folder = Path(place) / name
    files = sorted(folder.iterdir())
    assert {"manifest.json", "verified.json"} < {path.name for path in files}
    before = contents(source)
    chance = random.Random(name)
    for number in range(FLIPS):
        path = files[number % len(files)]
        bit = chance.randrange(path.stat().st_size * 8)
        flip(path, bit)
        with pytest.raises(BackupError, match=rf"{path.name} is damaged"):
            verify_backup(url, place, name)
        with pytest.raises(BackupError, match=rf"{path.name} is damaged"):
            restore_backup(url, place, name, force=True)
        flip(path, bit)
    assert contents(source) == before
    verify_backup(url, place, name)


def test_every_bit_of_a_sealed_file_counts() -> None:
    """Spaces, names, the checksum itself: no bit of a manifest can change unnoticed."""
    value = Verified("ab" * 32, dt.datetime(2020, 1, 2, tzinfo=dt.UTC))
    data = seal(value)
    assert unseal(data, Verified, "it") == value
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BackupError):
            unseal(bytes(changed), Verified, "it")
    for end in range(len(data)):
        with pytest.raises(BackupError):
            unseal(data[:end], Verified, "it")


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_files_that_are_gone_or_mixed_up_are_found(url: sa.URL, place: str) -> None:
    """A file of another backup isn't taken for this one's, however whole it is."""
    one, other = create_backup(url, place), create_backup(url, place)
    verify_backup(url, place, other)
    (Path(place) / one / "verified.json").write_bytes(
        (Path(place) / other / "verified.json").read_bytes()
    )
    assert {b.name: b.state for b in list_backups(place)} == {one: "damaged", other: "verified"}
    with pytest.raises(BackupError, match="is that of another backup"):
        verify_backup(url, place, one)
    (Path(place) / one / "verified.json").unlink()
    (Path(place) / one / "database.sqlite.gz").unlink()
    with pytest.raises(BackupError, match=r"sqlite\.gz is missing"):
        restore_backup(url, place, one, force=True)
    (Path(place) / one / "manifest.json").write_bytes(
        (Path(place) / other / "manifest.json").read_bytes()
    )
    with pytest.raises(BackupError, match="is that of another backup"):
        verify_backup(url, place, one)


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_a_manifest_names_no_files_elsewhere(url: sa.URL, place: str) -> None:
    """However well sealed: what is downloaded or restored is in the backup's own folder."""
    name = create_backup(url, place)
    path = Path(place) / name / "manifest.json"
    manifest = unseal(path.read_bytes(), Manifest, "")
    path.write_bytes(seal(replace(manifest, files={"../../shop.sqlite": File(1, "")})))
    for action in (verify_backup, restore_backup):
        with pytest.raises(BackupError, match="files outside of the backup"):
            action(url, place, name)
    with pytest.raises(BackupError, match="files outside of the backup"):
        archive_backup(place, name)
