"""Which rows: ``eq.5`` after a field's name, and the trees in ``or=(...)``.

    condition = ["not."] operator ["(" ("any" / "all" / language) ")"] "." value
    tree      = "(" child *("," child) ")"
    child     = field "." condition / ["not."] ("and" / "or") tree

In a tree a value ends at the next ``,`` or ``)`` outside of quotes, braces and brackets.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Literal, get_args

from carboy.errors import InvalidQuery
from carboy.request.ast import Condition, FieldRef, Filter, Logic, Operator
from carboy.request.scanner import MAX_NESTING, Scanner, shorten

_OPERATORS: dict[str, Operator] = {name: name for name in get_args(Operator)}
_QUANTIFIED = frozenset(("eq", "gt", "gte", "lt", "lte", "like", "ilike"))
_FULL_TEXT = frozenset(("fts", "plfts", "phfts", "wfts"))
_IS_VALUES = ("null", "not_null", "true", "false", "unknown")

_OPERATOR = re.compile(r"(not\.)?([A-Za-z]+)(?:\(([^()]*)\))?\.")
_WORD = re.compile(r"(?:not\.)?([A-Za-z]*)")
_LOGIC = re.compile(r"(not\.)?(and|or)(?=\()")
_LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_PLAIN_VALUE = re.compile(r"[^,){\[]*")
_QUOTE_AHEAD = re.compile(r' *(?=")')
_QUOTED_PART = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_ELEMENT = {")": re.compile(r"[^,)]*"), "}": re.compile(r"[^,}]*")}


def parse_condition(parameter: str, ref: FieldRef, text: str) -> Condition:
    """Read what follows ``=`` after a field's name; raises InvalidQuery."""
    scanner = Scanner(parameter, text)
    condition = _condition(scanner, ref, in_tree=False)
    scanner.require_end()
    return condition


def parse_tree(parameter: str, op: Literal["and", "or"], negated: bool, text: str) -> Logic:
    """Read what follows ``or=`` or ``and=``, parentheses included; raises InvalidQuery."""
    scanner = Scanner(parameter, text)
    logic = _logic(scanner, op, negated, 1)
    scanner.require_end()
    return logic


def _logic(scanner: Scanner, op: Literal["and", "or"], negated: bool, depth: int) -> Logic:
    if depth > MAX_NESTING:
        raise scanner.error_here(f"conditions nested more than {MAX_NESTING} deep")
    scanner.require("(")
    children: list[Filter] = []
    while True:
        scanner.skip_spaces()
        children.append(_child(scanner, depth))
        scanner.skip_spaces()
        if not scanner.take(","):
            break
    scanner.require(")", "',' or ')'")
    return Logic(op, tuple(children), negated)


def _child(scanner: Scanner, depth: int) -> Filter:
    logic = _LOGIC.match(scanner.text, scanner.position)
    if logic:
        scanner.position = logic.end()
        op: Literal["and", "or"] = "or" if logic[2] == "or" else "and"
        return _logic(scanner, op, logic[1] is not None, depth + 1)
    if scanner.text.startswith("not.", scanner.position):
        raise scanner.error_here("'not.' belongs before an operator, 'and(' or 'or(': misplaced")
    ref = scanner.field(scanner.name("a condition such as id.eq.5"))
    scanner.require(".", "'.' and an operator")
    return _condition(scanner, ref, in_tree=True)


def _condition(scanner: Scanner, ref: FieldRef, *, in_tree: bool) -> Condition:
    found = _OPERATOR.match(scanner.text, scanner.position)
    op = _OPERATORS.get(found[2]) if found else None
    if found is None or op is None:
        raise _unknown_operator(scanner, in_tree)
    quantifier, config = _argument(scanner, op, found[3])
    scanner.position = start = found.end()
    value: str | tuple[str, ...]
    if op == "in":
        value = _list(scanner, "(", ")")
    elif quantifier is not None:
        value = _list(scanner, "{", "}")
    elif in_tree:
        value = _tree_value(scanner)
    else:
        value = scanner.text[start:]
        scanner.position = len(scanner.text)
    if op == "is" and isinstance(value, str):
        value = value.lower()
        if value not in _IS_VALUES:
            scanner.position = start
            raise scanner.expected("one of " + ", ".join(_IS_VALUES))
    return Condition(ref, op, value, found[1] is not None, quantifier, config)


