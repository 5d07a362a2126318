"""Batch requests whose entries can fail one by one: what came of them.

SQS, SNS, EventBridge and Kinesis answer a batch with a success that may hold refusals. Owns how such a refusal becomes
one of the framework's errors. Must not know any one request's shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from sluiceway.aws.reply import Fault
from sluiceway.errors import ServiceError

__all__ = ["Entry", "Failures", "read_failures", "refuse_entry"]

Failures: TypeAlias = "Mapping[int, ServiceError]"
"""Entries that were not taken, by their place in the batch."""

_LATER: Final = frozenset(
    {
        "InternalException",
        "InternalFailure",
        "InternalError",
        "KMSThrottling",
        "KMSThrottlingException",
        "KmsThrottled",
        "ProvisionedThroughputExceededException",
        "RequestThrottled",
        "ServiceUnavailable",
        "ThrottledException",
        "ThrottlingException",
    }
)


class Entry(NamedTuple):
    """One message of a batch to a queue or an SNS topic. `attributes` go as String attributes.

    `group` and `dedup_id` are for FIFO queues and topics, "" elsewhere.
    """

    body: str
    attributes: Mapping[str, str]
    group: str = ""
    dedup_id: str = ""


def read_failures(service: str, operation: str, answers: Sequence[Mapping[str, Any]]) -> Failures:
    """The entries that have an `ErrorCode`, of `answers` in the request's order: Kinesis's and EventBridge's form."""
    return {
        at: refuse_entry(
            service=service,
            operation=operation,
            code=str(answer["ErrorCode"]),
            message=str(answer.get("ErrorMessage", "")),
        )
        for at, answer in enumerate(answers)
        if answer.get("ErrorCode")
    }


def refuse_entry(
    *, service: str, operation: str, code: str, message: str = "", is_senders_fault: bool | None = None
) -> ServiceError:
    """The error for one entry: it may be taken later, or never.

    Who is at fault goes by the code where nobody said; a service may call a throttled sender that as well.
    """
    fault = Fault(200, code or "Unknown", message, "")
    may_pass = code in _LATER or is_senders_fault is False
    return fault.outage(service, operation, after_s=None) if may_pass else fault.refusal(service, operation)
