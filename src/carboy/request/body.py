"""The request body: JSON (RFC 8259) in, plain Python values out; floats become Decimal.

What json.loads lets pass and a database can't store is refused here: duplicate keys, NaN,
NUL characters, lone surrogates, numbers and nesting without bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from msgspec import UNSET

from ..errors import InvalidBody, Problem, UnsupportedMediaType
from .scanner import shorten

MAX_EXPONENT = 400
"""Powers of ten that a number may have; doubles end at 308. int() of 1e999999999 never ends."""

_MAX_PROBLEMS = 20
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89abABcCdDeEfF])")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9!#$&^_.-]+\+)?json")


def check_content_type(content_type: str | None) -> None:
    """Raise UnsupportedMediaType unless the body is declared as JSON in UTF-8."""
    media_type, *parameters = (content_type or "").split(";")
    name = media_type.strip().lower()
    if not _JSON_TYPE.fullmatch(name):
        given = f"'{shorten(name)}'" if name else "missing"
        raise UnsupportedMediaType(f"Content-Type must be application/json; it is {given}")
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if key.strip().lower() == "charset" and charset not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(f"JSON is always UTF-8; charset is '{shorten(charset)}'")


def parse_json(raw: bytes, *, max_depth: int) -> object:
    """Read a JSON text whose arrays and objects nest at most ``max_depth`` deep.

    Raises InvalidBody, with an RFC 6901 pointer where the place in the value is known.
    """
    text = _decoded(raw)
    repeated: list[tuple[dict[str, object], str]] = []

    def to_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            repeated.append((found, _first_repeated(pairs)))
        return found

    try:
        value: object = json.loads(
            text,
            object_pairs_hook=to_object,
            parse_float=_to_decimal,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        reason = (error.msg[:1].lower() + error.msg[1:]).removesuffix(" at")
        raise InvalidBody(
            f"the body is not valid JSON: {reason} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError:  # more digits than sys.set_int_max_str_digits() allows
        raise InvalidBody("the body has a whole number with too many digits") from None
    except RecursionError:  # the C parser's own check, far above any sensible limit
        raise InvalidBody(f"the body is nested more than {max_depth} deep") from None
    if raw.count(b"[") + raw.count(b"{") > max_depth:
        _check_depth(value, max_depth)
    if repeated:
        raise _invalid(_repeated_problems(value, repeated))
    if _SUSPECT_ESCAPE.search(raw):
        _check_texts(value)
    return value


def parse_rows(value: object) -> tuple[list[dict[str, object]], bool]:
    """The rows of a body, and whether it was an array: an object alone is one row.

    Raises InvalidBody that has the number of each element that is no object.
    """
    if isinstance(value, dict):
        return [value], False
    if not isinstance(value, list):
        raise InvalidBody(f"the body must be an object or an array of objects, not {_kind(value)}")
    problems: list[Problem] = []
    for row, element in enumerate(value):
        if not isinstance(element, dict) and len(problems) < _MAX_PROBLEMS:
            detail = f"row {row} must be an object, not {_kind(element)}"
            problems.append(Problem(detail, InvalidBody.code, pointer=f"/{row}", row=row))
    if problems:
        raise _invalid(problems)
    return value, True


def _decoded(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise InvalidBody("the body starts with a byte order mark; JSON has none (RFC 8259)")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidBody(f"the body is not valid UTF-8 at byte {error.start}") from None
    if not text or text.isspace():
        raise InvalidBody("the body is empty; JSON is expected")
    return text


def _check_depth(value: object, max_depth: int) -> None:
    level: list[dict[str, object] | list[object]] = []
    if isinstance(value, (dict, list)):
        level.append(value)
    for _ in range(max_depth):
        below: list[dict[str, object] | list[object]] = []
        for part in level:
            inside = part.values() if isinstance(part, dict) else part
            below += [value for value in inside if isinstance(value, (dict, list))]
        if not below:
            return
        level = below
    if level:
        raise InvalidBody(f"the body is nested more than {max_depth} deep")


def _to_decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = None
    if number is None or abs(number.adjusted()) > MAX_EXPONENT:
        raise InvalidBody(f"the number {shorten(text)} is out of range")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidBody(f"{name} is not JSON; write null")


def _first_repeated(pairs: list[tuple[str, object]]) -> str:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("called without a repeated key")


def _repeated_problems(
    value: object, repeated: list[tuple[dict[str, object], str]]
) -> list[Problem]:
    keys = {id(found): key for found, key in repeated}
    problems: list[Problem] = []
    for pointer, part in _walk(value):
        if id(part) in keys:
            key = keys[id(part)]
            problems.append(_problem(value, f"{pointer}/{_token(key)}", "the key is given twice"))
    return problems


def _check_texts(value: object) -> None:
    fault = "a NUL character or half a surrogate pair"
    problems: list[Problem] = []
    for pointer, part in _walk(value):
        if isinstance(part, str) and _UNSTORABLE.search(part):
            problems.append(_problem(value, pointer, f"the text has {fault}"))
        elif isinstance(part, dict) and any(_UNSTORABLE.search(key) for key in part):
            problems.append(_problem(value, pointer, f"a key has {fault}"))
    if problems:
        raise _invalid(problems)


def _walk(value: object) -> Iterator[tuple[str, object]]:
    """Every value within, in the order of the text, with its pointer."""
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        pointer, part = waiting.pop()
        yield pointer, part
        if isinstance(part, dict):
            waiting += [(f"{pointer}/{_token(key)}", child) for key, child in part.items()][::-1]
        elif isinstance(part, list):
            waiting += [(f"{pointer}/{index}", child) for index, child in enumerate(part)][::-1]


def _token(key: str) -> str:
    """The key within a pointer (RFC 6901, section 3), in characters that can be answered."""
    escaped = key.replace("~", "~0").replace("/", "~1").replace("\0", "\\u0000")
    return escaped.encode("utf-8", "backslashreplace").decode()


def _problem(body: object, pointer: str, detail: str) -> Problem:
    row = int(pointer.split("/", 2)[1]) if pointer and isinstance(body, list) else UNSET
    return Problem(f"{pointer or 'the body'}: {detail}", InvalidBody.code, pointer, row=row)


def _invalid(problems: list[Problem]) -> InvalidBody:
    return InvalidBody(problems[0].detail, problems[:_MAX_PROBLEMS])


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "a number"
