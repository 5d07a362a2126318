"""The error answers of EventBridge Pipes. Knows no state.

Source: https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/CommonErrors.html
"""

from __future__ import annotations

__all__ = ["PipesError", "conflict", "not_found", "not_served", "validation"]


class PipesError(Exception):
    """Pipes refuses the request: an error's `code`, `message` and HTTP `status`."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def validation(message: str) -> PipesError:
    """A parameter makes no sense."""
    return PipesError("ValidationException", message, 400)


def not_found(name: str) -> PipesError:
    """There is no pipe of this name."""
    return PipesError("NotFoundException", f"Pipe {name} does not exist.", 404)


def conflict(message: str) -> PipesError:
    """The pipe is there already, or is being changed."""
    return PipesError("ConflictException", message, 409)


def not_served(what: str) -> PipesError:
    """An error of our own: AWS would take `what`, the local cloud does not and says so."""
    return validation(f"{what} not served by this local cloud.")
