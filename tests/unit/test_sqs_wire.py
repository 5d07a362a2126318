"""SQS on the wire: the JSON and the Query protocol, and what API Gateway sees."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.query import read_form
from localcloud.services.sqs.wire import SqsService

ACCOUNT = "123456789012"
NS = "{http://queue.amazonaws.com/doc/2012-11-05/}"


class Client:
    """Speaks both protocols with a fresh service."""

    def __init__(self) -> None:
        self.queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))
        self.service = SqsService(self.queues)

    def request(self, body: bytes, *, path: str = "/", query: str = "", **headers: str) -> WireRequest:
        return WireRequest(
            service="sqs",
            region="eu-west-1",
            method="POST",
            path=path,
            query=query,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            body=body,
            access_key="AK",
            request_id="request-1",
        )

    async def json(self, action: str, body: Any, **headers: str) -> tuple[WireResponse, Any]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = await self.service.handle(self.request(raw, x_amz_target=f"AmazonSQS.{action}", **headers))
        assert isinstance(response.body, bytes)
        return response, json.loads(response.body)

    async def form(self, form: str, *, path: str = "/", accept: str = "") -> tuple[WireResponse, Any]:
        headers = {"content_type": "application/x-www-form-urlencoded", "accept": accept}
        response = await self.service.handle(self.request(form.encode(), path=path, **headers))
        assert isinstance(response.body, bytes)
        return response, json.loads(response.body) if accept else ET.fromstring(response.body.decode())


def with_client(test: Callable[[Client], Awaitable[None]]) -> None:
    """Run `test` with a queue `jobs` on a virtual loop."""

    async def main() -> None:
        client = Client()
        await client.json("CreateQueue", {"QueueName": "jobs"})
        await test(client)

    run_virtual(main)


def test_api_gateways_form_is_answered_in_json() -> None:
    """The integration of template.yaml: a form to the queue's path, with Accept JSON, answered with every member."""

    async def test(client: Client) -> None:
        prompt = '{"prompt":"a&b+c%20 \\"é😀\\"\\n"}'
        form = urlencode(
            {
                "Action": "SendMessage",
                "MessageBody": prompt,
                "MessageAttribute.1.Name": "job_id",
                "MessageAttribute.1.Value.DataType": "String",
                "MessageAttribute.1.Value.StringValue": "k.alice.1",
                "MessageAttribute.2.Name": "caller",
                "MessageAttribute.2.Value.DataType": "String",
                "MessageAttribute.2.Value.StringValue": "alice",
            }
        )
        response, body = await client.form(form, path=f"/{ACCOUNT}/jobs", accept="application/json")
        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        result = body["SendMessageResponse"]["SendMessageResult"]
        assert list(result) == [
            "MD5OfMessageAttributes",
            "MD5OfMessageBody",
            "MD5OfMessageSystemAttributes",
            "MessageId",
            "SequenceNumber",
        ]
        assert result["SequenceNumber"] is None
        assert body["SendMessageResponse"]["ResponseMetadata"] == {"RequestId": "request-1"}
        (message,) = await client.queues.get("jobs", "eu-west-1").receive()
        assert message.body == prompt
        assert {name: value.value for name, value in message.message_attributes.items()} == {
            "job_id": "k.alice.1",
            "caller": "alice",
        }

    with_client(test)


def test_a_form_without_a_body_is_missing_a_parameter_in_json() -> None:
    """What the gateway's 4xx template reads: $.Error.Code is MissingParameter."""

    async def test(client: Client) -> None:
        response, body = await client.form("Action=SendMessage", path=f"/{ACCOUNT}/jobs", accept="application/json")
        assert response.status == 400
        assert body == {
            "Error": {
                "Code": "MissingParameter",
                "Message": "The request must contain the parameter MessageBody.",
                "Type": "Sender",
            },
            "RequestId": "request-1",
        }

    with_client(test)


def test_a_form_that_is_too_large_is_told_so() -> None:
    """Over 1 MiB: InvalidParameterValue, 400."""

    async def test(client: Client) -> None:
        form = "Action=SendMessage&MessageBody=" + "x" * 1_048_577
        response, body = await client.form(form, path=f"/{ACCOUNT}/jobs", accept="application/json")
        assert (response.status, body["Error"]["Code"]) == (400, "InvalidParameterValue")

    with_client(test)


