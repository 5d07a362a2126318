"""AppSync's errors, of the control plane and of Event APIs; words as far as they are known. Knows no state.

Sources: https://docs.aws.amazon.com/appsync/latest/APIReference/CommonErrors.html and, for the data plane, the words
that clients of AppSync report (docs/fidelity/appsync-events.md says which are unverified).
"""

from __future__ import annotations

__all__ = [
    "AppSyncError",
    "bad_request",
    "conflict",
    "not_found",
    "not_served",
    "unauthorized",
]

NOT_AUTHORIZED = "You are not authorized to make this call."


class AppSyncError(Exception):
    """AppSync refuses the request: an error's `code`, `message` and HTTP `status`."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def bad_request(message: str) -> AppSyncError:
    """A parameter makes no sense."""
    return AppSyncError("BadRequestException", message, 400)


def not_found(message: str) -> AppSyncError:
    """What is named is not there."""
    return AppSyncError("NotFoundException", message, 404)


def conflict(message: str) -> AppSyncError:
    """What is to be made is there already."""
    return AppSyncError("ConflictException", message, 409)


def unauthorized(message: str = NOT_AUTHORIZED) -> AppSyncError:
    """The caller may not, or does not say who it is."""
    return AppSyncError("UnauthorizedException", message, 401)


def not_served(what: str) -> AppSyncError:
    """An error of our own: AWS would take `what` (a plural or an action), the local cloud does not and says so."""
    return bad_request(f"{what} not served by this local cloud.")
