"""Backups, for admins to list, to download, and to have made."""

from __future__ import annotations

import logging

from ..errors import NotFound, Unavailable
from ..ops.backup import BackupError, NoBackupError, archive_backup, list_backups
from ..ops.backup.job import queue_backup
from ..respond import Response, respond_json
from ..settings import Settings
from .route import Route, Visit

_log = logging.getLogger(__name__)


def backups_routes(settings: Settings) -> tuple[Route, ...]:
    """The routes of backups, where it is known where they are kept."""
    path, place = settings.admin_path.rstrip("/"), settings.backup_url
    if not path or not place:
        return ()

    def listing(_: Visit) -> Response:
        try:
            found = list_backups(place)
        except BackupError as error:
            raise _unavailable(error) from error
        return respond_json({"backups": [backup.summary for backup in found]})

    def download(visit: Visit) -> Response:
        name = visit.names["name"]
        try:
            # The name is looked up in the listing, and never becomes part of a path.
            archive = archive_backup(place, name)
        except NoBackupError:
            raise NotFound(f"there is no backup {name!r}") from None
        except BackupError as error:
            raise _unavailable(error) from error
        headers = (
            ("Content-Type", "application/x-tar"),
            ("Content-Length", str(archive.size)),
            ("Content-Disposition", f'attachment; filename="{archive.name}"'),
        )
        return Response(200, headers, b"", archive.content)

    def start(visit: Visit) -> Response:
        id_, name = queue_backup(visit.api(), visit.who)
        return respond_json({"message": "Backup queued", "task_id": id_, "file": name}, 202)

    return (
        Route("backup_start", f"{path}/backup", start, methods=("POST",)),
        Route("backups", f"{path}/backups", listing),
        Route("backup", f"{path}/backups/<name>", download),
    )


def _unavailable(error: BackupError) -> Unavailable:
    # Its message may have a path of this machine.
    _log.error("backups: %s", error)
    return Unavailable("the backups can't be read; the log says why")
