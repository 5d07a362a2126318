"""The errors of CloudWatch Logs, with their codes and AWS's words. Knows no state.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

__all__ = ["LogsError", "group_missing", "invalid", "stream_missing"]


class LogsError(Exception):
    """Logs refuses the request: `code` is the error's name, `message` its text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = 400


def invalid(message: str) -> LogsError:
    """An InvalidParameterException that says `message`."""
    return LogsError("InvalidParameterException", message)


def group_missing() -> LogsError:
    """There is no such log group."""
    return LogsError("ResourceNotFoundException", "The specified log group does not exist.")


def stream_missing() -> LogsError:
    """The group has no such stream."""
    return LogsError("ResourceNotFoundException", "The specified log stream does not exist.")
