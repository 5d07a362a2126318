"""The errors of the Lambda API: code, HTTP status, and the fields its error shapes have.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "LambdaError",
    "bad_constraint",
    "bad_content",
    "no_such_function",
    "not_found",
    "refused",
    "service_failed",
    "throttled",
    "too_large",
]

_SHOWN_CHARS: Final = 256  # of a value, in an error


@dataclass(slots=True)
class LambdaError(Exception):
    """Lambda refuses or fails the request. `message_key` is how the error's shape spells it in JSON."""

    code: str
    message: str
    status: int
    fault: str = "User"
    message_key: str = "message"
    extra: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def no_such_function(arn: str) -> LambdaError:
    """No function has this ARN."""
    return LambdaError("ResourceNotFoundException", f"Function not found: {arn}", 404, message_key="Message")


def not_found(text: str) -> LambdaError:
    """Something else than a function is not there."""
    return LambdaError("ResourceNotFoundException", text, 404, message_key="Message")


def refused(text: str) -> LambdaError:
    """A value that Lambda does not take."""
    return LambdaError("InvalidParameterValueException", text, 400)


def bad_constraint(name: str, value: object, constraint: str) -> LambdaError:
    """A value against the API's model."""
    member = name[0].lower() + name[1:]
    shown = f"Value '{str(value)[:_SHOWN_CHARS]}' at '{member}'"
    return LambdaError(
        "ValidationException", f"1 validation error detected: {shown} failed to satisfy constraint: {constraint}", 400
    )


def throttled(reason: str, *, after_s: int = 1) -> LambdaError:
    """No concurrency is left; `reason` is a ThrottleReason of the API, `after_s` when it is worth a try."""
    headers = {"retry-after": str(after_s)}
    return LambdaError("TooManyRequestsException", "Rate Exceeded.", 429, extra={"Reason": reason}, headers=headers)


def too_large(limit_bytes: int) -> LambdaError:
    """The payload is larger than this kind of invocation takes."""
    message = f"Request must be smaller than {limit_bytes} bytes for the InvokeFunction operation"
    return LambdaError("RequestTooLargeException", message, 413)


def bad_content(detail: str) -> LambdaError:
    """The payload is no JSON."""
    message = f"Could not parse request body into json: Could not parse payload into json: {detail}"
    return LambdaError("InvalidRequestContentException", message, 400)


def service_failed(message: str) -> LambdaError:
    """The local cloud itself failed."""
    return LambdaError("ServiceException", message, 500, fault="Service", message_key="Message")
