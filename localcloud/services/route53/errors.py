"""Route 53's error codes, in its own words.

Source: https://docs.aws.amazon.com/Route53/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Route53Error", "invalid_batch", "invalid_input", "no_such_check", "no_such_zone", "not_served"]


class Route53Error(Exception):
    """An error of the API: `code` and `message` as AWS spells them, `status` is HTTP's."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def invalid_input(message: str) -> Route53Error:
    """A member that is missing, or has no value that it may have."""
    return Route53Error("InvalidInput", message)


def invalid_batch(messages: Sequence[str]) -> Route53Error:
    """Changes that cannot be made together: nothing was changed. One message for each."""
    return Route53Error("InvalidChangeBatch", f"[{', '.join(messages)}]")


def no_such_zone(zone_id: str) -> Route53Error:
    """A hosted zone that is not there."""
    return Route53Error("NoSuchHostedZone", f"No hosted zone found with ID: {zone_id}", status=404)


def no_such_check(check_id: str) -> Route53Error:
    """A health check that is not there."""
    return Route53Error("NoSuchHealthCheck", f"A health check with id {check_id} does not exist.", status=404)


def not_served(what: str) -> Route53Error:
    """What Route 53 has and the local cloud has not, by name."""
    return Route53Error("NotImplemented", f"The local cloud does not serve {what}.", status=501)