def test_xml_carries_text_through() -> None:
    """A body with every awkward character comes back from the XML answer as it went in."""

    async def test(client: Client) -> None:
        awkward = "<a>&amp; \"'\r\n\t ]]> é😀"
        await client.form(urlencode({"Action": "SendMessage", "MessageBody": awkward}), path=f"/{ACCOUNT}/jobs")
        form = "Action=ReceiveMessage&AttributeName.1=All&MessageAttributeName.1=All&Version=2012-11-05"
        response, root = await client.form(form, path=f"/{ACCOUNT}/jobs")
        assert response.headers["content-type"] == "text/xml"
        message = root.find(f"{NS}ReceiveMessageResult/{NS}Message")
        assert message.find(f"{NS}Body").text == awkward
        names = [name.text for name in message.findall(f"{NS}Attribute/{NS}Name")]
        assert names == ["SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"]

    with_client(test)


def test_xml_errors_have_the_older_codes() -> None:
    """An unknown queue is AWS.SimpleQueueService.NonExistentQueue in the Query protocol."""

    async def test(client: Client) -> None:
        response, root = await client.form("Action=PurgeQueue", path=f"/{ACCOUNT}/nope")
        assert (response.status, root.find(f"{NS}Error/{NS}Code").text) == (
            400,
            "AWS.SimpleQueueService.NonExistentQueue",
        )
        assert root.find(f"{NS}RequestId").text == "request-1"

    with_client(test)


def test_the_query_protocol_has_every_action() -> None:
    """Batches, attributes, tags and lists in forms and XML mean what they mean in JSON."""

    async def test(client: Client) -> None:
        path = f"/{ACCOUNT}/jobs"
        entries = urlencode(
            {
                "Action": "SendMessageBatch",
                "SendMessageBatchRequestEntry.1.Id": "a",
                "SendMessageBatchRequestEntry.1.MessageBody": "one",
                "SendMessageBatchRequestEntry.1.MessageAttribute.1.Name": "n",
                "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType": "Binary",
                "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.BinaryValue": "AAE=",
                "SendMessageBatchRequestEntry.2.Id": "b",
                "SendMessageBatchRequestEntry.2.MessageBody": "two",
                "SendMessageBatchRequestEntry.2.DelaySeconds": "901",
            }
        )
        _, root = await client.form(entries, path=path)
        result = root.find(f"{NS}SendMessageBatchResult")
        assert [entry.find(f"{NS}Id").text for entry in result.findall(f"{NS}SendMessageBatchResultEntry")] == ["a"]
        failed = result.find(f"{NS}BatchResultErrorEntry")
        assert [failed.find(f"{NS}{name}").text for name in ("Id", "SenderFault", "Code")] == [
            "b",
            "true",
            "InvalidParameterValue",
        ]
        await client.form("Action=SetQueueAttributes&Attribute.1.Name=DelaySeconds&Attribute.1.Value=7", path=path)
        _, root = await client.form("Action=GetQueueAttributes&AttributeName.1=DelaySeconds", path=path)
        assert root.find(f"{NS}GetQueueAttributesResult/{NS}Attribute/{NS}Value").text == "7"
        await client.form("Action=TagQueue&Tag.1.Key=k&Tag.1.Value=v", path=path)
        _, root = await client.form("Action=ListQueueTags", path=path)
        assert root.find(f"{NS}ListQueueTagsResult/{NS}Tag/{NS}Key").text == "k"
        _, root = await client.form("Action=ListQueues")
        assert root.find(f"{NS}ListQueuesResult/{NS}QueueUrl").text == f"http://127.0.0.1:4600/{ACCOUNT}/jobs"

    with_client(test)


