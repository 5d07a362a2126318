"""What a pattern may cost and use, and how one is refused. The defaults are EventBridge's.

Sources: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html (1,000 combinations,
operators of pipes) and https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern.html.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from sluiceway.errors import Rejected

__all__ = ["MAX_DEPTH", "OPERATORS", "PIPES", "InvalidPattern", "Limits"]

MAX_DEPTH: Final = 100  # names of a path, and what of arrays in arrays is looked into; ours: AWS names no limit
OPERATORS: Final = frozenset(
    {
        "anything-but",
        "anything-but equals-ignore-case",
        "anything-but prefix",
        "anything-but suffix",
        "anything-but wildcard",
        "cidr",
        "equals-ignore-case",
        "exactly",
        "exists",
        "numeric",
        "prefix",
        "prefix equals-ignore-case",
        "suffix",
        "suffix equals-ignore-case",
        "wildcard",
    }
)
_NOT_IN_PIPES: Final = {"wildcard", *(name for name in OPERATORS if name.startswith("anything-but "))}


class InvalidPattern(Rejected):
    """A pattern that breaks a rule of the language.

    `rule` says which, `reason` is its code, `field` the path in the pattern, "" for the whole.
    """

    def __init__(self, rule: str, *, reason: str, path: str = "") -> None:
        super().__init__(f"{path or 'the pattern'}: {rule}", reason=reason, field=path)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one pattern.

    `combinations`: how many ways its `$or` lists allow together. `fields`: in one such way. `wildcard_complexity`: how
    many beginnings of a field's wildcards one text may match at once; EventBridge refuses a pattern that scores 11, and
    10 is the number in Event Ruler's own examples. `largest_number`: of an operand of `numeric`, either side of zero;
    EventBridge documents 5e9, Event Ruler has no bound. `operators`: those that are served.
    `or_may_be_a_name`: a `$or` that is not two objects or more without names of operators is the field `$or`, as for
    Event Ruler's addRule and SNS; else it is refused. `exists_means_filled`: null and "" do not exist, as SNS has it.
    """

    combinations: int = 1_000
    fields: int = 256
    wildcard_complexity: int = 10
    largest_number: float = math.inf
    operators: frozenset[str] = field(default=OPERATORS)
    or_may_be_a_name: bool = False
    exists_means_filled: bool = False


PIPES: Final = Limits(operators=OPERATORS - _NOT_IN_PIPES)
