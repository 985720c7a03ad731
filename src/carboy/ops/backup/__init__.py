"""Backups: made of one moment, restored before they count, and never half restored."""

from .archive import Archive, archive_backup
from .backups import (
    Backup,
    create_backup,
    database_name,
    list_backups,
    no_step,
    prune_backups,
    restore_backup,
    verify_backup,
)
from .manifest import BackupError, NoBackupError
from .programs import Step

__all__ = [
    "Archive",
    "Backup",
    "BackupError",
    "NoBackupError",
    "Step",
    "archive_backup",
    "create_backup",
    "database_name",
    "list_backups",
    "no_step",
    "prune_backups",
    "restore_backup",
    "verify_backup",
]
