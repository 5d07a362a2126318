"""Event patterns: the language of EventBridge rules and of Lambda's filter criteria, one pattern at a time.

    pattern = patterns.compile('{"source": ["shop"], "detail": {"total": [{"numeric": [">", 100]}]}}')
    pattern.matches({"source": "shop", "detail": {"total": 120}})

The semantics are Event Ruler's, as its releases and EventBridge's own answers show them; docs/patterns.md lists what is
kept of its quirks and which of its faults are not. Matching is linear in the event, for any pattern. Many patterns at
once: `sluiceway.rules.index`. Must not know where events come from.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from sluiceway.rules.patterns.decoding import read_event
from sluiceway.rules.patterns.fields import Field
from sluiceway.rules.patterns.limits import OPERATORS, PIPES, InvalidPattern, Limits
from sluiceway.rules.patterns.paths import Paths
from sluiceway.rules.patterns.syntax import read_ways
from sluiceway.rules.patterns.ways import Way

__all__ = ["OPERATORS", "PIPES", "InvalidPattern", "Limits", "Pattern", "compile"]

FEW: Final = 3  # fields that are looked at before an event is walked
_DEFAULT: Final = Limits()


class Pattern:
    """A compiled pattern; `compile` makes them. `ways`: the conjunctions of which one must hold."""

    __slots__ = ("_paths", "_ways", "ways")

    def __init__(self, ways: tuple[Way, ...]) -> None:
        self.ways = ways
        self._ways = [(way, tuple(field for field in way.fields if "." not in field.path)[:FEW]) for way in ways]
        self._paths = Paths()
        for path in {field.path for way in ways for field in way.fields}:
            self._paths.add(path)

    def matches(self, event: str | bytes | Mapping[str, object]) -> bool:
        """Whether `event`, JSON text or decoded JSON, matches.

        A decoded event must hold what JSON has: another value at a path of the pattern is a TypeError.
        Raises: Rejected for an event that is no JSON object (`malformed-event`), or that says paths of the pattern with
        and without dots in so many ways that it cannot be decided (`ambiguous-event`).
        """
        decoded = read_event(event)
        ways = [way for way, tops in self._ways if _may_hold(tops, decoded)]
        if not ways:
            return False
        found = self._paths.find(decoded)
        return any(way.holds(found, decoded) for way in ways)


def _may_hold(tops: tuple[Field, ...], event: Mapping[str, object]) -> bool:
    """False where a field of the event itself is a text that does not fit, as most events of other sources have."""
    for field in tops:
        value = event.get(field.path)
        if value.__class__ is str and not field.accepts(cast("str", value)):
            return False
    return True


def compile(  # noqa: A001 - as re.compile: the module is part of the name
    pattern: str | bytes | Mapping[str, object], *, limits: Limits = _DEFAULT
) -> Pattern:
    """The pattern in `pattern`, JSON text or decoded JSON. Raises: InvalidPattern."""
    return Pattern(read_ways(pattern, limits))
