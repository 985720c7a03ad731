"""The files of deploy/ agree with Carboy, with each other, and with the page about them."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import make_url

from carboy.cli import main
from carboy.serve.server import _STOP_SECONDS
from carboy.settings import TABLE
from tools.servers import Programs, find_or_install

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
PAGE = ROOT / "docs" / "how-to" / "deploy.md"
SYSTEMD = Programs(
    title="systemd-analyze",
    programs=("systemd-analyze",),
    folders=("/usr/bin", "/bin"),
    debian="systemd",
    fedora="systemd",
    macos="(there is no systemd)",
)


def lines(path: Path, name: str) -> list[str]:
    """The values of a unit's setting, or of a Dockerfile's instruction."""
    separator = "=" if path.parent.name == "systemd" else " "
    text = re.sub(r"\\\n\s*", "", path.read_text())
    return re.findall(rf"^\s*{name}{separator}(.*)$", text, re.MULTILINE)


def compose() -> dict[str, Any]:
    """compose.yaml, with its anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


def commands() -> Iterator[list[str]]:
    """Every command that a file starts, as words."""
    for unit in SERVICES:
        for line in lines(unit, "ExecStart"):
            yield shlex.split(line.replace("%i", "8001"))
    yield json.loads(lines(DEPLOY / "Dockerfile", "CMD")[-1])
    for service in compose()["services"].values():
        if "command" in service:
            yield service["command"]
    shown = page_blocks().replace("\\\n", " ")
    yield from map(shlex.split, re.findall(r"(?:^|bin/)(carboy [a-z].*)$", shown, re.MULTILINE))


def page_blocks() -> str:
    """What the page shows as code."""
    return "\n".join(re.findall(r"^```\w+\n(.*?)^```$", PAGE.read_text(), re.M | re.S))


@pytest.mark.parametrize(
    "command", [c for c in commands() if Path(c[0]).name == "carboy"], ids=" ".join
)
def test_commands_exist_with_their_options(command: list[str]) -> None:
    """What units, containers and the page start is a command of carboy's, with these options."""
    ended = CliRunner().invoke(main, [*command[1:], "--help"])
    assert ended.exit_code == 0, ended.output


def test_files_start_the_server_the_worker_and_the_backup() -> None:
    """The test above has seen each of them."""
    started = [(Path(c[0]).name, c[1]) for c in commands()]
    assert {("carboy", name) for name in ("serve", "worker", "backup")} <= set(started)
    assert ("flask", "--app") in started
    assert ("redis-server", "--appendonly") in started


@pytest.mark.parametrize("file", ["carboy.env", "compose.yaml"])
def test_settings_exist(file: str) -> None:
    """Each setting that a file names, in a comment too, is one of Carboy's."""
    named = set(re.findall(r"\bCARBOY_[A-Z_]+\b", (DEPLOY / file).read_text()))
    assert len(named) >= 4
    assert named <= {row.name for row in TABLE}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as systemd reads them, with a program that is there in the place of carboy."""
    for unit in UNITS:
        text = unit.read_text()
        for program in ("/srv/carboy/.venv/bin/carboy", "/usr/bin/curl"):
            text = text.replace(program, shutil.which("true") or "")
        # A template is checked as one of its instances.
        (tmp_path / unit.name.replace("@.", "@8001.")).write_text(text)
    return tmp_path


def analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze over the units of a folder."""
    program = find_or_install(SYSTEMD) / "systemd-analyze"
    return subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_systemd_finds_no_fault_in_the_units(installed: Path) -> None:
    """systemd-analyze verify says nothing of the units; of an unknown setting it would."""
    names = [f"./{unit.name}" for unit in installed.iterdir()]
    checked = analyze("verify", *names, folder=installed)
    assert (checked.returncode, checked.stderr) == (0, "")
    unit = installed / "carboy-worker.service"
    unit.write_text(unit.read_text().replace("PrivateTmp=", "PrivateTemp="))
    assert "'PrivateTemp'" in analyze("verify", *names, folder=installed).stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_services_are_confined(unit: Path, installed: Path) -> None:
    """By systemd's own measure, of which 10 is worst, no service is above 1.5."""
    name = f"./{unit.name.replace('@.', '@8001.')}"
    checked = analyze("security", "--offline=true", "--threshold=15", name, folder=installed)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    stricter = analyze("security", "--offline=true", "--threshold=5", name, folder=installed)
    assert stricter.returncode != 0


