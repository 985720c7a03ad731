"""Text and JSON to the Python value that the column takes, or a ValueError that says the fix."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from .types import FieldType, Kind

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}\Z")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DATETIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)"
    r"([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?\Z"
)
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?\Z")
_MAX_NUMBER_LENGTH = 1000
# The years 1 and 9999 in seconds from 1970.
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799


def from_text(type_: FieldType, text: str) -> Any:
    """The value that ``text`` (of a filter, a key or a cursor) stands for in a column."""
    match type_.kind:
        case Kind.TEXT | Kind.OTHER | Kind.JSON | Kind.ARRAY:
            return text
        case Kind.BOOLEAN:
            return _boolean(text)
        case Kind.INTEGER:
            return _bounded(type_, _integer(text))
        case Kind.ENUM:
            return _choice(type_, text)
        case Kind.INTERVAL:
            return _interval(text)
        case _:
            return from_json(type_, text)


def from_json(type_: FieldType, value: object) -> Any:
    """The value that a JSON value of a body stands for in a column. Null is the caller's affair."""
    match type_.kind:
        case Kind.TEXT:
            return _sized(type_, _string(value), "characters")
        case Kind.INTEGER:
            return _bounded(type_, _json_integer(value, type_.as_string))
        case Kind.FLOAT:
            return _float(_number(value))
        case Kind.NUMERIC:
            return _scaled(type_, _number(value))
        case Kind.BOOLEAN:
            if isinstance(value, bool):
                return value
            raise ValueError("must be true or false")
        case Kind.ENUM:
            return _choice(type_, value)
        case Kind.BYTES:
            return _sized(type_, _base64(_string(value)), "bytes")
        case Kind.UUID:
            return _uuid(_string(value))
        case Kind.JSON:
            return _plain(value)
        case Kind.ARRAY:
            return _array(type_, value)
        case Kind.INTERVAL:
            return _interval(value)
        case Kind.DATETIME | Kind.DATE | Kind.TIME:
            return _moment(type_, _string(value))
        case Kind.OTHER:
            return _string(value)


def json_reader(type_: FieldType) -> Callable[[object], Any]:
    """``from_json`` for one type, quicker where the value is plainly right."""
    length, low, high = type_.length, type_.minimum, type_.maximum

    def text(value: object) -> Any:
        if type(value) is str and (length is None or len(value) <= length):
            return value
        return from_json(type_, value)

    def integer(value: object) -> Any:
        if type(value) is int and low is not None and high is not None and low <= value <= high:
            return value
        return from_json(type_, value)

    def moment(value: object) -> Any:
        return _moment(type_, _string(value))

    match type_.kind:
        case Kind.TEXT:
            return text
        case Kind.INTEGER:
            return integer
        case Kind.DATETIME | Kind.DATE | Kind.TIME:
            return moment
        case _:
            return partial(from_json, type_)


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("must be a string")


def _sized(type_: FieldType, value: Any, unit: str) -> Any:
    if type_.length is not None and len(value) > type_.length:
        raise ValueError(f"must be at most {type_.length} {unit} long")
    return value


def _integer(text: str) -> int:
    if not _INTEGER.match(text):
        raise ValueError("must be an integer")
    return int(text)


def _json_integer(value: object, as_string: bool) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if as_string and isinstance(value, str):
        return _integer(value)
    raise ValueError("must be an integer")


def _bounded(type_: FieldType, value: int) -> int:
    low, high = type_.minimum, type_.maximum
    if low is not None and high is not None and not low <= value <= high:
        raise ValueError(f"must be between {low} and {high}")
    return value


def _boolean(text: str) -> bool:
    folded = text.lower()
    if folded in ("true", "t", "1"):
        return True
    if folded in ("false", "f", "0"):
        return False
    raise ValueError("must be true or false")


def _number(value: object) -> Decimal:
    if isinstance(value, str):
        if len(value) > _MAX_NUMBER_LENGTH or not _NUMBER.match(value):
            raise ValueError("must be a number")
        value = Decimal(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite() and -_MAX_NUMBER_LENGTH < number.adjusted() < _MAX_NUMBER_LENGTH:
            return number
    raise ValueError("must be a number")


def _float(value: Decimal) -> float:
    number = float(value)
    if number in (float("inf"), float("-inf")):
        raise ValueError("must be within the range of a double")
    return number


def _scaled(type_: FieldType, value: Decimal) -> Decimal:
    if type_.precision is None:
        return value
    scale = type_.scale or 0
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > scale and value != round(value, scale):
        raise ValueError(f"must have at most {scale} digits after the point")
    if abs(value) >= Decimal(10) ** (type_.precision - scale):
        raise ValueError(f"must have at most {type_.precision - scale} digits before the point")
    return value


def _choice(type_: FieldType, value: object) -> str:
    for stored, shown in type_.choices:
        if value == shown or (isinstance(value, str) and value == str(shown)):
            return stored
    allowed = ", ".join(str(shown) for _, shown in type_.choices)
    raise ValueError(f"must be one of: {allowed}")


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64 text") from None


def _uuid(text: str) -> uuid.UUID:
    if len(text) in (32, 36):
        try:
            return uuid.UUID(text)
        except ValueError:
            pass
    raise ValueError("must be a UUID")


def _plain(value: object) -> object:
    """JSON with Decimals as floats, since the drivers' own JSON encoders know no Decimal."""
    if isinstance(value, Decimal):
        return _float(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _array(type_: FieldType, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("must be an array")
    assert type_.item is not None
    return [None if item is None else from_json(type_.item, item) for item in value]


def _interval(value: object) -> dt.timedelta:
    # SQLAlchemy stores an interval as a moment that far from 1970 where there is no better type.
    number = _number(value)
    if not _EARLIEST <= number <= _LATEST:
        raise ValueError(f"must be a number of seconds between {_EARLIEST} and {_LATEST}")
    return dt.timedelta(seconds=float(number))


def _moment(type_: FieldType, text: str) -> dt.datetime | dt.date | dt.time:
    try:
        if type_.kind is Kind.TIME:
            return _time(text)
        if type_.kind is Kind.DATE:
            return _date(text)
        return _datetime(type_, text)
    except OverflowError:
        raise ValueError("must be within the years 1 and 9999") from None


def _time(text: str) -> dt.time:
    if _TIME.match(text):
        try:
            return dt.time.fromisoformat(text)
        except ValueError:
            pass
    raise ValueError("must be a time such as 14:30:00")


def _date(text: str) -> dt.date:
    if _DATE.match(text):
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            pass
    raise ValueError("must be a date such as 2024-01-31")


def _datetime(type_: FieldType, text: str) -> dt.datetime:
    """RFC 3339, also without zone (which means UTC) or time (which means midnight)."""
    found = _DATETIME.match(text)
    if found:
        day, time, zone = found.groups()
        try:
            value = dt.datetime.fromisoformat(f"{day}T{time or '00:00'}{(zone or 'Z').upper()}")
        except ValueError:
            found = None
    if not found:
        raise ValueError("must be an RFC 3339 timestamp such as 2024-01-31T14:30:00Z")
    value = value.astimezone(dt.UTC)
    return value if type_.aware or type_.zoned else value.replace(tzinfo=None)
