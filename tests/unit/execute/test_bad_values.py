"""What a driver refuses before the database sees it."""

from __future__ import annotations

import psycopg
from sqlalchemy import create_engine

from carboy.errors import BadRequest
from carboy.execute import api_error


def test_a_value_that_the_driver_refuses_is_the_clients_fault() -> None:
    """psycopg's DataError for a NUL has no SQLSTATE, and is a 400 all the same."""
    error = psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    assert error.sqlstate is None or not error.sqlstate.startswith("22")
    assert isinstance(api_error(error, create_engine("postgresql+psycopg://")), BadRequest)
