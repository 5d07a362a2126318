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


def test_a_batch_is_of_one_queue():
    """An event of two queues is none of Lambda's: no report could be right for both."""
    records = [record(SqsMessage(f"m{each}", "h", "b", {}, 1, 0, f"{QUEUE}{each}")) for each in range(2)]
    with pytest.raises(Rejected, match="a batch is of one queue") as caught:
        sqs.decode({"Records": records})
    assert caught.value.field == "Records[1].eventSourceARN"


def test_a_message_of_a_fifo_queue_has_a_group():
    """Without one its order is not known: refused, not guessed. A standard queue's message may have one or none."""
    fifo = record(SqsMessage("m", "h", "b", {}, 1, 0, f"{QUEUE}.fifo"))
    with pytest.raises(Rejected) as caught:
        sqs.decode({"Records": [fifo]})
    assert caught.value.field == "Records[0].attributes.MessageGroupId"
    fair = record(SqsMessage("m", "h", "b", {}, 1, 0, QUEUE, group_id="tenant"))
    assert sqs.decode({"Records": [fair]}).lane_of is None


def test_an_event_is_bounded():
    """Ten thousand messages are the most that a mapping can batch."""
    one = record(SqsMessage("m", "h", "b", {}, 1, 0, QUEUE))
    assert len(sqs.decode({"Records": [one] * 10_000}).messages) == 10_000
    with pytest.raises(Rejected, match="at most 10000"):
        sqs.decode({"Records": [one] * 10_001})


@pytest.mark.parametrize("value", [[], "", 0, False, [1]])
def test_message_attributes_are_an_object_or_nothing(value: object):
    """What is empty and of another type is malformed all the same."""
    raw = record(SqsMessage("m", "h", "b", {}, 1, 0, QUEUE)) | {"messageAttributes": value}
    with pytest.raises(Rejected, match="messageAttributes"):
        sqs.decode({"Records": [raw]})


@given(failed=st.lists(st.uuids().map(str)))
def test_a_report_is_a_partial_batch_response(failed: list[str]):
    """An empty list says that all are done."""
    assert sqs.encode(BatchReport(tuple(failed))) == {
        "batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]
    }
