"""Backups: made of one moment, restored before they count, and never half restored."""

from .backups import (
    Backup,
    create_backup,
    database_name,
    list_backups,
    prune_backups,
    restore_backup,
    verify_backup,
)
from .manifest import BackupError

__all__ = [
    "Backup",
    "BackupError",
    "create_backup",
    "database_name",
    "list_backups",
    "prune_backups",
    "restore_backup",
    "verify_backup",
]
