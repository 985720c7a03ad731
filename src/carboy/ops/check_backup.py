"""Whether there is a backup that a database could be restored from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from .backup import BackupError, database_name, list_backups
from .checked import Checked, Fault

_LATEST = dt.timedelta(days=1)
_FIX = "run carboy backup, each day; docs/how-to/back-up.md says how"


def backup(app: Checked) -> Iterator[Fault]:
    """What is lost now can't be brought back."""
    place = app.settings.backup_url
    if not place:
        if app.settings.profile == "production":
            yield Fault(
                "CARBOY_BACKUP_URL is empty: nobody makes backups",
                f"set it, and {_FIX}; leave this be where backups are made otherwise",
            )
        return
    try:
        name = database_name(app.engine.url)
        moments = [
            found.manifest.at
            for found in list_backups(place, name)
            if found.manifest is not None and found.state == "verified"
        ]
    except BackupError as error:
        yield Fault(f"backups can't be looked for: {error}", "correct CARBOY_BACKUP_URL")
        return
    if not moments:
        yield Fault(f"there is no verified backup of {name!r}", _FIX)
    elif dt.datetime.now(dt.UTC) - max(moments) > _LATEST:
        yield Fault(f"the newest verified backup of {name!r} is of {max(moments):%Y-%m-%d}", _FIX)