def test_services_share_their_places() -> None:
    """One account, one folder, one file of settings, one virtual environment."""
    for name in ("User", "WorkingDirectory", "EnvironmentFile", "StateDirectory"):
        assert len({lines(unit, name)[0] for unit in SERVICES}) == 1, name
    programs = {line.split()[0] for unit in SERVICES for line in lines(unit, "ExecStart")}
    assert programs == {"/srv/carboy/.venv/bin/carboy"}
    for place in ("/srv/carboy/.venv", "/etc/carboy/direct.env", "/var/lib/carboy"):
        assert place in PAGE.read_text()


def test_services_are_given_time_to_finish() -> None:
    """systemd and the container engine wait longer than the server takes at most."""
    (unit,) = (unit for unit in SERVICES if unit.name == "carboy@.service")
    assert int(lines(unit, "TimeoutStopSec")[0]) > _STOP_SECONDS
    for name, service in compose()["services"].items():
        if name.startswith("api"):
            assert int(service["stop_grace_period"].removesuffix("s")) > _STOP_SECONDS


def test_ports_agree() -> None:
    """nginx asks the ports that compose.yaml publishes, and that the page starts units on."""
    asked = re.findall(
        r"^\s*server 127\.0\.0\.1:(\d+)", (DEPLOY / "nginx/carboy.conf").read_text(), re.M
    )
    published = [s["ports"] for s in compose()["services"].values() if "ports" in s]
    assert [f"127.0.0.1:{port}:8000" for port in asked] == [p for ports in published for p in ports]
    assert all(f"carboy@{port}" in page_blocks() for port in asked)
    ini = configparser.ConfigParser()
    ini.read(DEPLOY / "pgbouncer" / "pgbouncer.ini")
    (url,) = re.findall(r"^DATABASE_URL=(.*)$", (DEPLOY / "carboy.env").read_text(), re.M)
    assert make_url(url).port == ini.getint("pgbouncer", "listen_port")
    assert make_url(url).database in ini["databases"]


def test_the_image_copies_what_is_there_and_runs_as_nobody_special() -> None:
    """COPY's sources are files of the project that .dockerignore lets in; the user isn't root."""
    dockerfile, ignored = DEPLOY / "Dockerfile", (ROOT / ".dockerignore").read_text().splitlines()
    sources = [
        source
        for line in lines(dockerfile, "COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    ]
    assert "requirements/deploy.lock" in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    assert ignored[1] == "*"
    users = lines(dockerfile, "USER")
    assert users == ["carboy"]
    assert any("useradd" in line and line.endswith(" carboy") for line in lines(dockerfile, "RUN"))


def test_compose_services_fit_together() -> None:
    """What a service waits for is there, and is healthy or ends; what it mounts is declared."""
    found = compose()
    services = found["services"]
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            condition = wait["condition"]
            if condition == "service_healthy":
                assert "test" in services[other]["healthcheck"], f"{name} waits for {other}"
            else:
                assert services[other]["restart"] == "no", f"{name} waits for {other}"
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in found["volumes"]
        assert "logging" in service, name
        if "build" in service:
            context = DEPLOY / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_the_lock_holds_what_every_extra_needs() -> None:
    """The image's versions are those that are tested."""

    def versions(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / f"{name}.lock").read_text()
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.M))

    image, tested = versions("deploy"), versions("dev")
    assert {"celery", "redis", "limits", "granian", "psycopg", "flask-migrate"} <= set(image)
    assert image.items() <= tested.items()


def test_the_page_names_every_file() -> None:
    """Whoever follows it meets each of them."""
    files = [f for f in DEPLOY.rglob("*") if f.is_file()]
    assert [f.name for f in files if f.name not in PAGE.read_text()] == []
