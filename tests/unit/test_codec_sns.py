"""codec.sns: notifications of a topic, to a function and in the body of a queue's message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import sns
from sluiceway.errors import Rejected
from sluiceway.events.sns import SnsNotification
from sluiceway.events.sqs import SqsMessage

TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"


def envelope(message: str = "hello", **members: Any) -> dict[str, Any]:
    """A notification as SNS writes it into a body."""
    return {
        "Type": "Notification",
        "MessageId": "n1",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": "2026-11-27T18:43:48.123Z",
        "SignatureVersion": "1",
        "Signature": "x",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/x.pem",
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
        **members,
    }


def carrying(body: str, attributes: dict[str, str] | None = None) -> SqsMessage:
    return SqsMessage("m1", "r1", body, attributes or {}, 1, 0, "arn:aws:sqs:eu-west-1:123456789012:orders")


@given(message=st.text(), subject=st.none() | st.text(), attributes=st.dictionaries(st.text(min_size=1), st.text()))
def test_an_envelope_is_opened(message: str, subject: str | None, attributes: dict[str, str]):
    """The message is what was published, whatever is in it: JSON inside JSON is text."""
    written = envelope(
        message, MessageAttributes={name: {"Type": "String", "Value": value} for name, value in attributes.items()}
    ) | ({} if subject is None else {"Subject": subject})
    assert sns.open_envelope(carrying(json.dumps(written))) == SnsNotification(
        message=message,
        attributes=attributes,
        message_id="n1",
        topic_arn=TOPIC,
        subject=subject or "",
        sent_at="2026-11-27T18:43:48.123Z",
    )


def test_binary_attributes_are_left_out():
    """As those of SQS; arrays are JSON text."""
    attributes = {
        "b": {"Type": "Binary", "Value": "AAAA"},
        "l": {"Type": "String.Array", "Value": '["a"]'},
        "n": {"Type": "Number", "Value": "5"},
    }
    found = sns.open_envelope(carrying(json.dumps(envelope(MessageAttributes=attributes))))
    assert found.attributes == {"l": '["a"]', "n": "5"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("secret", "body"),
        ("[" * 100_000, "body"),
        ("[]", "SNS envelope"),
        ("{}", "SNS envelope.Type"),
        (json.dumps(envelope(Type="SubscriptionConfirmation")), "SNS envelope.Type"),
        (json.dumps(envelope(Message=5)), "SNS envelope.Message"),
        (json.dumps(envelope(TopicArn=None)), "SNS envelope.TopicArn"),
        (json.dumps(envelope(MessageAttributes={"a": 1})), "SNS envelope.MessageAttributes.a"),
    ],
)
def test_a_body_that_is_no_envelope_is_poison(body: str, field: str):
    """With the member that is wrong, and nothing of the body."""
    with pytest.raises(Rejected) as caught:
        sns.open_envelope(carrying(body))
    assert (caught.value.reason, caught.value.field) == ("malformed-envelope", field)
    assert "secret" not in str(caught.value)


def test_raw_delivery_is_the_message_itself():
    """Nothing is unwrapped, even where the publisher's text looks like an envelope: nobody can forge a topic."""
    body = json.dumps(envelope())
    assert sns.read_raw(carrying(body, {"a": "b"})) == SnsNotification(body, {"a": "b"}, "m1")


def test_a_notification_invokes_a_function():
    """One record an event; the publisher's correlation id follows it."""
    inner = envelope(MessageAttributes={"correlation_id": {"Type": "String", "Value": "c1"}})
    event = {"Records": [{"EventSource": "aws:sns", "EventSubscriptionArn": TOPIC + ":1", "Sns": inner}]}
    found = sns.decode(event)
    assert (found.message, found.topic_arn, sns.correlation_id(found)) == ("hello", TOPIC, "c1")
    assert sns.encode(None) is None


@pytest.mark.parametrize(
    "raw",
    [None, {}, {"Records": []}, {"Records": [1]}, {"Records": [{}, {}]}, {"Records": [{"EventSource": "aws:sns"}]}],
)
def test_another_event_is_malformed(raw: object):
    """A function attached to the wrong trigger says so."""
    with pytest.raises(Rejected, match="is not"):
        sns.decode(raw)
