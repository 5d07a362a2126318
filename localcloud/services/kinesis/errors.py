"""The errors of Kinesis Data Streams, each with the code and, where they are public, the words of AWS.

Knows the codes and their HTTP statuses; knows nothing of the state that made them.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html and each operation's page.
"""

from __future__ import annotations

from typing import Final

from localcloud.services.contract import ACCOUNT_ID

__all__ = [
    "KinesisError",
    "Throttled",
    "exceeds_limit",
    "in_use",
    "invalid",
    "malformed",
    "member_violation",
    "not_active",
    "not_served",
    "provisioned_only",
    "shard_missing",
    "stream_missing",
    "too_many_calls",
]

_STATUSES: Final = {"InternalFailure": 500, "InternalFailureException": 500}


class KinesisError(Exception):
    """Kinesis refuses the request: `code` is the error's name, `message` its text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = _STATUSES.get(code, 400)

    def body(self) -> dict[str, str]:
        """The JSON object that goes on the wire."""
        return {"__type": self.code, ("Message" if self.code == "SerializationException" else "message"): self.message}


class Throttled(KinesisError):
    """The throughput of a shard is used up: ProvisionedThroughputExceededException. `after_s`: when it is not."""

    def __init__(self, shard_id: str, stream: str, *, after_s: float) -> None:
        message = f"Rate exceeded for shard {shard_id} in stream {stream} under account {ACCOUNT_ID}."
        super().__init__("ProvisionedThroughputExceededException", message)
        self.after_s = after_s


def invalid(message: str) -> KinesisError:
    """An InvalidArgumentException that says `message`."""
    return KinesisError("InvalidArgumentException", message)


def malformed(message: str) -> KinesisError:
    """A SerializationException: the JSON does not have the API's shape."""
    return KinesisError("SerializationException", message)


def member_violation(value: object, member: str, constraint: str) -> KinesisError:
    """A ValidationException of the request's shape; `member` is the lower-camel path, `value` None where absent."""
    shown = "null" if value is None else f"'{value}'"
    return KinesisError(
        "ValidationException",
        f"1 validation error detected: Value {shown} at '{member}' failed to satisfy constraint: {constraint}",
    )


def stream_missing(name: str) -> KinesisError:
    """There is no stream of this name, or it is still being created."""
    return KinesisError("ResourceNotFoundException", f"Stream {name} under account {ACCOUNT_ID} not found.")


def shard_missing(shard_id: str, stream: str) -> KinesisError:
    """The stream has no such shard."""
    message = f"Could not find shard {shard_id} in stream {stream} under account {ACCOUNT_ID}."
    return KinesisError("ResourceNotFoundException", message)


def in_use(message: str) -> KinesisError:
    """A ResourceInUseException that says `message`."""
    return KinesisError("ResourceInUseException", message)


def not_active(stream: str, status: str) -> KinesisError:
    """The operation needs an ACTIVE stream."""
    return in_use(f"Stream {stream} under account {ACCOUNT_ID} not ACTIVE, instead in state {status}")


def exceeds_limit(message: str) -> KinesisError:
    """A LimitExceededException that says `message`."""
    return KinesisError("LimitExceededException", message)


def too_many_calls(stream: str) -> KinesisError:
    """A control operation was called too often; `stream` "" where the limit is the account's."""
    return exceeds_limit(
        f"Rate exceeded for stream {stream} under account {ACCOUNT_ID}." if stream else "Rate exceeded"
    )


def provisioned_only(stream: str) -> KinesisError:
    """The operation is for streams in provisioned mode."""
    message = f"Request is invalid. Stream {stream} under account {ACCOUNT_ID} is in On-Demand mode."
    return KinesisError("ValidationException", message)


def not_served(what: str) -> KinesisError:
    """AWS would take `what`; the local cloud does not, and says so."""
    return invalid(f"The local cloud does not serve {what}.")
