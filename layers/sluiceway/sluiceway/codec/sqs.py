"""SQS event source mapping: a batch of messages in, a partial batch response out.

Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sluiceway.codec.shape import malformed, mapping, sequence, text
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage

__all__ = ["correlation_id", "decode", "encode"]

MAX_RECORDS: Final = 10_000  # the largest BatchSize of a standard queue
# Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html

MAX_DIGITS: Final = 18  # of a count or a time: what fits 64 bits


def decode(raw: object) -> SqsBatch:
    """The batch, in delivery order: at most 10,000 messages of one queue. Raises: Rejected (`malformed-event`)."""
    records = sequence(mapping(raw, "root").get("Records"), "Records")
    if len(records) > MAX_RECORDS:
        raise malformed("Records", f"an array of at most {MAX_RECORDS}")
    messages = tuple(_message(record, index) for index, record in enumerate(records))
    for index, message in enumerate(messages):
        if message.queue_arn != messages[0].queue_arn:
            raise malformed(f"Records[{index}].eventSourceARN", "the first record's: a batch is of one queue")
        if not message.group_id and message.queue_arn.endswith(".fifo"):
            raise malformed(f"Records[{index}].attributes.MessageGroupId", "a string of at least one character")
    return SqsBatch(messages)


def encode(reply: BatchReport) -> dict[str, object]:
    """The partial batch response, for a mapping with ReportBatchItemFailures.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in reply.failed]}


def correlation_id(event: SqsBatch) -> str:
    """Always "": each message has an id of its own, which the flow binds around it."""
    del event
    return ""


def _message(record: object, index: int) -> SqsMessage:
    place = f"Records[{index}]"
    fields = mapping(record, place)
    system = mapping(fields.get("attributes"), f"{place}.attributes")
    if fields.get("eventSource") != "aws:sqs":
        raise malformed(f"{place}.eventSource", "aws:sqs")
    sent = fields.get("messageAttributes")
    return SqsMessage(
        message_id=_text(fields, "messageId", place),
        receipt_handle=_text(fields, "receiptHandle", place),
        body=_text(fields, "body", place),
        attributes={} if sent is None or sent == {} else _attributes(sent, f"{place}.messageAttributes"),
        receive_count=_number(system, "ApproximateReceiveCount", place),
        sent_ms=_number(system, "SentTimestamp", place),
        queue_arn=_text(fields, "eventSourceARN", place),
        group_id=_system_text(system, "MessageGroupId", place),
        trace_header=_system_text(system, "AWSTraceHeader", place),
    )


def _text(fields: Mapping[str, object], name: str, place: str) -> str:
    """A member's place is written where it is wrong only: there may be ten thousand messages."""
    value = fields.get(name)
    return value if type(value) is str else text(value, f"{place}.{name}")


def _system_text(system: Mapping[str, object], name: str, place: str) -> str:
    value = system.get(name)
    return "" if value is None else text(value, f"{place}.attributes.{name}")


def _attributes(value: object, place: str) -> dict[str, str]:
    """String and Number attributes; a custom type keeps its base (`String.json`), binary ones are left out."""
    found: dict[str, str] = {}
    for name, attribute in mapping(value, place).items():
        member = f"{place}.{name}"
        fields = mapping(attribute, member)
        kind = text(fields.get("dataType"), f"{member}.dataType").partition(".")[0]
        if kind != "Binary":
            found[name] = text(fields.get("stringValue"), f"{member}.stringValue")
    return found


def _number(system: Mapping[str, object], name: str, place: str) -> int:
    digits = system.get(name)
    if type(digits) is str and digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS:
        return int(digits)
    raise malformed(f"{place}.attributes.{name}", "a whole number")
