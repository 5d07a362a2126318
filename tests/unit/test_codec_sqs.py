"""codec.sqs: batches of an SQS event source mapping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import sqs
from sluiceway.errors import Rejected
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"
MESSAGES = st.builds(
    SqsMessage,
    message_id=st.uuids().map(str),
    receipt_handle=st.text(min_size=1),
    body=st.text(),
    attributes=st.dictionaries(st.text(min_size=1), st.text(), max_size=4),
    receive_count=st.integers(1, 1000),
    sent_ms=st.integers(0, 2**41),
    queue_arn=st.just(QUEUE),
    group_id=st.text(),
    trace_header=st.text(),
)


def record(message: SqsMessage) -> dict[str, object]:
    """`message` as the mapping delivers it."""
    system = {
        "ApproximateReceiveCount": str(message.receive_count),
        "SentTimestamp": str(message.sent_ms),
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "ApproximateFirstReceiveTimestamp": "1",
    }
    if message.group_id:
        system["MessageGroupId"] = message.group_id
    if message.trace_header:
        system["AWSTraceHeader"] = message.trace_header
    return {
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": system,
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String", "stringListValues": [], "binaryListValues": []}
            for name, value in message.attributes.items()
        },
        "md5OfBody": "x",
        "eventSource": "aws:sqs",
        "eventSourceARN": message.queue_arn,
        "awsRegion": "eu-west-1",
    }


@given(messages=st.lists(MESSAGES, max_size=2))
def test_a_batch_is_decoded_in_order(messages: list[SqsMessage]):
    """Nothing is lost or changed on the way in, whatever is in bodies and attributes."""
    assert sqs.decode({"Records": [record(message) for message in messages]}) == SqsBatch(tuple(messages))


def test_binary_attributes_are_left_out_and_custom_types_kept():
    """`String.json` and `Number.int` are strings to the flow."""
    raw = record(SqsMessage("m", "h", "b", {}, 1, 0, QUEUE))
    raw["messageAttributes"] = {
        "a": {"dataType": "String.json", "stringValue": "{}"},
        "n": {"dataType": "Number.int", "stringValue": "5"},
        "b": {"dataType": "Binary.png", "binaryValue": "AAAA"},
    }
    assert sqs.decode({"Records": [raw]}).messages[0].attributes == {"a": "{}", "n": "5"}


@pytest.mark.parametrize(
    "member", ["messageId", "receiptHandle", "body", "attributes", "eventSource", "eventSourceARN"]
)
def test_a_missing_member_is_named(member: str):
    """The error says which record and member, and nothing of the body."""
    raw = record(SqsMessage("m", "h", "secret body", {}, 1, 0, QUEUE))
    del raw[member]
    with pytest.raises(Rejected) as caught:
        sqs.decode({"Records": [raw]})
    assert (caught.value.reason, caught.value.field) == ("malformed-event", f"Records[0].{member}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "raw", [None, [], {}, {"Records": None}, {"Records": [1]}, {"Records": [{"eventSource": "aws:sns"}]}]
)
def test_another_event_is_malformed(raw: object):
    """A function attached to the wrong trigger says so."""
    with pytest.raises(Rejected, match="is not"):
        sqs.decode(raw)


@pytest.mark.parametrize("count", ["", "-1", "1.0", "x", "9" * 30])
def test_a_receive_count_is_a_whole_number(count: str):
    """The count decides about dead letters: it is never guessed."""
    raw = record(SqsMessage("m", "h", "b", {}, 1, 0, QUEUE))
    raw["attributes"] = {"ApproximateReceiveCount": count, "SentTimestamp": "0"}
    with pytest.raises(Rejected, match="ApproximateReceiveCount"):
        sqs.decode({"Records": [raw]})


@given(failed=st.lists(st.uuids().map(str)))
def test_a_report_is_a_partial_batch_response(failed: list[str]):
    """An empty list says that all are done."""
    assert sqs.encode(BatchReport(tuple(failed))) == {
        "batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]
    }
