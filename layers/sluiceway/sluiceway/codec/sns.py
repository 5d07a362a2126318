"""SNS: a notification that invokes a function, and one in the body of an SQS message.

Signatures are not checked: that a queue takes messages of its topics alone, its policy says.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sluiceway.codec.shape import malformed, mapping, optional_mapping, optional_text, sequence, text
from sluiceway.errors import Rejected
from sluiceway.events.sns import SnsNotification
from sluiceway.events.sqs import SqsMessage

__all__ = ["correlation_id", "decode", "encode", "open_envelope", "read_raw"]

ENVELOPE: Final = "SNS envelope"


def decode(raw: object) -> SnsNotification:
    """The notification: an event has one. Raises: Rejected (`malformed-event`).

    Lambda is invoked asynchronously: what fails is tried again whole, there is no partial response.
    """
    records = sequence(mapping(raw, "root").get("Records"), "Records")
    if len(records) != 1:
        raise malformed("Records", "an array of one record")
    record = mapping(records[0], "Records[0]")
    if record.get("EventSource") != "aws:sns":
        raise malformed("Records[0].EventSource", "aws:sns")
    return _notification(mapping(record.get("Sns"), "Records[0].Sns"), "Records[0].Sns")


def encode(reply: None) -> None:
    """Nobody reads the answer of an asynchronous invocation."""
    del reply


def correlation_id(event: SnsNotification) -> str:
    """What the publisher sent as the attribute `correlation_id`."""
    return event.attributes.get("correlation_id", "")


def open_envelope(message: SqsMessage) -> SnsNotification:
    """The notification in the body of `message`, of a subscription without raw delivery.

    Raises: Rejected (`malformed-envelope`), which makes the message poison: it has no notification for anybody.
    """
    try:
        return _notification(mapping(json.loads(message.body), ENVELOPE), ENVELOPE)
    except (ValueError, RecursionError) as error:
        raise Rejected(f"the body is no {ENVELOPE}: not JSON", reason="malformed-envelope", field="body") from error
    except Rejected as error:
        raise Rejected(f"the body is no {ENVELOPE}: {error}", reason="malformed-envelope", field=error.field) from error


def read_raw(message: SqsMessage) -> SnsNotification:
    """The notification that `message` is, of a subscription with raw delivery: nothing says which topic it was.

    Source: https://docs.aws.amazon.com/sns/latest/dg/sns-large-payload-raw-message-delivery.html
    """
    return SnsNotification(message.body, message.attributes, message.message_id)


def _notification(fields: Mapping[str, object], place: str) -> SnsNotification:
    if fields.get("Type") != "Notification":
        raise malformed(f"{place}.Type", "Notification")
    return SnsNotification(
        message=text(fields.get("Message"), f"{place}.Message"),
        attributes=_attributes(fields.get("MessageAttributes"), f"{place}.MessageAttributes"),
        message_id=text(fields.get("MessageId"), f"{place}.MessageId"),
        topic_arn=text(fields.get("TopicArn"), f"{place}.TopicArn"),
        subject=optional_text(fields.get("Subject"), f"{place}.Subject"),
        sent_at=text(fields.get("Timestamp"), f"{place}.Timestamp"),
    )


def _attributes(value: object, place: str) -> dict[str, str]:
    """All but binary ones: SNS has String, String.Array (JSON text) and Number."""
    found: dict[str, str] = {}
    for name, attribute in optional_mapping(value, place).items():
        fields = mapping(attribute, f"{place}.{name}")
        if text(fields.get("Type"), f"{place}.{name}.Type") != "Binary":
            found[name] = text(fields.get("Value"), f"{place}.{name}.Value")
    return found
