"""The errors of the Bedrock runtime, which of them a model's failure is, and how usage is told.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.models.engine import FailureKind, ModelFailure, Usage

__all__ = ["BedrockError", "describe_usage", "exception_in_stream", "from_failure", "invalid"]

_STATUS: Final = {
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}
_FAILURES: Final[Mapping[FailureKind, tuple[str, str]]] = {
    "corrupt": ("InternalServerException", "The server encountered an internal error. Try your request again."),
    "cut": ("InternalServerException", "The server encountered an internal error. Try your request again."),
    "failed": ("ModelErrorException", "The model failed to process the request. Try your request again."),
    "no_prefill": (
        "ValidationException",
        (
            "The model that you are using requires the last turn in the conversation to be a user message. "
            "Add a user message to the conversation and try again."
        ),
    ),
    "not_ready": ("ModelNotReadyException", "The model is not ready for inference. Wait and try your request again."),
    "throttled": ("ThrottlingException", "Too many requests, please wait before trying again."),
    "timeout": ("ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    "too_long": ("ValidationException", "Input is too long for requested model."),
    "unavailable": ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}


# ConverseStreamOutput has five exceptions; what else may happen to a model is a modelStreamErrorException with a status
_IN_STREAM: Final[Mapping[FailureKind, str]] = {
    "no_prefill": "validationException",
    "not_ready": "serviceUnavailableException",
    "throttled": "throttlingException",
    "too_long": "validationException",
    "unavailable": "serviceUnavailableException",
}


class BedrockError(Exception):
    """Bedrock refuses or fails: `code` is the exception's name in the API, `status` its HTTP status."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = _STATUS[code]


def invalid(message: str) -> BedrockError:
    """The request is wrong."""
    return BedrockError("ValidationException", message)


def from_failure(failure: ModelFailure) -> BedrockError:
    """A model's failure, in AWS's words; the model's own are for the log."""
    return BedrockError(*_FAILURES[failure.kind])


def exception_in_stream(failure: ModelFailure) -> tuple[str, dict[str, object]]:
    """The exception event of a model's failure after the stream has begun: its type and its payload."""
    error = from_failure(failure)
    name = _IN_STREAM.get(failure.kind)
    if name is not None:
        return name, {"message": error.message}
    original = {"originalStatusCode": error.status, "originalMessage": error.message}
    return "modelStreamErrorException", {"message": error.message, **original}


def describe_usage(usage: Usage) -> dict[str, object]:
    """A TokenUsage."""
    return {
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output,
    }
