"""Text and JSON to the values that columns take."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest

from carboy.schema import FieldType, Kind, from_json, from_text

INTEGER = FieldType(Kind.INTEGER, minimum=-(2**31), maximum=2**31 - 1)
BIG_TEXT = FieldType(Kind.INTEGER, minimum=-(2**63), maximum=2**63 - 1, as_string=True)
MONEY = FieldType(Kind.NUMERIC, precision=5, scale=2)
NUMERIC = FieldType(Kind.NUMERIC)
COLOUR = FieldType(Kind.ENUM, choices=(("RED", "red"), ("BLUE", "blue")))
LEVEL = FieldType(Kind.ENUM, choices=(("LOW", 1), ("HIGH", 2)))
AWARE = FieldType(Kind.DATETIME, aware=True)
NAIVE = FieldType(Kind.DATETIME)
SHORT = FieldType(Kind.TEXT, length=3)
UTC = dt.UTC


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (INTEGER, "42", 42),
        (INTEGER, "+7", 7),
        (INTEGER, "-2147483648", -(2**31)),
        (BIG_TEXT, "9223372036854775807", 2**63 - 1),
        (FieldType(Kind.FLOAT), "1e3", 1000.0),
        (MONEY, "12.5", Decimal("12.5")),
        (FieldType(Kind.BOOLEAN), "true", True),
        (FieldType(Kind.BOOLEAN), "F", False),
        (SHORT, "longer than three", "longer than three"),
        (COLOUR, "red", "RED"),
        (LEVEL, "2", "HIGH"),
        (AWARE, "2024-01-31T14:30:00Z", dt.datetime(2024, 1, 31, 14, 30, tzinfo=UTC)),
        (AWARE, "2024-01-31T14:30:00+02:00", dt.datetime(2024, 1, 31, 12, 30, tzinfo=UTC)),
        (NAIVE, "2024-01-31 14:30", dt.datetime(2024, 1, 31, 14, 30)),  # noqa: DTZ001
        (NAIVE, "2024-01-31", dt.datetime(2024, 1, 31)),  # noqa: DTZ001
        (FieldType(Kind.DATE), "2024-02-29", dt.date(2024, 2, 29)),
        (FieldType(Kind.TIME), "14:30:00.25", dt.time(14, 30, 0, 250000)),
        (FieldType(Kind.INTERVAL), "90", dt.timedelta(seconds=90)),
        (FieldType(Kind.BYTES), "aGk=", b"hi"),
        (FieldType(Kind.UUID), "0" * 31 + "1", uuid.UUID(int=1)),
    ],
)
def test_text_becomes_the_columns_value(type_: FieldType, text: str, value: Any) -> None:
    """A filter's text is read by the kind of the column."""
    assert from_text(type_, text) == value


@pytest.mark.parametrize(
    ("type_", "value", "fault"),
    [
        (INTEGER, "42", "must be an integer"),
        (INTEGER, 1.5, "must be an integer"),
        (INTEGER, True, "must be an integer"),
        (INTEGER, 2**31, "must be between -2147483648 and 2147483647"),
        (FieldType(Kind.FLOAT), "NaN", "must be a number"),
        (FieldType(Kind.FLOAT), Decimal("1e400"), "must be within the range of a double"),
        (MONEY, "1.234", "must have at most 2 digits after the point"),
        (MONEY, 1000, "must have at most 3 digits before the point"),
        (NUMERIC, "Infinity", "must be a number"),
        (NUMERIC, "1e999999", "must be a number"),
        (FieldType(Kind.BOOLEAN), 1, "must be true or false"),
        (SHORT, "abcd", "must be at most 3 characters long"),
        (SHORT, 5, "must be a string"),
        (COLOUR, "RED", "must be one of: red, blue"),
        (AWARE, "yesterday", "must be an RFC 3339 timestamp such as 2024-01-31T14:30:00Z"),
        (AWARE, "2024-02-30T00:00:00Z", "must be an RFC 3339 timestamp"),
        (AWARE, "0001-01-01T00:00:00+14:00", "must be within the years 1 and 9999"),
        (FieldType(Kind.DATE), "2024-2-3", "must be a date such as 2024-01-31"),
        (FieldType(Kind.TIME), "25:00:00", "must be a time such as 14:30:00"),
        (FieldType(Kind.BYTES), "a", "must be base64 text"),
        (FieldType(Kind.UUID), "x" * 36, "must be a UUID"),
        (FieldType(Kind.ARRAY, item=INTEGER), {}, "must be an array"),
        (FieldType(Kind.ARRAY, item=INTEGER), ["a"], "must be an integer"),
        (FieldType(Kind.INTERVAL), 10**15, "must be a number of seconds between"),
    ],
)
def test_what_a_column_cannot_hold_is_refused_with_the_fix(
    type_: FieldType, value: Any, fault: str
) -> None:
    """A ValueError says what the value must be."""
    with pytest.raises(ValueError, match=f"^{fault}"):
        from_json(type_, value)


def test_an_integer_shown_as_text_is_taken_as_text() -> None:
    """What JSON shows can be sent back."""
    assert from_json(BIG_TEXT, "9007199254740993") == 9007199254740993


def test_json_keeps_its_numbers() -> None:
    """A document's Decimals, which drivers can't encode, become floats."""
    assert from_json(FieldType(Kind.JSON), {"a": [Decimal("1.5"), None]}) == {"a": [1.5, None]}
