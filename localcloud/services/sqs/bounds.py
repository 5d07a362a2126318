"""The bounds of what sends and receives ask for, and the errors beyond them. Pure."""

from __future__ import annotations

from typing import Final

from localcloud.services.sqs.errors import SqsError, invalid_value

__all__ = ["MAX_VISIBILITY_S", "bad_visibility", "check_delay", "check_receive"]

MAX_VISIBILITY_S: Final = 43_200  # 12 h from the receive, sqs-visibility-timeout page
MAX_DELAY_S: Final = 900  # SendMessage
MAX_WAIT_S: Final = 20  # ReceiveMessage


def check_receive(wait_s: float, visibility_s: int) -> None:
    """Hold a receive against its bounds. Raises SqsError: InvalidParameterValue."""
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise invalid_value(
            f"Value {wait_s:g} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."
        )
    if not 0 <= visibility_s <= MAX_VISIBILITY_S:
        raise bad_visibility(visibility_s, "Must be >= 0 and <= 43200, if provided.")


def bad_visibility(visibility_s: int, reason: str) -> SqsError:
    """A visibility timeout is not allowed."""
    return invalid_value(f"Value {visibility_s} for parameter VisibilityTimeout is invalid. Reason: {reason}")


def check_delay(delay_s: int | None, *, own_s: int, fifo: bool) -> int:
    """The delay of a message: what was asked for, or the queue's own; a FIFO queue has no other.

    Raises SqsError: InvalidParameterValue.
    """
    delay = own_s if fifo or delay_s is None else delay_s
    if (fifo and delay_s) or not 0 <= delay <= MAX_DELAY_S:
        not_here = "The request include parameter that is not valid for this queue type."
        reason = not_here if fifo else "DelaySeconds must be >= 0 and <= 900."
        raise invalid_value(f"Value {delay_s} for parameter DelaySeconds is invalid. Reason: {reason}")
    return delay
