"""Event patterns of rules: the layer's engine with EventBridge's limits, and its refusals in EventBridge's words.

The sentences are Event Ruler's where they are known; the path of the field stands after them, where EventBridge gives
line and column. Knows no rule and no bus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from localcloud.services.events.errors import EventsError, invalid_pattern
from sluiceway.rules import patterns
from sluiceway.rules.patterns import InvalidPattern, Pattern
from sluiceway.rules.patterns.fields import Alternative, NoneOf, Wildcard

__all__ = ["PATTERN_LIMITS", "compile_pattern", "has_wildcards"]

PATTERN_LIMITS: Final = patterns.Limits()
_TOO_COMPLEX: Final = (
    "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a wildcard "
    "character"
)


def compile_pattern(text: str) -> Pattern:
    """The pattern in `text`. Raises EventsError: InvalidEventPatternException."""
    try:
        return patterns.compile(text, limits=PATTERN_LIMITS)
    except InvalidPattern as error:
        raise _refuse(error) from error


def has_wildcards(pattern: Pattern) -> bool:
    """Whether a wildcard stands in it: a bus takes few such rules."""
    return any(_is_wildcard(each) for way in pattern.ways for field in way.fields for each in field.alternatives)


def _is_wildcard(alternative: Alternative) -> bool:
    if isinstance(alternative, NoneOf):
        return any(isinstance(each, Wildcard) for each in alternative.alternatives)
    return isinstance(alternative, Wildcard)


def _refuse(error: InvalidPattern) -> EventsError:
    word = _WORDS.get(error.reason)
    sentence = error.rule if word is None else word(error)
    return invalid_pattern(f"{sentence}\n at {error.field}" if error.field else sentence)


def _last_name(error: InvalidPattern) -> str:
    return (error.field or "").rpartition(".")[2]


def _quoted(error: InvalidPattern) -> str:
    """What our sentence has in quotes: the operator that is none."""
    return error.rule.split("'")[1] if error.rule.count("'") > 1 else error.rule


def _describe_operand(error: InvalidPattern) -> str:
    for beginning, sentence in _OPERANDS:
        if error.rule.startswith(beginning):
            return sentence.format(_quoted(error))
    return error.rule


_OPERANDS: Final = (  # how our sentence begins, and Event Ruler's
    ("anything-but prefix takes text", "prefix/suffix match pattern must be a string"),
    ("anything-but suffix takes text", "prefix/suffix match pattern must be a string"),
    (
        "anything-but equals-ignore-case takes text",
        "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
    ),
    ("anything-but wildcard takes text", "wildcard match pattern must be a string"),
    ("anything-but takes no", "Unsupported anything-but pattern: {}"),
    ("exists takes", "exists match pattern must be either true or false."),
    ("cidr takes text", "prefix match pattern must be a string"),
    ("prefix takes text", "prefix match pattern must be a string"),
    ("suffix takes text", "suffix match pattern must be a string"),
    ("equals-ignore-case takes text", "equals-ignore-case match pattern must be a string"),
    ("wildcard takes text", "wildcard match pattern must be a string"),
)
_WORDS: Final[Mapping[str, Callable[[InvalidPattern], str]]] = {
    "empty-array": lambda _error: "Empty arrays are not allowed",
    "empty-object": lambda _error: "Empty objects are not allowed",
    "not-an-object": lambda _error: "Filter is not an object",
    "not-object-or-array": lambda error: f'"{_last_name(error)}" must be an object or an array',
    "operand": _describe_operand,
    "unknown-operator": lambda error: f"Unrecognized match type {_quoted(error)}",
    "wildcard": lambda error: (
        "Consecutive wildcard characters" if "two stars" in error.rule else error.rule[:1].upper() + error.rule[1:]
    ),
    "wildcard-complexity": lambda _error: _TOO_COMPLEX,
}
