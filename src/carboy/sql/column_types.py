"""Column types of Carboy's own tables, with as much room on every database.

MariaDB's TEXT and BLOB end at 64 KB, and its text is compared as the server's collation says.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

_NAMES = ("mysql", "mariadb")
_EXACT = {"charset": "utf8mb4", "collation": "utf8mb4_nopad_bin"}


def exact_text(length: int) -> TypeEngine[str]:
    """Text of at most so many characters, in which case and spaces count."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, **_EXACT), *_NAMES)


def long_text() -> TypeEngine[str]:
    """Text without a limit."""
    return sa.Text().with_variant(mysql.LONGTEXT(**_EXACT), *_NAMES)


def long_bytes() -> TypeEngine[bytes]:
    """Bytes without a limit."""
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), *_NAMES)
