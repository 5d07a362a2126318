"""What is wrong with an expression, in the order in which AWS looks.

AWS parses the whole expression, then reports one fault: the kind it checks first, and of that kind the leftmost. A
syntax error stops the parse and is reported at once. Knows no grammar.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn

from localcloud.services.dynamodb.errors import DynamoError, validation

__all__ = ["Fault", "Faults"]


class Fault(IntEnum):
    """Kinds of fault, first checked first. Observed order, see docs/fidelity/dynamodb.md."""

    FUNCTION_NAME = 1
    MISUSED_FUNCTION = 2
    RESERVED_WORD = 3
    SECTION_TWICE = 4
    UNDEFINED = 5
    OVERLAP = 6
    CONFLICT = 7
    SECTION_TYPE = 8
    OPERAND_COUNT = 9
    OPERAND_TYPE = 10
    NEEDS_PATH = 11
    NOT_DISTINCT = 12
    BOUNDS = 13


class Faults:
    """Collects the faults of one expression; `expression` is its parameter (`ConditionExpression`)."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._worst: tuple[Fault, str] | None = None

    def note(self, fault: Fault, message: str) -> None:
        """Remember a fault; the parse goes on."""
        if self._worst is None or fault < self._worst[0]:
            self._worst = (fault, message)

    def stop(self, message: str) -> NoReturn:
        """Report at once. Raises DynamoError."""
        raise self._error(message)

    def settle(self) -> None:
        """Report the first noted fault, if there is any. Raises DynamoError."""
        if self._worst is not None:
            raise self._error(self._worst[1])

    def _error(self, message: str) -> DynamoError:
        return validation(f"Invalid {self.expression}: {message}")
