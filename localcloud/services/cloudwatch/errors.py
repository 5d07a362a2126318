"""CloudWatch's error answers, each with the code and the words of AWS.

Knows the codes, the names of their shapes and the HTTP statuses; knows nothing of the state that made them.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CloudWatchError",
    "bad_combination",
    "bad_token",
    "bad_value",
    "malformed",
    "missing",
    "no_such_alarm",
    "not_served",
    "validation",
]

_SHAPES: Final = {  # the service model's names of what the query protocol calls by a code
    "InvalidParameterValue": "InvalidParameterValueException",
    "InvalidParameterCombination": "InvalidParameterCombinationException",
    "MissingParameter": "MissingRequiredParameterException",
    "InvalidFormat": "InvalidFormatFault",
    "LimitExceeded": "LimitExceededFault",
}


class CloudWatchError(Exception):
    """One error answer: `code` as the query protocol has it, `message` in AWS's words, the HTTP `status`."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    @property
    def shape(self) -> str:
        """The error's name in the service model, which the JSON and CBOR protocols tell."""
        return _SHAPES.get(self.code, self.code)


def bad_value(message: str) -> CloudWatchError:
    """A parameter has a value that it may not have."""
    return CloudWatchError("InvalidParameterValue", message)


def bad_combination(message: str) -> CloudWatchError:
    """Parameters are given that exclude each other, or ask for too much together."""
    return CloudWatchError("InvalidParameterCombination", message)


def missing(name: str) -> CloudWatchError:
    """The parameter `name` is missing."""
    return CloudWatchError("MissingParameter", f"The parameter {name} is required.")


def validation(message: str) -> CloudWatchError:
    """A ValidationError, which GetMetricData and DescribeAlarms give."""
    return CloudWatchError("ValidationError", message)


def no_such_alarm() -> CloudWatchError:
    """SetAlarmState of an alarm that is not there, in the one word that AWS has for it."""
    return CloudWatchError("ResourceNotFound", "Unknown", status=404)


def bad_token() -> CloudWatchError:
    """A NextToken that no answer gave."""
    return CloudWatchError("InvalidNextToken", "The next token specified is invalid.")


def malformed(message: str) -> CloudWatchError:
    """The request's body has not the form of its protocol."""
    return CloudWatchError("MalformedInput", message)


def not_served(what: str) -> CloudWatchError:
    """An error of our own: AWS would take `what`, the local cloud does not and says so."""
    return bad_value(f"The local cloud does not serve {what}.")
