"""The error answers of EventBridge Scheduler. Knows no state.

Source: https://docs.aws.amazon.com/scheduler/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

__all__ = [
    "SchedulerError",
    "conflict",
    "no_group",
    "no_schedule",
    "not_served",
    "over_quota",
    "validation",
]


class SchedulerError(Exception):
    """Scheduler refuses the request: an error's `code`, `message` and HTTP `status`."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def validation(message: str) -> SchedulerError:
    """A parameter makes no sense."""
    return SchedulerError("ValidationException", message, 400)


def no_schedule(name: str) -> SchedulerError:
    """The group has no schedule of this name."""
    return SchedulerError("ResourceNotFoundException", f"Schedule {name} does not exist.", 404)


def no_group(name: str) -> SchedulerError:
    """There is no group of this name."""
    return SchedulerError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)


def conflict(message: str) -> SchedulerError:
    """There is a resource of this name already."""
    return SchedulerError("ConflictException", message, 409)


def over_quota(message: str) -> SchedulerError:
    """A quota is used up."""
    return SchedulerError("ServiceQuotaExceededException", message, 402)


def not_served(what: str) -> SchedulerError:
    """An error of our own: AWS would take `what` (a plural), the local cloud does not and says so."""
    return validation(f"{what} not served by this local cloud.")
