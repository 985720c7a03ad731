"""``carboy keys`` as people run it, beside a running server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import sqlalchemy as sa

from tests.acceptance.test_serve import START_SECONDS, carboy, serving


@pytest.fixture
def target(database_url: str) -> str:
    """A database with one table."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE item (id integer PRIMARY KEY, name text)")
    engine.dispose()
    return database_url


def status(url: str, token: str) -> int:
    """The status that a request with a key is answered with."""
    request = Request(url, headers={"X-API-Key": token})  # noqa: S310  http://
    try:
        with urlopen(request, timeout=START_SECONDS) as answer:  # noqa: S310  http://
            code: int = answer.status
            return code
    except HTTPError as error:
        error.close()
        return error.code


# What the commands call is asked on every database in tests/integration/test_api_keys.py.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_key_is_made_used_listed_and_revoked(target: str) -> None:
    """While two processes serve the database, each command takes effect at once."""
    assert carboy("keys", "list", target).stdout.split()[0] == "PREFIX"
    with serving(target, "--writable", "--workers", "2") as server:
        made = carboy(
            "keys", "create", target, "--name", "reports", "--role", "reader", "--expires", "30d"
        )
        assert made.returncode == 0, made.stderr
        token = made.stdout.strip()
        assert re.fullmatch(r"carboy_[0-9a-f]{12}_[\w-]{43}", token)
        url = f"{server.url}/api/item"
        assert [status(url, token) for _ in range(6)] == [200] * 6
        assert status(url, f"{token[:-1]}!") == 401
        key = json.loads(carboy("keys", "list", target, "--json").stdout)["keys"][0]
        assert (key["name"], key["id"], key["roles"]) == ("reports", "reports", ["reader"])
        assert key["status"] == "active"
        assert key["last_used_at"] is not None
        assert token[20:] not in carboy("keys", "list", target).stdout
        # Keys are never served, even where all tables are.
        assert "carboy_api_keys" not in server.get("/api")
        ended = carboy("keys", "revoke", target, key["prefix"])
        assert ended.stdout == f"Revoked {key['prefix']}.\n"
        assert [status(url, token) for _ in range(6)] == [401] * 6
        assert server.stop() == 0
        assert token[20:] not in "".join(server.said)


def test_an_applications_keys_are_in_its_own_database(tmp_path: Path) -> None:
    """MODULE:APP stands for the database that the application gave to Carboy."""
    (tmp_path / "app.py").write_text(
        "import sqlalchemy as sa\nfrom carboy import Carboy\nfrom flask import Flask\n"
        "app = Flask(__name__)\nCarboy(app, sa.create_engine('sqlite:///own.sqlite'))\n"
        "bare = Flask('bare')\n"
    )
    made = carboy("keys", "create", "app:app", "--name", "n", "--id", "7", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    listed = carboy("keys", "list", str(tmp_path / "own.sqlite"), "--json")
    assert json.loads(listed.stdout)["keys"][0]["id"] == "7"
    bare = carboy("keys", "list", "app:bare", folder=tmp_path)
    assert bare.returncode == 2
    assert bare.stderr == (
        "carboy: app:bare has no Carboy; it was never given to Carboy(app, db)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "missing.db"), "there is no file missing.db"),
        (("list", "text.db"), "text.db: file is not a database"),
        (("list", "postgresql://me:s3cret@127.0.0.1:1/db"), "Connection refused"),
        (("revoke", "empty.db", "nope"), "there is no API key 'nope'"),
        (("create", "empty.db", "--name", " "), "the name must be 1 to 100 printable characters"),
        (("create", "empty.db", "--name", "n", "--role", ""), "a role must be 1 to 100"),
        (("create", "empty.db", "--name", "n", "--expires", "soon"), "no time such as 12h"),
        (("create", "empty.db", "--name", "n", "--expires", "0d"), "no time such as 12h"),
        (("create", "empty.db"), "Missing option '--name'"),
    ],
)
def test_what_cant_be_done_is_said_with_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """Each fault names what is wrong, without a traceback or a password."""
    (tmp_path / "text.db").write_text("some text that is long enough to be no database " * 20)
    (tmp_path / "empty.db").touch()
    ended = carboy("keys", *arguments, folder=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "s3cret" not in ended.stderr
