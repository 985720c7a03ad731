"""Background jobs as people run them: real processes, killed with -9."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from carboy.cli import main

from .jobs_world import COMMAND, SECONDS, TARGET, World, until


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """On each database."""
    made = World(database_url, tmp_path)
    yield made
    made.engine.dispose()


def address(server: subprocess.Popen[str]) -> str:
    """Where a server says that it listens."""
    assert server.stdout
    for line in server.stdout:
        if "http://" in line:
            return line.split()[-1].rsplit("/api", 1)[0]
    raise AssertionError("the server ended")


def post(url: str) -> Any:
    """A POST without a body, from a page of the server's own."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    with urlopen(Request(url, b"", headers, method="POST"), timeout=SECONDS) as answer:  # noqa: S310
        return json.load(answer)


def get(url: str) -> Any:
    """The JSON at an address."""
    with urlopen(url, timeout=SECONDS) as answer:  # noqa: S310
        return json.load(answer)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_the_server_runs_jobs_itself_and_goes_on_with_them_after_a_kill(world: World) -> None:
    """Killed with -9 in the midst of them, it completes each once after the next start."""
    with world.started("serve", TARGET, "--port", "0") as server:
        url = address(server)
        ids = post(f"{url}/start/12?seconds=0.4")["ids"]
        until(lambda: len(world.effects()) >= 2, "an effect")
    assert len(world.effects()) < 12
    with world.started("serve", TARGET, "--port", "0") as server:
        url = address(server)
        until(lambda: world.states() == {"done": 12}, "all done")
        assert get(f"{url}/api/jobs/{ids[0]}")["state"] == "done"
        server.terminate()
        assert server.wait(SECONDS) == 0
    assert world.effects() == list(range(12))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_runner_that_is_killed_is_replaced_and_ends_with_its_server(world: World) -> None:
    """Nobody has to look after it."""
    with world.started("serve", TARGET, "--port", "0") as server:
        url = address(server)

        def run_one() -> int:
            id_ = post(f"{url}/start/1")["ids"][0]
            until(lambda: get(f"{url}/api/jobs/{id_}")["state"] == "done", "an effect")
            process: int = get(f"{url}/api/jobs/{id_}")["result"]
            return process

        first = run_one()
        os.kill(first, signal.SIGKILL)
        second = run_one()
        assert second not in (first, server.pid)
        server.kill()
        server.wait(SECONDS)
        until(lambda: not is_running(second), "the runner's end")


def is_running(process: int) -> bool:
    """Whether there is such a process, and more of it than its exit code."""
    listed = subprocess.run(
        ["ps", "-o", "state=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()[:1] not in ("", "Z")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_runs_jobs_and_stops_when_it_is_told(world: World) -> None:
    """It completes what it has begun, and leaves the rest."""
    world.queue(40, 0.3)
    with world.started("worker", TARGET, "--threads", "2") as worker:
        until(lambda: len(world.effects()) >= 3, "an effect")
        worker.terminate()
        assert worker.wait(SECONDS) == 0
        assert worker.stdout
        said = worker.stdout.read()
    assert "Running the jobs of tests.acceptance.jobs_app:app, 2 at a time" in said
    states = world.states()
    assert states["done"] == len(world.effects())
    assert states == {"done": states["done"], "queued": 40 - states["done"]}


def test_jobs_are_listed_cancelled_and_queued_again(world: World) -> None:
    """By the ids that the list shows; the database's URL will do."""
    target = world.engine.url.render_as_string(hide_password=False)

    def carboy(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["jobs", *arguments])
        return done.exit_code, done.output

    headings = "ID  NAME  STATE  ATTEMPTS  PROGRESS  CREATED  ERROR\n"
    assert carboy("list", target) == (0, headings)
    first, second = world.queue(2)
    assert carboy("cancel", target, first) == (0, f"Cancelled {first}.\n")
    said = carboy("list", target, "--state", "cancelled", "--json")[1]
    (job,) = json.loads(said)["jobs"]
    assert (job["id"], job["state"], job["arguments"]["number"]) == (first, "cancelled", 0)
    said = carboy("list", target)[1]
    assert {line.split()[0]: line.split()[2] for line in said.splitlines()[1:]} == {
        first: "cancelled",
        second: "queued",
    }
    assert carboy("retry", target, first) == (0, f"Queued {first} again.\n")
    assert world.states() == {"queued": 2}
    assert carboy("retry", target, first) == (
        2,
        f"carboy: the job {first} is neither failed nor dead nor cancelled\n",
    )
    code, said = carboy("cancel", target, "nothing")
    assert (code, said.startswith("carboy: there is no job 'nothing'")) == (2, True)


def test_jobs_are_watched_in_a_terminal(tmp_path: Path) -> None:
    """What changes is shown until Ctrl-C."""
    world = World(f"sqlite:///{tmp_path / 'x.sqlite'}", tmp_path, COLUMNS="200")
    (id_,) = world.queue(1)
    terminal, other = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "jobs", "watch", TARGET],
        cwd=tmp_path,
        env=world.environment | {"TERM": "xterm"},
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
    ) as process:
        os.close(other)
        try:
            said = b""
            while b"1 queued" not in said or id_.encode() not in said:
                said += os.read(terminal, 4096)
            CliRunner().invoke(main, ["jobs", "cancel", str(tmp_path / "x.sqlite"), id_])
            while b"1 cancelled" not in said:
                said += os.read(terminal, 4096)
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            os.close(terminal)
    world.engine.dispose()
