"""AlarmRule: the expression of a composite alarm, read once and then asked which alarms make it true.

NOT binds before AND, AND before OR. Read without recursion, for an expression may be nested as deep as it is long.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html, AlarmRule
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, cast

from localcloud.services.cloudwatch.watch import State

__all__ = ["BadRule", "Rule", "parse_rule"]

MAX_CHARS: Final = 10_240
MAX_ELEMENTS: Final = 500  # child alarms, TRUE and FALSE, and parentheses
MAX_CHILDREN: Final = 100
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\((?:\s*"(?P<quoted>[^"]+)"\s*|(?P<plain>[^"()]+))\)"""
    r"""|(?P<constant>(?i:TRUE|FALSE))\b|(?P<operator>AND|OR|NOT)\b|(?P<parenthesis>[()]))"""
)
_AT_LEAST: Final = re.compile(r"\s*AT_LEAST\b")
_BINDING: Final = {"OR": 1, "AND": 2, "NOT": 3}

_Operator: TypeAlias = Literal["AND", "OR", "NOT"]
_Step: TypeAlias = "_Child | bool | _Operator"
_Word: TypeAlias = "_Child | bool | str"


class BadRule(ValueError):
    """The text is no AlarmRule; the message says why."""


@dataclass(frozen=True, slots=True)
class _Child:
    """Whether an alarm (a name or an ARN) is in a state."""

    state: State
    alarm: str


@dataclass(frozen=True, slots=True)
class Rule:
    """An AlarmRule. `text` as it was given; `children`: the alarms that it names, by name or ARN, each once."""

    text: str
    children: tuple[str, ...]
    steps: tuple[_Step, ...] = field(repr=False)  # operands before their operator

    def holds(self, state_of: Callable[[str], State]) -> bool:
        """Whether it is true, where `state_of` tells each child's state."""
        stack: list[bool] = []
        for step in self.steps:
            if isinstance(step, _Child):
                stack.append(state_of(step.alarm) == step.state)
            elif isinstance(step, bool):
                stack.append(step)
            elif step == "NOT":
                stack.append(not stack.pop())
            else:
                right, left = stack.pop(), stack.pop()
                stack.append((left and right) if step == "AND" else (left or right))
        return stack[0]


def parse_rule(text: str) -> Rule:
    """The rule of a text. Raises BadRule."""
    if not text.strip():
        raise BadRule("AlarmRule must not be empty")
    if len(text) > MAX_CHARS:
        raise BadRule(f"AlarmRule must not be longer than {MAX_CHARS} characters")
    reader = _Reader()
    elements = 0
    for token, at in _tokens(text):
        elements += token not in _BINDING
        if elements > MAX_ELEMENTS:
            raise BadRule(f"AlarmRule must not have more than {MAX_ELEMENTS} elements")
        reader.take(token, at)
    steps = reader.end()
    children = tuple(dict.fromkeys(step.alarm for step in steps if isinstance(step, _Child)))
    if len(children) > MAX_CHILDREN:
        raise BadRule(f"AlarmRule must not have more than {MAX_CHILDREN} child alarms")
    return Rule(text, children, steps)


def _tokens(text: str) -> Iterator[tuple[_Word, int]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        if _AT_LEAST.match(text, at):
            raise BadRule("The local cloud does not serve AT_LEAST in an AlarmRule")
        found = _TOKEN.match(text, at)
        if found is None or (found["state"] and not (found["quoted"] or found["plain"]).strip()):
            raise BadRule(f"AlarmRule cannot be read from character {at + 1} on")
        state, constant = found["state"], found["constant"]
        if state:
            yield _Child(cast("State", state), found["quoted"] or found["plain"].strip()), at
        elif constant:
            yield constant.upper() == "TRUE", at
        else:
            yield found["operator"] or found["parenthesis"], at
        at = found.end()


class _Reader:
    """Puts operators behind their operands, held back by how they bind."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._held: list[str] = []
        self._wants_operand = True

    def take(self, found: _Word, at: int) -> None:
        opens = found in {"(", "NOT"} or not isinstance(found, str)
        if opens is not self._wants_operand:
            raise BadRule(f"AlarmRule is not complete before character {at + 1}")
        if not isinstance(found, str):
            self._steps.append(found)
            self._wants_operand = False
        elif opens:
            self._held.append(found)
        elif found == ")":
            self._close(at)
        else:
            self._release(_BINDING[found])
            self._held.append(found)
            self._wants_operand = True

    def end(self) -> tuple[_Step, ...]:
        if self._wants_operand:
            raise BadRule("AlarmRule ends too early")
        self._release(0)
        if self._held:
            raise BadRule("AlarmRule has a parenthesis that is never closed")
        return tuple(self._steps)

    def _close(self, at: int) -> None:
        self._release(0)
        if not self._held:
            raise BadRule(f"AlarmRule closes a parenthesis at character {at + 1} that was never opened")
        self._held.pop()

    def _release(self, binding: int) -> None:
        while self._held and self._held[-1] != "(" and _BINDING[self._held[-1]] >= binding:
            self._steps.append(cast("_Operator", self._held.pop()))
