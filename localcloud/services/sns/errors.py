"""The errors of SNS, all of them the sender's, with code and HTTP status; and `Undeliverable`, which endpoints raise.

Source: https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html and each action's page.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SnsError", "Undeliverable", "invalid", "invalid_attribute", "no_such_topic", "not_served"]

_STATUS: Final = {  # everything else is a 400
    "FilterPolicyLimitExceeded": 403,
    "NotFound": 404,
    "ResourceNotFound": 404,
    "SubscriptionLimitExceeded": 403,
    "TopicLimitExceeded": 403,
}


class SnsError(Exception):
    """SNS refuses the request: `code` as on the wire (`InvalidParameter`), `status` its HTTP status."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = _STATUS.get(code, 400)


class Undeliverable(Exception):
    """An endpoint did not take a message. `retry`: it may take it later (a server error); else it never will."""

    def __init__(self, code: str, message: str, *, retry: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry = retry


def invalid(detail: str) -> SnsError:
    """A parameter is not as it must be."""
    return SnsError("InvalidParameter", f"Invalid parameter: {detail}")


def invalid_attribute(detail: str) -> SnsError:
    """A message attribute is not as it must be."""
    return SnsError("ParameterValueInvalid", detail)


def no_such_topic() -> SnsError:
    """No topic has this ARN."""
    return SnsError("NotFound", "Topic does not exist")


def not_served(what: str) -> SnsError:
    """SNS has it and the local cloud has not."""
    return invalid(f"{what} not served by this local cloud")
