"""What a console does not answer, in a sentence for people."""

from __future__ import annotations

__all__ = ["ApiError"]


class ApiError(Exception):
    """What was asked cannot be answered; the message is a sentence for people."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
