"""Admins list and download backups; nobody else does, and no path leads elsewhere."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from carboy import Carboy, SettingError
from carboy.extension import jobs_of
from carboy.jobs.clock import Clock
from carboy.ops.api_keys import create_key
from carboy.ops.backup import create_backup, list_backups, restore_backup, verify_backup

from .sources import contents, fill


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """The URL of a filled SQLite file."""
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    fill(url)
    return url


def client_of(url: str, **config: str) -> tuple[FlaskClient, dict[str, dict[str, str]]]:
    """A client of an application, and the headers of an admin and of a writer."""
    return keyed(*app_of(url, **config))


def app_of(url: str, **config: str) -> tuple[Flask, Carboy, sa.Engine]:
    """An application with a database, and nothing in its API."""
    app = Flask("shop")
    app.config.update(config)
    engine = sa.create_engine(url)
    return app, Carboy(app, engine), engine


def keyed(
    app: Flask, _: Carboy, engine: sa.Engine
) -> tuple[FlaskClient, dict[str, dict[str, str]]]:
    """A client, and the headers of an admin and of a writer."""
    keys = {role: create_key(engine, role, [role]) for role in ("admin", "writer")}
    engine.dispose()
    return app.test_client(), {role: {"X-API-Key": key} for role, key in keys.items()}


def test_a_download_can_be_restored(shop: str, place: str, tmp_path: Path) -> None:
    """It is a tar archive of the backup's folder, and as long as it says."""
    client, keys = client_of(shop, CARBOY_BACKUP_URL=place)
    url = sa.make_url(shop)
    name = create_backup(url, place)
    verify_backup(url, place, name)
    # Requests note when a key was last used.
    before = contents(shop)
    listed = client.get("/admin/backups", headers=keys["admin"])
    assert listed.json == {"backups": [list_backups(place)[0].summary]}
    answer = client.get(f"/admin/backups/{name}", headers=keys["admin"])
    assert (answer.status_code, answer.mimetype) == (200, "application/x-tar")
    assert answer.content_length == len(answer.data)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.tar"'
    with tarfile.open(fileobj=io.BytesIO(answer.data)) as archive:
        archive.extractall(tmp_path / "got", filter="data")
    assert [b.state for b in list_backups(str(tmp_path / "got"))] == ["verified"]
    other = url.set(database=str(tmp_path / "other.sqlite"))
    restore_backup(other, str(tmp_path / "got"), name)
    assert contents(f"sqlite:///{other.database}") == before
    head = client.head(f"/admin/backups/{name}", headers=keys["admin"])
    assert (head.content_length, head.data) == (answer.content_length, b"")


def test_backups_are_for_admins(shop: str, place: str) -> None:
    """Not for writers, nor for anybody; a backup holds every row and every hash."""
    client, keys = client_of(shop, CARBOY_BACKUP_URL=place)
    name = create_backup(sa.make_url(shop), place)
    for path in ("/admin/backups", f"/admin/backups/{name}"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=keys["writer"]).status_code == 403
        assert client.get(path, headers=keys["admin"]).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["..", ".", "%2e%2e", "..%2f..", "..%2fshop.sqlite", "shop.sqlite", "%00", "a%0d%0ab", "*"],
)
def test_a_name_of_a_request_is_no_path(path: str, shop: str, place: str) -> None:
    """It is looked up among the names of the listing; whatever else is a 404."""
    client, keys = client_of(shop, CARBOY_BACKUP_URL=place)
    create_backup(sa.make_url(shop), place)
    (Path(place) / "..secret").write_text("secret")
    answer = client.get(f"/admin/backups/{path}", headers=keys["admin"])
    assert answer.status_code in (404, 308)
    assert b"secret" not in answer.data


def test_what_cant_be_read_is_a_503_without_a_path(shop: str, place: str, tmp_path: Path) -> None:
    """A damaged backup is listed as such."""
    client, keys = client_of(shop, CARBOY_BACKUP_URL=place)
    name = create_backup(sa.make_url(shop), place)
    (Path(place) / name / "manifest.json").write_text("{}")
    assert client.get("/admin/backups", headers=keys["admin"]).json == {
        "backups": [{"name": name, "state": "damaged"}]
    }
    answers = [client.get(f"/admin/backups/{name}", headers=keys["admin"])]
    client, keys = client_of(shop, CARBOY_BACKUP_URL=f"nowhere://me:secret@{tmp_path}")
    answers.append(client.get("/admin/backups", headers=keys["admin"]))
    for answer in answers:
        assert answer.status_code == 503
        assert str(tmp_path) not in answer.text
        assert "secret" not in answer.text


def test_without_a_place_there_are_no_routes(shop: str) -> None:
    """Nor without a path for admins."""
    for config in ({}, {"CARBOY_BACKUP_URL": "x", "CARBOY_ADMIN_PATH": ""}):
        client, keys = client_of(shop, **config)
        assert client.get("/admin/backups", headers=keys["admin"]).status_code == 404


def test_an_admin_has_a_backup_made(shop: str, place: str) -> None:
    """The answer comes at once and names the file; a job makes and verifies it."""
    app, api, engine = app_of(shop, CARBOY_BACKUP_URL=place, CARBOY_BACKUP_KEEP="1")
    client, keys = keyed(app, api, engine)
    create_backup(sa.make_url(shop), place)
    assert client.post("/admin/backup").status_code == 401
    assert client.post("/admin/backup", headers=keys["writer"]).status_code == 403
    answer = client.post("/admin/backup", headers=keys["admin"])
    assert answer.status_code == 202
    assert answer.json is not None
    name, id_ = answer.json["file"], answer.json["task_id"]
    assert answer.json["message"] == "Backup queued"
    with app.app_context():
        assert api.run_jobs() == 1
    job = client.get(f"/api/jobs/{id_}", headers=keys["admin"]).json
    assert job is not None
    assert (job["state"], job["result"]["file"]) == ("done", name)
    assert [(b.name, b.state) for b in list_backups(place)] == [(name, "verified")]


def test_a_schedule_is_a_job(shop: str, place: str) -> None:
    """Its next run is queued under its time; a schedule that is none is refused by its name."""
    app, _, engine = app_of(shop, CARBOY_BACKUP_URL=place, CARBOY_BACKUP_SCHEDULE="15 3 * * *")
    with app.app_context():
        Clock(jobs_of(app)).tick()
    query = "SELECT name, key, state FROM carboy_jobs"
    with engine.connect() as connection:
        (row,) = connection.exec_driver_sql(query).all()
    assert (row[0], row[1][-14:], row[2]) == ("carboy.backup", "03:15:00+00:00", "queued")
    app, _, _ = app_of(shop, CARBOY_BACKUP_URL=place, CARBOY_BACKUP_SCHEDULE="daily")
    with app.app_context(), pytest.raises(SettingError, match=r"CARBOY_BACKUP_SCHEDULE: .*daily"):
        jobs_of(app)
    engine.dispose()
