"""One call of an operation: what it works on, and the pages of what it lists."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from localcloud.services.states.errors import StatesError, invalid_arn, validation
from localcloud.services.states.model import StateMachine, StateMachines
from localcloud.services.states.versions import Chosen

__all__ = ["MACHINE", "QUALIFIED", "Call", "Result", "cut"]

Result: TypeAlias = dict[str, Any]
T = TypeVar("T")
DEFAULT_PAGE: Final = 100  # maxResults: "the default is 100"
MACHINE: Final = re.compile(r"arn:aws[\w-]*:states:[\w-]+:\d{12}:stateMachine:[^:]+")
QUALIFIED: Final = re.compile(r"arn:aws[\w-]*:states:[\w-]+:\d{12}:stateMachine:[^:]+:[^:]+")
"""The ARN of a version or an alias."""


@dataclass(frozen=True, slots=True)
class Call:
    """One operation: what it works on. `may_log`: whether a role may have log deliveries made."""

    machines: StateMachines
    region: str
    values: Mapping[str, Any]
    may_log: Callable[[str], bool]

    def chosen(self) -> Chosen:
        """What executions of `stateMachineArn`, which may be qualified, begin with. Raises StatesError."""
        arn = self.values["stateMachineArn"]
        if not MACHINE.fullmatch(arn) and not QUALIFIED.fullmatch(arn):
            raise invalid_arn(arn)
        return self.machines.resolve(arn)

    def machine(self, member: str = "stateMachineArn") -> StateMachine:
        """The machine that a member names. Raises StatesError."""
        arn = self.values[member]
        if QUALIFIED.fullmatch(arn):
            raise validation("This operation is for state machines, not for their versions and aliases")
        if not MACHINE.fullmatch(arn):
            raise invalid_arn(arn)
        return self.machines.find(arn)


def cut(items: Sequence[T], values: Mapping[str, Any]) -> tuple[Sequence[T], Result]:
    """The page that a request asks for, and its nextToken. Raises StatesError InvalidToken."""
    start = _read_token(values["nextToken"]) if "nextToken" in values else 0
    most = values.get("maxResults") or DEFAULT_PAGE
    end = start + most
    more = {"nextToken": base64.b64encode(f"at {end}".encode()).decode()} if end < len(items) else {}
    return items[start:end], more


def _read_token(token: str) -> int:
    try:
        text = base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    found = re.fullmatch(r"at (\d{1,12})", text)
    if found is None:
        raise StatesError("InvalidToken", "Invalid Token: 'Invalid token'")
    return int(found[1])
