"""SQS event source mapping: a batch of messages in, a partial batch response out.

Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

from collections.abc import Mapping

from sluiceway.codec.shape import malformed, mapping, optional_mapping, optional_text, sequence, text
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage

__all__ = ["correlation_id", "decode", "encode"]


def decode(raw: object) -> SqsBatch:
    """The batch, in delivery order. Raises: Rejected (`malformed-event`)."""
    records = sequence(mapping(raw, "root").get("Records"), "Records")
    return SqsBatch(tuple(_message(record, index) for index, record in enumerate(records)))


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
    return SqsMessage(
        message_id=text(fields.get("messageId"), f"{place}.messageId"),
        receipt_handle=text(fields.get("receiptHandle"), f"{place}.receiptHandle"),
        body=text(fields.get("body"), f"{place}.body"),
        attributes=_attributes(fields.get("messageAttributes"), f"{place}.messageAttributes"),
        receive_count=_number(system, "ApproximateReceiveCount", place),
        sent_ms=_number(system, "SentTimestamp", place),
        queue_arn=text(fields.get("eventSourceARN"), f"{place}.eventSourceARN"),
        group_id=optional_text(system.get("MessageGroupId"), f"{place}.attributes.MessageGroupId"),
        trace_header=optional_text(system.get("AWSTraceHeader"), f"{place}.attributes.AWSTraceHeader"),
    )


def _attributes(value: object, place: str) -> dict[str, str]:
    """String and Number attributes; a custom type keeps its base (`String.json`), binary ones are left out."""
    found: dict[str, str] = {}
    for name, attribute in optional_mapping(value, place).items():
        member = f"{place}.{name}"
        fields = mapping(attribute, member)
        kind = text(fields.get("dataType"), f"{member}.dataType").partition(".")[0]
        if kind != "Binary":
            found[name] = text(fields.get("stringValue"), f"{member}.stringValue")
    return found


def _number(system: Mapping[str, object], name: str, place: str) -> int:
    member = f"{place}.attributes.{name}"
    digits = text(system.get(name), member)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise malformed(member, "a whole number")
    return int(digits)
