"""What keeps a command from starting."""

from __future__ import annotations


class TargetError(Exception):
    """The message is one line, names the fault and the fix, and holds no password."""
