"""The attributes of a queue: their names, defaults and bounds. Pure; text in and out as on the wire.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.sqs.errors import SqsError, invalid_value
from localcloud.services.sqs.permissions import check_policy

__all__ = [
    "DEFAULT_REUSE_S",
    "READ_ONLY",
    "Redrive",
    "check_attributes",
    "default_attributes",
    "merge_attributes",
    "parse_redrive",
    "readable_names",
]

DEFAULT_REUSE_S: Final = "300"  # KmsDataKeyReusePeriodSeconds, told where it was set
_BOUNDS: Final[Mapping[str, tuple[int, int, int]]] = {  # least, most, default
    "DelaySeconds": (0, 900, 0),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400, int(DEFAULT_REUSE_S)),
    "MaximumMessageSize": (1_024, 1_048_576, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600, 345_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20, 0),
    "VisibilityTimeout": (0, 43_200, 30),
}
_TEXTS: Final = ("KmsMasterKeyId", "Policy", "RedriveAllowPolicy", "RedrivePolicy")  # "" removes them
_FLAGS: Final = ("SqsManagedSseEnabled",)
_FIFO_ONLY: Final[Mapping[str, tuple[str, str]]] = {  # the default first, API_CreateQueue
    "ContentBasedDeduplication": ("false", "true"),
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
READ_ONLY: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
)
_ONE_ENCRYPTION: Final = (
    "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE."
)
MAX_RECEIVES: Final = 1_000  # API_SetQueueAttributes, RedrivePolicy
MAX_SOURCES: Final = 10  # API_SetQueueAttributes, RedriveAllowPolicy sourceQueueArns
_ARN: Final = re.compile(r"arn:[a-z0-9-]+:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}(\.fifo)?")


@dataclass(frozen=True, slots=True)
class Redrive:
    """Where a message goes that was received `max_receives` times and not deleted."""

    target_arn: str
    max_receives: int


def default_attributes(*, fifo: bool = False) -> dict[str, str]:
    """What a new queue has."""
    found = {name: str(bounds[2]) for name, bounds in _BOUNDS.items() if name != "KmsDataKeyReusePeriodSeconds"}
    if fifo:
        found |= {name: values[0] for name, values in _FIFO_ONLY.items()} | {"FifoQueue": "true"}
    return found | {"SqsManagedSseEnabled": "true"}


def readable_names() -> frozenset[str]:
    """What GetQueueAttributes may be asked for, `All` apart."""
    return frozenset((*_BOUNDS, *_TEXTS, *_FLAGS, *_FIFO_ONLY, *READ_ONLY, "FifoQueue"))


def check_attributes(attributes: Mapping[str, str], *, now: Mapping[str, str] | None = None) -> None:
    """Hold new attribute values against their bounds, and against what the queue has `now` (its defaults, if new).

    Raises SqsError: InvalidAttributeName, InvalidAttributeValue, InvalidParameterValue, OverLimit.
    """
    had = default_attributes() if now is None else now
    is_fifo = had.get("FifoQueue") == "true"
    for name, value in attributes.items():
        _check_one(name, value, is_fifo=is_fifo)
    if is_fifo:
        _check_throughput(dict(had) | dict(attributes))
    if attributes.get("KmsMasterKeyId") and attributes.get("SqsManagedSseEnabled", "").lower() == "true":
        raise SqsError("InvalidAttributeName", _ONE_ENCRYPTION)


def merge_attributes(had: Mapping[str, str], attributes: Mapping[str, str]) -> dict[str, str]:
    """What a queue has once these have been set; "" removes one. A KMS key and SQS's own keys exclude each other."""
    merged = dict(had) | dict(attributes)
    if attributes.get("KmsMasterKeyId"):
        merged["SqsManagedSseEnabled"] = "false"
    elif attributes.get("SqsManagedSseEnabled", "").lower() == "true":
        merged |= {"KmsDataKeyReusePeriodSeconds": "", "KmsMasterKeyId": ""}
    return {name: value for name, value in merged.items() if value}


def _check_one(name: str, value: str, *, is_fifo: bool) -> None:
    if name in _BOUNDS:
        _check_number(name, value)
    elif name in _TEXTS:
        _check_text(name, value)
    elif name in _FLAGS or (is_fifo and name in _FIFO_ONLY):
        _check_choice(name, value)
    elif is_fifo and name == "FifoQueue":
        if value != "true":
            raise _bad_value(name, "Modifying queue type is not supported.")
    else:  # AWS knows FIFO's attributes of FIFO queues only, and FifoQueue=false of none
        raise SqsError("InvalidAttributeName", f"Unknown Attribute {name}.")


