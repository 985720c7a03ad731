"""What a plan answers, as frozen values."""

from __future__ import annotations

from msgspec import Struct


class ReadResult(Struct, frozen=True):
    """What a read answers: the database's JSON, and what a list says about itself.

    ``rows`` counts those that were fetched: one more than shown where more follow. ``cursor``
    is a JSON array of the order's values in the last row; ``counted`` says how ``total`` was
    found: exact, planned or estimated. ``version`` is an item's row version.
    """

    body: bytes
    rows: int = 1
    cursor: str | None = None
    total: int | None = None
    counted: str | None = None
    version: str | None = None
