"""The errors of CloudFormation's API, all of them the sender's.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

__all__ = ["CloudFormationError"]


class CloudFormationError(Exception):
    """CloudFormation refuses the request: `code` as on the wire (`ValidationError`)."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
