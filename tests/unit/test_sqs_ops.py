"""SQS operations: botocore's bodies, and how received messages are read."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.reply import Reply
from sluiceway.aws.sqs import Queue, ReceivedMessage
from tests.fakes import RecordingCaller

MODEL = botocore.session.get_session().get_service_model("sqs")
SERIALIZER = create_serializer("json", include_validation=True)
URL = "http://127.0.0.1:4600/123456789012/jobs"
SENT = Reply(200, {}, b'{"MessageId":"m-1","MD5OfMessageBody":"x"}')


def botocore_body(operation: str, params: dict[str, Any]) -> dict[str, Any]:
    sent = SERIALIZER.serialize_to_request(params, MODEL.operation_model(operation))
    assert sent["headers"]["X-Amz-Target"] == f"AmazonSQS.{operation}"
    assert sent["headers"]["Content-Type"] == "application/x-amz-json-1.0"
    return json.loads(sent["body"])


@given(
    st.text(min_size=1),
    st.dictionaries(st.text("abc_", min_size=1, max_size=5), st.text(min_size=1), max_size=5),
    st.none() | st.integers(0, 900),
)
async def test_send_is_botocores(body: str, attributes: dict[str, str], delay_s: int | None) -> None:
    """Any body, attributes and delay make botocore's request; the message id comes back."""
    caller = RecordingCaller([SENT])
    assert await Queue(caller, URL).send(body, attributes=attributes, delay_s=delay_s) == "m-1"
    params: dict[str, Any] = {"QueueUrl": URL, "MessageBody": body}
    if attributes:
        params["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        }
    if delay_s is not None:
        params["DelaySeconds"] = delay_s
    (call,) = caller.calls
    assert json.loads(json.dumps(call.body)) == botocore_body("SendMessage", params)
    assert (call.operation, call.service.target_prefix, call.service.protocol) == (
        "SendMessage",
        "AmazonSQS",
        "json-1.0",
    )


@pytest.mark.parametrize("visibility_s", [0, 7, 43_200])
async def test_changing_visibility_is_botocores(visibility_s: int) -> None:
    """0 shows the message at once; the request is botocore's."""
    caller = RecordingCaller([Reply(200, {}, b"{}")])
    await Queue(caller, URL).change_visibility("r", visibility_s, deadline=5.0)
    (call,) = caller.calls
    params = {"QueueUrl": URL, "ReceiptHandle": "r", "VisibilityTimeout": visibility_s}
    assert (call.operation, call.body, call.deadline) == (
        "ChangeMessageVisibility",
        botocore_body("ChangeMessageVisibility", params),
        5.0,
    )


async def test_receive_and_delete_are_botocores() -> None:
    """A receive asks for the receive count and all attributes; messages come back typed, binary attributes left out."""
    message = {
        "MessageId": "m",
        "ReceiptHandle": "r",
        "Body": "héllo",
        "Attributes": {"ApproximateReceiveCount": "3"},
        "MessageAttributes": {
            "job_id": {"DataType": "String", "StringValue": "k.a.b"},
            "blob": {"DataType": "Binary", "BinaryValue": "AA=="},
        },
    }
    caller = RecordingCaller([Reply(200, {}, json.dumps({"Messages": [message]}).encode()), Reply(200, {}, b"{}")])
    queue = Queue(caller, URL)
    assert await queue.receive(max_messages=10, wait_s=20, visibility_s=30) == [
        ReceivedMessage("m", "r", "héllo", {"job_id": "k.a.b"}, 3)
    ]
    assert await queue.receive() == []
    await queue.delete("r")
    asked = botocore_body(
        "ReceiveMessage",
        {
            "QueueUrl": URL,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": 20,
            "VisibilityTimeout": 30,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
            "MessageAttributeNames": ["All"],
        },
    )
    assert caller.calls[0].body == asked
    assert caller.calls[2].body == botocore_body("DeleteMessage", {"QueueUrl": URL, "ReceiptHandle": "r"})
