"""The functions of the local cloud as a user pool calls them, where their permissions say so.

Source: https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-identity-pools-working-with-aws-lambda-triggers.html
"""

from __future__ import annotations

import json
from typing import Any, Final, Protocol, cast

from localcloud.services.cognito.triggers import Failed
from localcloud.services.lambda_.errors import LambdaError

__all__ = ["Invoked", "LambdaTriggers"]

PRINCIPAL: Final = "cognito-idp.amazonaws.com"


class Invoked(Protocol):
    """What a function answered."""

    @property
    def payload(self) -> bytes:
        """The answer, or the error as JSON."""
        ...

    @property
    def function_error(self) -> str:
        """ "" after success."""
        ...


class Invoke(Protocol):
    """Invokes a function by ARN and waits."""

    async def __call__(self, name_or_arn: str, payload: bytes) -> Invoked:
        """Its answer."""
        ...


class MayInvoke(Protocol):
    """Whether a function's policy lets a service call it for a source."""

    def __call__(self, function_arn: str, /, *, service: str, source_arn: str) -> bool:
        """Yes or no."""
        ...


class LambdaTriggers:
    """A `FunctionPort` over Lambda."""

    def __init__(self, invoke: Invoke, may_invoke: MayInvoke) -> None:
        self._invoke = invoke
        self._may_invoke = may_invoke

    async def __call__(self, function_arn: str, payload: bytes, *, source_arn: str) -> bytes:
        """What the function answers. Raises Failed with what it raised, and where it may not be called."""
        if not self._may_invoke(function_arn, service=PRINCIPAL, source_arn=source_arn):
            raise Failed("AccessDeniedException: the function's policy does not let this user pool call it")
        try:
            answer = await self._invoke(function_arn, payload)
        except LambdaError as error:
            raise Failed(str(error)) from error
        if answer.function_error:
            raise Failed(_message(answer.payload))
        return answer.payload


def _message(payload: bytes) -> str:
    try:
        told: object = json.loads(payload)
    except ValueError:
        told = None
    found = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    return str(found.get("errorMessage", "the function failed"))
