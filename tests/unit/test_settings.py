"""Where settings come from, what they may be, and what is refused."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from carboy.settings import (
    PROFILES,
    TABLE,
    SettingError,
    Settings,
    Source,
    outside,
    read_settings,
)

ROWS = "CARBOY_MAX_ROWS"
DIRECT = "CARBOY_DIRECT_READS"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, without settings in the environment."""
    for name in [name for name in os.environ if name.startswith(("CARBOY_", "FLASK_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_set_is_the_defaults() -> None:
    """The table and the type agree on every name and every default."""
    assert read_settings({}) == Settings()
    assert [row.name for row in TABLE] == [
        f"CARBOY_{n.upper()}" for n in Settings.__struct_fields__
    ]


@pytest.mark.parametrize("places", [4, 3, 2, 1, 0])
def test_the_application_wins_over_the_environment_over_dotenv_over_the_default(
    places: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all places that have a value, the first in the order counts."""
    config: dict[str, Any] = {}
    if places >= 1:
        (folder / ".env").write_text(f"{ROWS}=10\n")
    if places >= 2:
        monkeypatch.setenv(ROWS, "20")
    if places >= 3:
        config[ROWS] = 30
    if places >= 4:
        config[ROWS] = None
    expected = {0: 10_000, 1: 10, 2: 20, 3: 30, 4: 20}
    assert read_settings(config, outside()).max_rows == expected[places]


@pytest.mark.parametrize(
    ("config", "environment", "direct", "profile"),
    [
        ({}, {}, True, "production"),
        ({"DEBUG": True}, {}, False, "development"),
        ({"TESTING": True}, {}, False, "testing"),
        ({"TESTING": True, "DEBUG": True}, {}, False, "testing"),
        ({"DEBUG": True}, {"CARBOY_PROFILE": "production"}, True, "production"),
        ({"CARBOY_PROFILE": "testing"}, {"CARBOY_PROFILE": "production"}, False, "testing"),
        ({"CARBOY_PROFILE": ""}, {"CARBOY_PROFILE": "testing"}, True, "production"),
        ({"DEBUG": True, DIRECT: True}, {}, True, "development"),
        ({"DEBUG": True}, {DIRECT: "1"}, True, "development"),
    ],
)
def test_a_profile_stands_between_the_environment_and_the_defaults(
    config: dict[str, Any], environment: dict[str, str], direct: bool, profile: str
) -> None:
    """It is named, or taken from TESTING and DEBUG; what is set anywhere wins over it."""
    found = read_settings(config, (Source("the environment", environment),))
    assert (found.direct_reads, found.profile) == (direct, profile)


def test_profiles_change_settings_that_there_are() -> None:
    """Each value of a profile can be read, and differs from the default."""
    for profile, values in PROFILES.items():
        found = read_settings({"CARBOY_PROFILE": profile})
        for name, value in values.items():
            field = name.removeprefix("CARBOY_").lower()
            assert getattr(found, field) == value != getattr(Settings(), field)


def test_dotenv_is_found_above_and_can_be_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``flask run`` finds it; nothing of it gets into the environment."""
    (folder / ".env").write_text(f"# Settings\nexport {ROWS}='10'\nOTHER=1\nCARBOY_PREFIX\n")
    (folder / "inside").mkdir()
    monkeypatch.chdir(folder / "inside")
    assert read_settings({}, outside()).max_rows == 10
    assert ROWS not in os.environ
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    assert read_settings({}, outside()).max_rows == 10_000


def test_without_python_dotenv_there_is_no_dotenv(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment counts nevertheless."""
    (folder / ".env").write_text(f"{ROWS}=10\nCARBOY_PAGE_SIZE=5")
    monkeypatch.setenv(ROWS, "20")
    monkeypatch.setitem(sys.modules, "dotenv", None)
    found = read_settings({}, outside())
    assert (found.max_rows, found.page_size) == (20, 20)


def test_a_dotenv_that_is_no_text_is_refused(folder: Path) -> None:
    """The message names the file."""
    (folder / ".env").write_bytes(b"\xff\xfeC\x00")
    with pytest.raises(SettingError, match=re.escape(f"{folder / '.env'} can't be read")):
        outside()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CARBOY_MAX_ROW", "CARBOY_MAX_ROWS"),
        ("CARBOY_PAGESIZE", "CARBOY_PAGE_SIZE"),
        ("CARBOY_JWT_SECRET_KEY", "CARBOY_JWT_SECRET"),
        ("CARBOY_X", "CARBOY_"),
    ],
)
@pytest.mark.parametrize("place", ["app.config", "the environment", ".env"])
def test_unknown_names_are_refused_with_the_nearest(
    name: str, nearest: str, place: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they are; their value may be a secret, and isn't told."""
    config = {name: "s3cret"} if place == "app.config" else {}
    if place == "the environment":
        monkeypatch.setenv(name, "s3cret")
    if place == ".env":
        (folder / ".env").write_text(f"{name}=s3cret\n")
    expected = f"{name}, in {place}, is no setting; did you mean {nearest}"
    with pytest.raises(SettingError, match=re.escape(expected)) as caught:
        read_settings(config, outside())
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "CARBOY_SERVICE_HOST",
        "CARBOY_SERVICE_PORT",
        "CARBOY_SERVICE_PORT_HTTP",
        "CARBOY_PORT",
        "CARBOY_PORT_8000_TCP",
        "CARBOY_PORT_8000_TCP_ADDR",
        "CARBOY_API_SERVICE_HOST",
        "CARBOY_API_PORT_53_UDP_PROTO",
    ],
)
def test_what_kubernetes_sets_is_no_setting(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service called carboy doesn't keep its own containers from starting."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:8000")
    assert read_settings({}, outside()) == Settings()
    with pytest.raises(SettingError, match="is no setting"):
        read_settings({name: "tcp://10.0.0.1:8000"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [(v, True) for v in (True, 1, "1", "true", "True", "YES", "on", " 1 ")]
    + [(v, False) for v in (False, 0, "0", "false", "FALSE", "no", "off")],
)
def test_yes_and_no_are_typed(value: object, expected: bool) -> None:
    """What people write for yes and no is a bool."""
    assert read_settings({DIRECT: value}).direct_reads is expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (DIRECT, "maybe", "must be yes or no (true or false, 1 or 0), not 'maybe'"),
        (DIRECT, "", "must be yes or no"),
        (DIRECT, 2, "must be yes or no"),
        (DIRECT, 1.0, "must be yes or no"),
        (ROWS, "many", "must be a whole number, not 'many'"),
        (ROWS, "", "must be a whole number, not ''"),
        (ROWS, 1.5, "must be a whole number, not 1.5"),
        (ROWS, "1.5", "must be a whole number"),
        (ROWS, True, "must be a whole number, not True"),
        (ROWS, [1], "must be a whole number, not [1]"),
        (ROWS, 0, "must be at least 1, not 0"),
        (ROWS, "-1", "must be at least 1, not -1"),
        ("CARBOY_PREFIX", 1, "must be text, not of type int"),
        ("CARBOY_JWT_SECRET", b"s3cret", "must be text, not of type bytes"),
        ("CARBOY_PROFILE", "prod", "must be one of development, testing, production, not 'prod'"),
    ],
)
def test_values_of_the_wrong_type_are_refused(name: str, value: object, message: str) -> None:
    """The message names the setting and what it takes."""
    with pytest.raises(SettingError, match=re.escape(message)) as caught:
        read_settings({name: value})
    assert str(caught.value).startswith(name)
    assert "s3cret" not in str(caught.value)


def test_a_number_is_taken_as_text() -> None:
    """Environments have nothing else."""
    assert read_settings({ROWS: "7"}).max_rows == 7
