"""Backups: made of one moment, restored before they count, and never half restored."""

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
from .manifest import BackupError
from .programs import Step

__all__ = [
    "Backup",
    "BackupError",
    "Step",
    "create_backup",
    "database_name",
    "list_backups",
    "no_step",
    "prune_backups",
    "restore_backup",
    "verify_backup",
]