def _check_throughput(merged: Mapping[str, str]) -> None:
    by_group = merged.get("FifoThroughputLimit") == "perMessageGroupId"
    if by_group and merged.get("DeduplicationScope") != "messageGroup":
        raise _bad_value(
            "FifoThroughputLimit",
            "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.",
        )


def parse_redrive(text: str) -> Redrive | None:
    """Read a RedrivePolicy; None for "".

    Raises SqsError: InvalidParameterValue with the reason.
    """
    if not text:
        return None
    policy = _json_object("RedrivePolicy", text)
    unknown = policy.keys() - {"deadLetterTargetArn", "maxReceiveCount"}
    if unknown:
        raise _bad_policy(
            "RedrivePolicy", text, f"Redrive policy contains unknown fields: {', '.join(sorted(unknown))}."
        )
    target, count = policy.get("deadLetterTargetArn"), policy.get("maxReceiveCount")
    if target is None or count is None:
        absent = "deadLetterTargetArn" if target is None else "maxReceiveCount"
        raise _bad_policy("RedrivePolicy", text, f"Redrive policy does not contain mandatory attribute: {absent}.")
    if not isinstance(target, str) or not _ARN.fullmatch(target):
        raise _bad_policy("RedrivePolicy", text, "Invalid value for deadLetterTargetArn.")
    if not re.fullmatch(r"\d{1,4}", str(count)) or not 1 <= int(str(count)) <= MAX_RECEIVES:
        raise _bad_policy(
            "RedrivePolicy",
            text,
            f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to 1000 both inclusive.",
        )
    return Redrive(target, int(str(count)))


def allows_source(text: str, source_arn: str) -> bool:
    """Whether a RedriveAllowPolicy lets `source_arn` use its queue as dead-letter queue ("": every queue may)."""
    if not text:
        return True
    policy = _json_object("RedriveAllowPolicy", text)
    permission = policy.get("redrivePermission")
    if permission == "byQueue":
        sources = policy.get("sourceQueueArns")
        return isinstance(sources, list) and source_arn in cast("list[object]", sources)
    return permission == "allowAll"


def _check_choice(name: str, value: str) -> None:
    is_known = value in _FIFO_ONLY[name] if name in _FIFO_ONLY else value.lower() in ("true", "false")
    if not is_known:
        raise _bad_value(name)


def _check_number(name: str, value: str) -> None:
    least, most, _ = _BOUNDS[name]
    if not re.fullmatch(r"\d{1,10}", value) or not least <= int(value) <= most:
        raise _bad_value(name)


def _check_text(name: str, value: str) -> None:
    if name == "RedrivePolicy":
        parse_redrive(value)
    elif name == "RedriveAllowPolicy" and value:
        _check_allow(value)
    elif name == "Policy" and value:
        check_policy(value)


def _check_allow(text: str) -> None:
    policy = _json_object("RedriveAllowPolicy", text)
    permission, sources = policy.get("redrivePermission"), policy.get("sourceQueueArns")
    if policy.keys() - {"redrivePermission", "sourceQueueArns"} or permission not in ("allowAll", "denyAll", "byQueue"):
        raise _bad_policy("RedriveAllowPolicy", text, "Amazon SQS can't create the redrive allow policy.")
    if (permission == "byQueue") != (sources is not None):
        raise _bad_policy(
            "RedriveAllowPolicy", text, "sourceQueueArns goes with redrivePermission byQueue, and only with it."
        )
    if sources is not None and not _are_arns(sources):
        raise _bad_policy("RedriveAllowPolicy", text, f"sourceQueueArns must be 1 to {MAX_SOURCES} queue ARNs.")


def _are_arns(sources: object) -> bool:
    if not isinstance(sources, list):
        return False
    arns = cast("list[object]", sources)
    return 1 <= len(arns) <= MAX_SOURCES and all(isinstance(arn, str) and _ARN.fullmatch(arn) for arn in arns)


def _json_object(name: str, text: str) -> dict[str, object]:
    try:
        found = parse_json(text)
    except MalformedJson as error:
        raise _bad_policy(name, text, "It is not valid JSON.") from error
    if not isinstance(found, dict):
        raise _bad_policy(name, text, "It is not a JSON object.")
    return cast("dict[str, object]", found)


def _bad_value(name: str, reason: str = "") -> SqsError:
    because = f" Reason: {reason}" if reason else ""
    return SqsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.{because}")


def _bad_policy(name: str, text: str, reason: str) -> SqsError:
    return invalid_value(f"Value {text} for parameter {name} is invalid. Reason: {reason}")