def test_json_errors_name_the_shape_and_the_older_code() -> None:
    """`__type` is the shape; x-amzn-query-error is what SDKs show for old code's sake."""

    async def test(client: Client) -> None:
        response, body = await client.json(
            "SendMessage", {"QueueUrl": "http://x/123456789012/nope", "MessageBody": "x"}
        )
        assert response.status == 400
        assert body == {
            "__type": "com.amazonaws.sqs#QueueDoesNotExist",
            "message": "The specified queue does not exist.",
        }
        assert response.headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"

    with_client(test)


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("AddPermission", {}, "MissingRequiredParameterException"),
        ("StartMessageMoveTask", {}, "MissingRequiredParameterException"),
        ("Dance", {}, "UnknownOperationException"),
        ("SendMessage", b"{", "SerializationException"),
        ("SendMessage", [], "SerializationException"),
        ("SendMessage", {"QueueUrl": 1}, "SerializationException"),
        (
            "SendMessage",
            {"QueueUrl": "jobs", "MessageBody": "x", "DelaySeconds": "soon"},
            "InvalidParameterValueException",
        ),
        ("SendMessage", {"QueueUrl": "jobs", "MessageBody": "x", "MessageAttributes": []}, "SerializationException"),
        ("SendMessage", {"QueueUrl": "http://x/a/b/c", "MessageBody": "x"}, "InvalidAddress"),
        ("SendMessage", {"MessageBody": "x"}, "MissingRequiredParameterException"),
        (
            "SendMessage",
            {"QueueUrl": "jobs", "MessageBody": "x", "MessageDeduplicationId": "d"},
            "InvalidParameterValueException",
        ),
        ("CreateQueue", {"QueueName": "jobs.fifo"}, "InvalidParameterValueException"),
        ("ReceiveMessage", {"QueueUrl": "jobs", "AttributeNames": ["Colour"]}, "InvalidAttributeName"),
        ("GetQueueAttributes", {"QueueUrl": "jobs", "AttributeNames": ["Colour"]}, "InvalidAttributeName"),
        ("ReceiveMessage", {"QueueUrl": "jobs", "WaitTimeSeconds": 21}, "InvalidParameterValueException"),
        ("ReceiveMessage", {"QueueUrl": "jobs", "WaitTimeSeconds": 10**400}, "SerializationException"),
        ("ReceiveMessage", {"QueueUrl": "jobs", "WaitTimeSeconds": -(2**63)}, "SerializationException"),
        ("ReceiveMessage", {"QueueUrl": "jobs", "WaitTimeSeconds": 2**63 - 1}, "InvalidParameterValueException"),
        ("ReceiveMessage", {"QueueUrl": "jobs", "WaitTimeSeconds": "1_0"}, "InvalidParameterValueException"),
        ("ReceiveMessage", {"QueueUrl": "jobs", "WaitTimeSeconds": "\u0665"}, "InvalidParameterValueException"),
        ("ReceiveMessage", {"QueueUrl": "jobs", "WaitTimeSeconds": " 5"}, "InvalidParameterValueException"),
        ("ReceiveMessage", {"QueueUrl": "jobs", "WaitTimeSeconds": "9" * 5000}, "InvalidParameterValueException"),
        ("SendMessageBatch", {"QueueUrl": "jobs", "Entries": []}, "EmptyBatchRequest"),
        ("ListQueues", {"MaxResults": 0}, "InvalidParameterValueException"),
    ],
)
def test_what_is_wrong_is_refused_by_name(action: str, body: Any, code: str) -> None:
    """Every refusal is an SQS error, never an exception."""

    async def test(client: Client) -> None:
        response, told = await client.json(action, body)
        assert (response.status >= 400, told["__type"]) == (True, f"com.amazonaws.sqs#{code}")

    with_client(test)


def test_attribute_names_select_by_name_prefix_and_all() -> None:
    """`All`, `.*`, `prefix.*` and plain names; the digest covers what is returned. Old and new names of system ones."""

    async def test(client: Client) -> None:
        attributes = {name: {"DataType": "String", "StringValue": name} for name in ("a.x", "a.y", "b")}
        await client.json("SendMessage", {"QueueUrl": "jobs", "MessageBody": "x", "MessageAttributes": attributes})
        for wanted, got in (
            (["All"], 3),
            ([".*"], 3),
            (["a.*"], 2),
            (["b"], 1),
            (["b", "a.*"], 3),
            (["c"], 0),
            ([], 0),
        ):
            request = {"QueueUrl": "jobs", "VisibilityTimeout": 0, "MessageAttributeNames": wanted}
            _, body = await client.json("ReceiveMessage", request)
            assert len(body["Messages"][0].get("MessageAttributes", {})) == got
            assert ("MD5OfMessageAttributes" in body["Messages"][0]) == bool(got)
        for name in ("AttributeNames", "MessageSystemAttributeNames"):
            request = {"QueueUrl": "jobs", "VisibilityTimeout": 0, name: ["SenderId"]}
            _, body = await client.json("ReceiveMessage", request)
            assert body["Messages"][0]["Attributes"] == {"SenderId": ACCOUNT}

    with_client(test)


def test_the_http_trace_header_becomes_the_messages() -> None:
    """X-Amzn-Trace-Id on the request is AWSTraceHeader of the message, unless the message has its own."""

    async def test(client: Client) -> None:
        own = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=own"}}
        await client.json("SendMessage", {"QueueUrl": "jobs", "MessageBody": "a"}, x_amzn_trace_id="Root=http")
        sent = {"QueueUrl": "jobs", "MessageBody": "b", "MessageSystemAttributes": own}
        _, told = await client.json("SendMessage", sent, x_amzn_trace_id="Root=http")
        assert "MD5OfMessageSystemAttributes" in told
        received = await client.queues.get("jobs", "eu-west-1").receive(10)
        assert [message.system["AWSTraceHeader"] for message in received] == ["Root=http", "Root=own"]

    with_client(test)


