"""The error answers of Step Functions. Knows no state.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/CommonErrors.html
"""

from __future__ import annotations

__all__ = [
    "StatesError",
    "invalid_arn",
    "invalid_definition",
    "invalid_name",
    "no_execution",
    "no_machine",
    "no_resource",
    "not_served",
    "validation",
    "wrong_type",
]


class StatesError(Exception):
    """Step Functions refuses the request: an error's `code`, `message` and HTTP `status`."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def validation(message: str) -> StatesError:
    """A parameter makes no sense."""
    return StatesError("ValidationException", message)


def invalid_arn(arn: str, detail: str = "") -> StatesError:
    """The ARN is none of Step Functions'."""
    return StatesError("InvalidArn", f"Invalid Arn: '{detail or 'Invalid ARN'}: {arn}'")


def invalid_name(name: str) -> StatesError:
    """The name has characters that names may not have."""
    return StatesError("InvalidName", f"Invalid Name: '{name}'")


def invalid_definition(problems: str) -> StatesError:
    """The definition is none; `problems` says where and why."""
    return StatesError("InvalidDefinition", f"Invalid State Machine Definition: '{problems}'")


def no_machine(arn: str) -> StatesError:
    """There is no state machine of this ARN."""
    return StatesError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")


def no_execution(arn: str) -> StatesError:
    """There is no execution of this ARN."""
    return StatesError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")


def no_resource(arn: str) -> StatesError:
    """Nothing has this ARN."""
    return StatesError("ResourceNotFound", f"Resource not found: '{arn}'")


def wrong_type(message: str) -> StatesError:
    """The operation is for state machines of the other type."""
    return StatesError("StateMachineTypeNotSupported", message)


def not_served(what: str) -> StatesError:
    """An error of our own: AWS would take `what`, the local cloud does not and says so."""
    return validation(f"{what} not served by this local cloud.")
