"""Backups as a job: on a schedule, or when an admin asks."""

from __future__ import annotations

from typing import Any

import msgspec

from ...access import Actor
from ...execute.transaction import transaction
from ...jobs import Job, JobFunction, NewJob, add, check_function
from ...pipeline import Api
from ...schema import SchemaError
from ...settings import SettingError
from .backups import backup_name, create_backup, database_name, prune_backups, verify_backup

_NAME = "carboy.backup"
_ATTEMPTS, _PAUSE = 3, 60.0


def backup_function(api: Api) -> JobFunction | None:
    """The job, where it is known where backups are kept.

    Raises SettingError for a CARBOY_BACKUP_SCHEDULE that is none.
    """
    settings = api.settings
    url, place = api.database.engine.url, settings.backup_url
    if not place:
        return None

    def run(job: Job, name: str | None = None) -> dict[str, Any]:
        def step(_: str, done: int, total: int) -> None:
            job.progress(done, total or None)

        made = create_backup(url, place, name=name, step=step)
        verify_backup(url, place, made, step=step)
        deleted = prune_backups(place, database_name(url), settings.backup_keep)
        return {"file": made, "deleted": deleted}

    function = JobFunction(_NAME, run, _ATTEMPTS, _PAUSE, settings.backup_schedule or None)
    try:
        check_function(function)
    except SchemaError as error:
        raise SettingError(f"CARBOY_BACKUP_SCHEDULE: {error}") from None
    return function


def queue_backup(api: Api, who: Actor) -> tuple[str, str]:
    """Queue one backup for an actor: the job's id, and the name that the backup gets.

    It is tried once, so that the name is the one that was told.
    """
    name = backup_name(api.database.engine.url)
    job = NewJob(_NAME, msgspec.json.encode({"name": name}), 1, actor=who)
    with transaction(api.database, who) as session:
        return add(api.database, session.connection(), job), name