def test_text_that_is_no_unicode_is_answered() -> None:
    """Half a surrogate pair in JSON is refused in messages, and never breaks an answer elsewhere."""

    async def test(client: Client) -> None:
        trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": chr(0xD800)}}
        for body in ({"MessageBody": chr(0xD800)}, {"MessageBody": "x", "MessageSystemAttributes": trace}):
            response, _ = await client.json("SendMessage", {"QueueUrl": "jobs", **body})
            assert response.status == 400
        response, _ = await client.json("TagQueue", {"QueueUrl": "jobs", "Tags": {"k": chr(0xD800)}})
        assert response.status == 400
        _, told = await client.json("SetQueueAttributes", {"QueueUrl": "jobs", "Attributes": {chr(0xD800): "x"}})
        assert told["message"] == f"Unknown Attribute {chr(0xD800)}."

    with_client(test)


def test_lists_come_in_pages() -> None:
    """MaxResults gives a NextToken while there is more, and the token goes on after it."""

    async def test(client: Client) -> None:
        for name in ("a", "b", "c"):
            await client.json("CreateQueue", {"QueueName": name})
        _, first = await client.json("ListQueues", {"MaxResults": 3})
        _, rest = await client.json("ListQueues", {"MaxResults": 3, "NextToken": first["NextToken"]})
        names = [url.rpartition("/")[2] for url in first["QueueUrls"] + rest["QueueUrls"]]
        assert (names, "NextToken" in rest) == (["a", "b", "c", "jobs"], False)
        _, found = await client.json("ListQueues", {"QueueNamePrefix": "j"})
        assert len(found["QueueUrls"]) == 1

    with_client(test)


def test_permissions_name_the_action_and_the_queue() -> None:
    """A batch needs its single action's permission; listing needs it on `*`; a malformed request needs none."""

    async def test(client: Client) -> None:
        arn = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:jobs"
        asked = {
            "SendMessageBatch": Permission("sqs:SendMessage", arn),
            "ReceiveMessage": Permission("sqs:ReceiveMessage", arn),
            "ListQueues": Permission("sqs:ListQueues", "*"),
        }
        for action, permission in asked.items():
            request = client.request(b'{"QueueUrl":"jobs"}', x_amz_target=f"AmazonSQS.{action}")
            assert client.service.permissions(request) == (permission,)
        form = client.request(b"Action=SendMessage&MessageBody=x", path=f"/{ACCOUNT}/jobs")
        assert client.service.permissions(form) == (Permission("sqs:SendMessage", arn),)
        assert client.service.permissions(client.request(b"{", x_amz_target="AmazonSQS.SendMessage")) == ()

    with_client(test)


@given(st.dictionaries(st.text("AB.12", max_size=6), st.text(max_size=4), max_size=6))
def test_any_form_is_read_or_refused(form: dict[str, str]) -> None:
    """A form either becomes parameters or an SQS error; nothing else escapes."""

    async def test(client: Client) -> None:
        text = urlencode({**form, "Action": "SendMessage"}, errors="replace")
        response, _ = await client.form(text, accept="application/json")
        assert response.status == 400

    with_client(test)


def test_forms_become_the_shapes_of_json() -> None:
    """Numbered members keep their order by number, not by text."""
    form = "&".join(f"TagKey.{number}=k{number}" for number in (10, 2, 1))
    assert read_form(form) == {"TagKeys": ["k1", "k2", "k10"]}


@pytest.mark.parametrize(
    "entry",
    [
        {"MessageBody": "\ud800"},
        {"MessageBody": "x", "MessageAttributes": {"a": {"DataType": "String", "StringValue": "\udfff"}}},
        {"MessageBody": "x", "MessageAttributes": {"\ud800": {"DataType": "String", "StringValue": "y"}}},
        {"MessageBody": "x", "MessageAttributes": {"a": {"DataType": "String.\ud800", "StringValue": "y"}}},
    ],
    ids=["body", "value", "name", "type"],
)
def test_half_a_character_in_a_batch_is_its_entrys_fault(entry: dict[str, Any]) -> None:
    """The batch is measured before its entries are judged: the other entry is sent all the same."""

    async def test(client: Client) -> None:
        entries = [{"Id": "bad", **entry}, {"Id": "good", "MessageBody": "x"}]
        url = {"QueueUrl": f"http://sqs/{ACCOUNT}/jobs"}
        response, answer = await client.json("SendMessageBatch", {**url, "Entries": entries})
        assert response.status == 200
        assert [each["Id"] for each in answer["Successful"]] == ["good"]
        assert [(each["Id"], each["SenderFault"]) for each in answer["Failed"]] == [("bad", True)]

    with_client(test)
