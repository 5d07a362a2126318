"""What a subscriber gets to see: the envelope of a queue's message, the event of a function. Pure.

FIFO topics sign nothing. Others carry a signature of the right form that signs nothing either: the key to sign with is
AWS's. Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
and https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from localcloud.services.sns.message import Attribute, Publication

__all__ = ["Notification", "write_envelope", "write_lambda_event"]

_SIGNATURE_BYTES: Final = 256  # RSA, 2048 bits
_CERTIFICATE: Final = "SimpleNotificationService-00000000000000000000000000000000.pem"
_LAMBDA_NAMES: Final = {"SigningCertURL": "SigningCertUrl", "UnsubscribeURL": "UnsubscribeUrl"}


@dataclass(frozen=True, slots=True)
class Notification:
    """A message on its way. `sequence_number` is "" for standard topics, `published_s` a date in epoch seconds.

    `endpoint` is where the local cloud answers AWS calls, `trace_header` the publisher's.
    """

    message_id: str
    topic_arn: str
    publication: Publication
    published_s: float
    endpoint: str
    sequence_number: str = ""
    signature_version: str = "1"
    trace_header: str = ""


def write_envelope(notification: Notification, subscription_arn: str, protocol: str) -> str:
    """The JSON that queues get, laid out as SNS lays it out."""
    fields = _fields(notification, subscription_arn, protocol)
    lines = [f"  {json.dumps(name)} : {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    attributes = _attributes(notification.publication.attributes)
    if attributes:
        inner = [
            f"    {json.dumps(name)} : {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}"
            for name, value in attributes.items()
        ]
        lines.append('  "MessageAttributes" : {\n' + ",\n".join(inner) + "\n  }")
    return "{\n" + ",\n".join(lines) + "\n}"


def write_lambda_event(notification: Notification, subscription_arn: str) -> bytes:
    """The event that a function gets."""
    fields = _fields(notification, subscription_arn, "lambda")
    named = {_LAMBDA_NAMES.get(name, name): value for name, value in fields.items()}
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription_arn,
        "Sns": {
            **named,
            "Subject": notification.publication.subject,
            "MessageAttributes": _attributes(notification.publication.attributes),
        },
    }
    return json.dumps({"Records": [record]}, ensure_ascii=False, separators=(",", ":")).encode()


def _fields(notification: Notification, subscription_arn: str, protocol: str) -> dict[str, str]:
    publication = notification.publication
    found = {"Type": "Notification", "MessageId": notification.message_id}
    if notification.sequence_number:
        found["SequenceNumber"] = notification.sequence_number
    found["TopicArn"] = notification.topic_arn
    if publication.subject is not None:
        found["Subject"] = publication.subject
    found["Message"] = publication.text_for(protocol)
    found["Timestamp"] = _timestamp(notification.published_s)
    if not notification.sequence_number:
        found |= _signed(notification, found)
    found["UnsubscribeURL"] = f"{notification.endpoint}/?Action=Unsubscribe&SubscriptionArn={subscription_arn}"
    return found


def _signed(notification: Notification, fields: Mapping[str, str]) -> dict[str, str]:
    digest = hashlib.shake_256("\n".join(fields.values()).encode()).digest(_SIGNATURE_BYTES)
    region = notification.topic_arn.split(":")[3]
    return {
        "SignatureVersion": notification.signature_version,
        "Signature": base64.b64encode(digest).decode(),
        "SigningCertURL": f"https://sns.{region}.amazonaws.com/{_CERTIFICATE}",
    }


def _timestamp(epoch_s: float) -> str:
    date = datetime.fromtimestamp(epoch_s, UTC)
    return f"{date:%Y-%m-%dT%H:%M:%S}.{date.microsecond // 1000:03}Z"


def _attributes(attributes: Mapping[str, Attribute]) -> dict[str, dict[str, str]]:
    return {
        name: {
            "Type": attribute.data_type,
            "Value": base64.b64encode(attribute.value).decode()
            if isinstance(attribute.value, bytes)
            else attribute.value,
        }
        for name, attribute in attributes.items()
    }
