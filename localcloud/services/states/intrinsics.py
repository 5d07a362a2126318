"""The intrinsic functions of States Language: `States.Format('{} of {}', $.a, States.UUID())`. Parsing and calling.

Pure but for the randomness that it is given. What the functions do is `intrinsic_functions`.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from localcloud.services.states.budget import MAX_CHARS, Budget
from localcloud.services.states.failures import INTRINSIC_FAILURE, StateFailure
from localcloud.services.states.intrinsic_functions import FUNCTIONS, Refusal
from localcloud.services.states.paths import MISSING, BadPath, Path, Scope, find, parse_path

__all__ = ["BadIntrinsic", "Call", "call_intrinsic", "is_intrinsic", "parse_intrinsic"]

MAX_DEPTH: Final = 10  # "You can nest up to 10 intrinsic functions within a field in your workflows."
MAX_SHOWN: Final = 1000
_NAME: Final = re.compile(r"\s*(States\.[A-Za-z0-9]+)\s*\(")
_TEXT: Final = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_NUMBER: Final = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?(?=\s*[,)])")
_WORD: Final = re.compile(r"(true|false|null)(?=\s*[,)])")
_WORDS: Final = {"true": True, "false": False, "null": None}
_BLANK: Final = " \t\r\n"
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class BadIntrinsic(ValueError):
    """The text is no call of an intrinsic function."""


@dataclass(frozen=True, slots=True)
class _Literal:
    value: Any


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed call."""

    text: str
    name: str
    arguments: tuple[_Literal | Path | Call, ...]


def is_intrinsic(text: str) -> bool:
    """Whether a field's value is meant as a call; anything else is a path."""
    return text.lstrip().startswith("States.")


@lru_cache(maxsize=1024)
def parse_intrinsic(text: str) -> Call:
    """The call in `text`. Raises BadIntrinsic, BadPath."""
    call, end = _parse_call(text, 0, depth=1)
    if text[end:].strip():
        raise BadIntrinsic(text)
    return call


def call_intrinsic(call: Call, scope: Scope, rng: random.Random, *, budget: Budget | None = None) -> Any:
    """What a call gives; `budget` is the template's that it stands in. Raises StateFailure."""
    try:
        return _evaluate(call, scope, rng, budget=Budget(MAX_CHARS) if budget is None else budget)
    except Refusal as refusal:
        raise StateFailure(
            INTRINSIC_FAILURE, f"The function '{call.text}' had the following error: {refusal}", located=False
        ) from refusal


def _evaluate(call: Call, scope: Scope, rng: random.Random, *, budget: Budget) -> Any:
    values: list[Any] = []
    for argument in call.arguments:
        if isinstance(argument, _Literal):
            values.append(argument.value)
        elif isinstance(argument, Call):
            values.append(_evaluate(argument, scope, rng, budget=budget))
        else:
            found = find(argument, scope)
            if found is MISSING:
                raise Refusal(f"The JSONPath {argument.text} could not be found in the input")
            values.append(budget.take(found))
    function, low, high = FUNCTIONS[call.name]
    if len(values) < low or (high is not None and len(values) > high):
        raise Refusal(f"Invalid number of arguments for {call.name}")
    return budget.take(function(values, rng))


def _parse_call(text: str, at: int, *, depth: int) -> tuple[Call, int]:
    found = _NAME.match(text, at)
    if found is None or found[1] not in FUNCTIONS or depth > MAX_DEPTH:
        raise BadIntrinsic(text)
    arguments: list[_Literal | Path | Call] = []
    position = _skip(text, found.end())
    if text.startswith(")", position):
        return Call(text[at : position + 1].strip(), found[1], ()), position + 1
    while True:
        argument, position = _parse_argument(text, position, depth=depth, raw=_is_format(found[1], arguments))
        arguments.append(argument)
        position = _skip(text, position)
        if text.startswith(")", position):
            return Call(text[at : position + 1].strip(), found[1], tuple(arguments)), position + 1
        if not text.startswith(",", position):
            raise BadIntrinsic(text)
        position = _skip(text, position + 1)


def _is_format(name: str, arguments: list[_Literal | Path | Call]) -> bool:
    """Whether the next argument is a template, which keeps its escaped braces until it is filled."""
    return name == "States.Format" and not arguments


def _parse_argument(text: str, at: int, *, depth: int, raw: bool) -> tuple[_Literal | Path | Call, int]:
    if found := _TEXT.match(text, at):
        return _Literal(found[1] if raw else _ESCAPED.sub(r"\1", found[1])), found.end()
    if found := _NUMBER.match(text, at):
        is_whole = found[0].removeprefix("-").isdigit()
        return _Literal(int(found[0]) if is_whole else float(found[0])), found.end()
    if found := _WORD.match(text, at):
        return _Literal(_WORDS[found[1]]), found.end()
    if text.startswith("$", at):
        end = _end_of_path(text, at)
        return parse_path(text[at:end].rstrip()), end
    return _parse_call(text, at, depth=depth + 1)


def _end_of_path(text: str, at: int) -> int:
    """Where a path ends: at a comma or parenthesis that is in no brackets and no quotes."""
    brackets, quote, position = 0, "", at
    while position < len(text):
        character = text[position]
        if quote:
            position += character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[]":
            brackets += 1 if character == "[" else -1
        elif not brackets and character in ",)":
            return position
        position += 1
    raise BadPath(text)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at
