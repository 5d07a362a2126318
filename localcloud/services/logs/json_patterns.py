"""Filter patterns of JSON events: `{ ($.user.id = 1) && ($.event != "x*") }`. Pure.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html (JSON log events)
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from localcloud.matching import match_runs
from localcloud.services.logs.errors import LogsError, invalid
from localcloud.services.logs.regexes import compile_regex

__all__ = ["parse_json_pattern", "read_path", "select"]

MAX_DEPTH: Final = 20  # of parentheses
_Test: TypeAlias = Callable[[object], bool]
_ABSENT: Final = object()
_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<path>\$(?:\.[A-Za-z0-9_-]+|\[(?:\d{1,5}|"[^"]*"|'[^']*')\])*)
    | (?P<join>&&|\|\|)
    | (?P<sign>!=|<=|>=|=|<|>)
    | (?P<paren>[()])
    | (?P<keyword>(?:IS|NOT)\s+(?:NULL|TRUE|FALSE|EXISTS))(?![\w])
    | "(?P<text>(?:[^"\\]|\\.)*)"
    | %(?P<regex>[^%]*)%
    | (?P<bare>[^\s()"{}&|=<>!]+)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_STEP: Final = re.compile(r"""\.([A-Za-z0-9_-]+)|\[(\d+)\]|\[["']([^"']*)["']\]""")
_ORDER: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def parse_json_pattern(text: str) -> Callable[[str], bool]:
    """The test that `{ ... }` is; what is no JSON object does not match. Raises LogsError."""
    if not text.endswith("}"):
        raise _fault(text)
    test = _Reader(text[1:-1]).whole()

    def matches(message: str) -> bool:
        if not message.lstrip().startswith(("{", "[")):
            return False
        try:
            return test(json.loads(message))
        except (ValueError, RecursionError):
            return False

    return matches


class _Reader:
    """A pattern's inside, token by token."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        self._text = text
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None or found.end() == place:
                raise _fault(text)
            kind = str(found.lastgroup)
            self._tokens.append((kind, found[kind]))
            place = found.end()

    def whole(self) -> _Test:
        test = self._either(0)
        if self._at < len(self._tokens):
            raise _fault(self._text)
        return test

    def _either(self, depth: int) -> _Test:
        tests = [self._both(depth)]
        while self._take("join", "||"):
            tests.append(self._both(depth))
        return lambda value: any(test(value) for test in tests)

    def _both(self, depth: int) -> _Test:
        tests = [self._one(depth)]
        while self._take("join", "&&"):
            tests.append(self._one(depth))
        return lambda value: all(test(value) for test in tests)

    def _one(self, depth: int) -> _Test:
        if depth > MAX_DEPTH:
            raise _fault(self._text)
        if self._take("paren", "("):
            test = self._either(depth + 1)
            if not self._take("paren", ")"):
                raise _fault(self._text)
            return test
        steps = read_path(self._next("path"))
        kind, token = self._peek()
        self._at += 1
        if kind == "keyword":
            return _keyword(steps, " ".join(token.upper().split()))
        if kind != "sign":
            raise _fault(self._text)
        kind, operand = self._peek()
        self._at += 1
        test = _compare(token, kind, operand)
        if test is None:
            raise _fault(self._text)
        return lambda value: test(select(value, steps))

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _take(self, kind: str, token: str) -> bool:
        taken = self._peek() == (kind, token)
        self._at += taken
        return taken

    def _next(self, kind: str) -> str:
        found, token = self._peek()
        if found != kind:
            raise _fault(self._text)
        self._at += 1
        return token


def read_path(path: str) -> list[str | int]:
    """The steps of a path such as `$.a[0]`."""
    return [int(each[2]) if each[2] else each[1] or each[3] for each in _STEP.finditer(path)]


def select(value: object, steps: list[str | int]) -> object:
    """What stands at a path; an object of its own where nothing does."""
    for step in steps:
        if isinstance(value, dict) and isinstance(step, str) and step in value:
            value = cast("dict[str, object]", value)[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(cast("list[object]", value)):
            value = cast("list[object]", value)[step]
        else:
            return _ABSENT
    return value


def _keyword(steps: list[str | int], keyword: str) -> _Test:
    tests: dict[str, _Test] = {
        "IS NULL": lambda found: found is None,
        "IS TRUE": lambda found: found is True,
        "IS FALSE": lambda found: found is False,
        "NOT EXISTS": lambda found: found is _ABSENT,
    }
    if keyword not in tests:
        raise invalid(f"Invalid filter pattern: {keyword} is no test.")
    test = tests[keyword]
    return lambda value: test(select(value, steps))


def _compare(sign: str, kind: str, operand: str) -> _Test | None:
    """None where the operand cannot be compared so."""
    if kind == "regex":
        compiled = compile_regex(operand)
        found = _on_text(lambda text: compiled.search(text) is not None)
        return _signed(sign, found)
    number = _number(operand) if kind == "bare" else None
    if sign in _ORDER:
        return None if number is None else _on_number(_ORDER[sign], number)
    if number is not None:
        return _signed(sign, _on_number(operator.eq, number))
    if kind not in {"bare", "text"}:
        return None
    plain = re.sub(r"\\(.)", r"\1", operand)
    parts = plain.split("*")
    return _signed(sign, _on_text(lambda text: match_runs(parts, text)))


def _signed(sign: str, test: _Test) -> _Test | None:
    """`!=` holds of a value that is there and is not so."""
    if sign == "=":
        return test
    return (lambda found: found is not _ABSENT and not test(found)) if sign == "!=" else None


def _on_text(test: Callable[[str], bool]) -> _Test:
    return lambda found: isinstance(found, str) and test(found)


def _on_number(test: Callable[[float, float], bool], number: float) -> _Test:
    return lambda found: isinstance(found, int | float) and not isinstance(found, bool) and test(found, number)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", text) else None


def _fault(text: str) -> LogsError:
    return invalid(f"Invalid filter pattern: {{{text[:200]}}}")
