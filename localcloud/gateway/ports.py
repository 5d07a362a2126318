"""What the gateway asks of the rest of the local cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["FunctionReply", "FunctionUnavailableError", "Functions", "Roles"]


@dataclass(frozen=True, slots=True)
class FunctionReply:
    """What an invocation gave; `error` is the X-Amz-Function-Error header, "" where the function returned."""

    payload: bytes
    error: str = ""


class FunctionUnavailableError(Exception):
    """The invocation did not reach the function: not there, throttled, or (`is_too_large`) over Lambda's 6 MB."""

    def __init__(self, message: str, *, is_too_large: bool = False) -> None:
        super().__init__(message)
        self.is_too_large = is_too_large


class Functions(Protocol):
    """Lambda as API Gateway sees it."""

    async def invoke(self, function_arn: str, payload: bytes, *, trace_header: str) -> FunctionReply:
        """Invoke and wait. Raises FunctionUnavailableError."""
        ...

    def may_invoke(self, function_arn: str, *, source_arn: str) -> bool:
        """Whether the function's resource policy lets apigateway.amazonaws.com invoke it from `source_arn`."""
        ...


class Roles(Protocol):
    """IAM as API Gateway sees it."""

    def assume(self, role_arn: str) -> str:
        """The access key id of a session of the role. Raises LookupError where apigateway may not assume it."""
        ...