def _argument(
    scanner: Scanner, op: Operator, argument: str | None
) -> tuple[Literal["any", "all"] | None, str | None]:
    if argument is None:
        return None, None
    if op in _FULL_TEXT:
        if not _LANGUAGE.fullmatch(argument):
            raise scanner.error_here(f"'{shorten(argument)}' is no language for {op},")
        return None, argument
    if op not in _QUANTIFIED:
        raise scanner.error_here(f"{op} takes nothing in parentheses before its '.',")
    if argument == "any":
        return "any", None
    if argument == "all":
        return "all", None
    raise scanner.error_here(f"{op}(...) takes any or all, not '{shorten(argument)}',")


def _list(scanner: Scanner, opening: str, closing: str) -> tuple[str, ...]:
    scanner.require(opening)
    if scanner.take(closing):
        return ()
    element = _ELEMENT[closing]
    found: list[str] = []
    while True:
        quote = _QUOTE_AHEAD.match(scanner.text, scanner.position)
        if quote:
            scanner.position = quote.end()
            found.append(scanner.quoted())
            scanner.skip_spaces()
        else:
            found.append(scanner.read(element))
        if not scanner.take(","):
            break
    scanner.require(closing, f"',' or '{closing}'")
    return tuple(found)


def _tree_value(scanner: Scanner) -> str:
    if scanner.peek() == '"':
        return scanner.quoted()
    start = scanner.position
    plain = scanner.read(_PLAIN_VALUE)
    if scanner.peek() not in ("{", "["):
        return plain
    _skip_balanced(scanner)
    return scanner.text[start : scanner.position]


def _skip_balanced(scanner: Scanner) -> None:
    """Move to the ``,`` or ``)`` that is in no braces, brackets or quotes within those."""
    text, position = scanner.text, scanner.position
    closers: list[str] = []
    while position < len(text):
        character = text[position]
        if not closers and character in ",)":
            break
        if closers and character == '"':
            quoted = _QUOTED_PART.match(text, position)
            position = quoted.end() if quoted else len(text)
            continue
        if closers and character == closers[-1]:
            closers.pop()
        elif character == "{":
            closers.append("}")
        elif character == "[":
            closers.append("]")
        position += 1
    scanner.position = position
    if closers:
        raise scanner.expected(f"'{closers[-1]}' (or the whole value in quotes)")


def _unknown_operator(scanner: Scanner, in_tree: bool) -> InvalidQuery:
    """The error for a value that starts with no operator: what was probably meant."""
    text = scanner.text[scanner.position :]
    found = _WORD.match(text)
    word = found[1] if found else ""
    if word in _OPERATORS:
        scanner.position += found.end() if found else 0
        return scanner.expected("'.' and a value")
    near = get_close_matches(word.lower(), _OPERATORS, n=3, cutoff=0.55)
    has_dot = _OPERATOR.match(text) is not None
    if has_dot and near:
        meant = " or ".join(near)
        return scanner.error_here(f"unknown operator '{shorten(word)}' (did you mean {meant}?)")
    if in_tree:
        known = ", ".join(_OPERATORS)
        return scanner.expected(f"an operator and '.' (operators: {known})")
    parameter = shorten(scanner.parameter)
    if not text:
        return scanner.error(f"the value is empty; write {parameter}=eq.value")
    shown = shorten(text)
    if has_dot:
        return scanner.error(
            f"unknown operator '{shorten(word)}'; for equality write {parameter}=eq.{shown}"
        )
    return scanner.error(f"'{shown}' has no operator; write {parameter}=eq.{shown}")
