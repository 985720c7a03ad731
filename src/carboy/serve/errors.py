"""What keeps a command from starting."""

from __future__ import annotations

from ..errors import CommandError


class TargetError(CommandError):
    """The target can't be opened or served."""
