"""Where routes of HTTP APIs lead: parameter mappings, addresses and AWS services."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from localcloud.gateway.ports import HttpAnswer, HttpFailed
from localcloud.services.contract import NoAnswer, WireResponse
from tests.unit.http_api_setup import FUNCTION, REGION, ROLE, World, in_world

WORK: dict[str, Any] = {
    "IntegrationType": "AWS_PROXY",
    "IntegrationUri": f"{FUNCTION}Work",
    "PayloadFormatVersion": "2.0",
}
HTTP: dict[str, Any] = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "ANY"}
SERVICE: dict[str, Any] = {"IntegrationType": "AWS_PROXY", "PayloadFormatVersion": "1.0", "CredentialsArn": ROLE}


def responses(**mappings: dict[str, str]) -> dict[str, Any]:
    """Response mappings as CloudFormation writes them, by status (`s200`)."""
    return {
        status[1:]: {"ResponseParameters": [{"Destination": key, "Source": value} for key, value in pairs.items()]}
        for status, pairs in mappings.items()
    }


# ---- parameter mappings


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        ("append:header.x-a", "b", {"headers": {"x-a": "1,b"}}),
        ("overwrite:header.X-A", "b", {"headers": {"x-a": "b"}}),
        ("remove:header.x-a", "", {"headers": {"x-a": None}}),
        ("append:header.new", "$request.header.X-A", {"headers": {"new": "1"}}),
        ("append:header.new", "$request.querystring.q", {"headers": {"new": "1,2"}}),
        ("append:header.new", "$request.body.a.b[1]", {"headers": {"new": "x"}}),
        ("append:header.new", "$request.body", {"headers": {"new": '{"a": {"b": [1, "x"]}}'}}),
        ("append:header.new", "$request.path", {"headers": {"new": "/p/7"}}),
        ("append:header.new", "${request.path.id}-${context.stage}/${stageVariables.v}", {"headers": {"new": "7-s/w"}}),
        ("append:header.new", "$context.routeKey", {"headers": {"new": "POST /p/{id}"}}),
        ("append:header.new", "$request.header.none", {"headers": {"new": ""}}),
        ("append:querystring.q", "3", {"queryStringParameters": {"q": "1,2,3"}, "rawQueryString": "q=1&q=2&q=3"}),
        ("overwrite:querystring.q", "&", {"queryStringParameters": {"q": "&"}, "rawQueryString": "q=%26"}),
        ("remove:querystring.q", "", {"queryStringParameters": None, "rawQueryString": ""}),
        ("overwrite:path", "/other/$x", {"rawPath": "/other/$x"}),
    ],
)
def test_requests_are_mapped(target: str, value: str, expected: dict[str, Any]) -> None:
    """Headers, queries and the path, from every kind of variable and text."""

    async def run(world: World) -> None:
        await world.make("Api", Name="t", ProtocolType="HTTP")
        await world.make("Stage", StageName="s", AutoDeploy=True, StageVariables={"v": "w"})
        await world.make_route("POST /p/{id}", WORK | {"RequestParameters": {target: value}})
        body = b'{"a": {"b": [1, "x"]}}'
        await world.ask("POST", "/s/p/7", body, query="q=1&q=2", x_a="1", content_type="application/json")
        for name, wanted in expected.items():
            found = world.event.get(name)
            if name == "headers":
                found = {key: world.event["headers"].get(key) for key in wanted}
            assert found == wanted

    in_world(run)


def test_responses_are_mapped_by_their_status() -> None:
    """Of that status alone; headers and the status itself."""

    async def run(world: World) -> None:
        await world.make_open()
        mapping = {
            "overwrite:statuscode": "202",
            "append:header.x-b": "$response.header.x-a",
            "append:header.x-c": "${response.body.k}/$x",
            "append:header.x-id": "$context.requestId",
            "remove:header.x-a": "",
        }
        await world.make_route(
            "GET /", WORK | {"ResponseParameters": responses(s200=mapping, s404={"append:header.n": "1"})}
        )
        reply = {"statusCode": 200, "headers": {"X-A": "1"}, "body": '{"k": "v"}'}
        world.functions.replies["Work"] = json.dumps(reply).encode()
        answer = await world.ask("GET", "/")
        found = {name: answer.header(name) for name in ("x-a", "x-b", "x-c", "n")}
        assert (answer.status, found) == (202, {"x-a": None, "x-b": "1", "x-c": "v/$x", "n": None})
        assert answer.header("x-id") == answer.header("apigw-requestid")

    in_world(run)


def test_a_mapped_header_is_one_line() -> None:
    """What would be two is the API's own 500, not a header of somebody else's making."""

    async def run(world: World) -> None:
        await world.make_open()
        mappings = responses(s200={"append:header.x": "$response.body.k"})
        await world.make_route("GET /", WORK | {"ResponseParameters": mappings})
        world.functions.replies["Work"] = json.dumps(
            {"statusCode": 200, "body": '{"k": "a\\r\\nset-cookie: b"}'}
        ).encode()
        answer = await world.ask("GET", "/")
        assert (answer.status, answer.header("x")) == (500, None)

    in_world(run)


def test_a_body_is_looked_up_in_its_first_100_kb() -> None:
    """A path finds nothing in a longer one; the whole body is still to be had."""

    async def run(world: World) -> None:
        await world.make_open()
        mapping = {"append:header.a": "$request.body.k", "append:header.b": "$request.body.k"}
        await world.make_route("POST /", WORK | {"RequestParameters": mapping})
        long = json.dumps({"k": "v", "fill": "x" * 110_000}).encode()
        await world.ask("POST", "/", long)
        assert (world.event["headers"]["a"], len(world.event["body"]) > 110_000) == ("", True)

    in_world(run)


# ---- addresses


def test_an_http_integration_is_a_proxy() -> None:
    """Path variables in the address, query behind it, method, headers and body as they came."""

    async def run(world: World) -> None:
        await world.make_open()
        await world.make_route("ANY /x/{proxy+}", HTTP | {"IntegrationUri": "https://back.example/in/{proxy}?k=1"})
        answer = await world.ask("PUT", "/x/a%20b/c", b"body", query="q=%26", x_a="1", x_forwarded_for="9.9.9.9")
        (call,) = world.network.calls
        assert (call.method, call.url, call.body) == ("PUT", "https://back.example/in/a%20b/c?k=1&q=%26", b"body")
        sent = {name.lower(): value for name, value in call.headers}
        assert (sent["host"], sent["x-a"], sent["x-forwarded-for"]) == ("back.example", "1", "9.9.9.9, 127.0.0.1")
        assert (answer.status, answer.body, answer.header("x-back")) == (200, b"back", "1")

    in_world(run)


@pytest.mark.parametrize(
    ("integration", "expected"),
    [
        ({"IntegrationUri": "http://b.example", "IntegrationMethod": "GET"}, ("GET", "http://b.example/?q=1")),
        (
            {"IntegrationUri": "http://b.example/x", "RequestParameters": {"overwrite:path": "/y z"}},
            ("POST", "http://b.example/y%20z?q=1"),
        ),
        (
            {"IntegrationUri": "http://b.example/x", "RequestParameters": {"overwrite:querystring.q": "2"}},
            ("POST", "http://b.example/x?q=2"),
        ),
        ({"IntegrationUri": "http://${stageVariables.host}/x"}, ("POST", "http://v.example/x?q=1")),
    ],
)
def test_addresses_are_made_of_the_request(integration: dict[str, Any], expected: tuple[str, str]) -> None:
    """With its mapping, its method and the stage's variables."""

    async def run(world: World) -> None:
        await world.make("Api", Name="t", ProtocolType="HTTP")
        await world.make("Stage", StageName="$default", AutoDeploy=True, StageVariables={"host": "v.example"})
        await world.make_route("POST /", HTTP | integration)
        await world.ask("POST", "/", query="q=1")
        (call,) = world.network.calls
        assert (call.method, call.url) == expected

    in_world(run)


@pytest.mark.parametrize(
    ("failure", "status", "message"),
    [
        (HttpFailed("refused"), 503, "Service Unavailable"),
        (TimeoutError(), 504, "Gateway Timeout"),
        (HttpAnswer(200, (), bytes(10 * 1024 * 1024 + 1)), 503, "Service Unavailable"),
    ],
)
def test_an_address_that_fails_has_its_answer(failure: Any, status: int, message: str) -> None:
    """503 where there is no answer or too much of one, 504 where it takes too long."""

    async def run(world: World) -> None:
        world.network.answer = failure
        await world.make_open()
        await world.make_route("GET /", HTTP | {"IntegrationUri": "https://back.example"})
        answer = await world.ask("GET", "/")
        assert (answer.status, json.loads(answer.body)) == (status, {"message": message})

    in_world(run)


# ---- AWS services


def test_sqs_send_message_is_the_queues_own_answer() -> None:
    """With the integration's role, attributes and all; the answer is SQS's XML."""

    async def run(world: World) -> None:
        queue = world.queues.create("jobs", REGION, attributes={}, tags={})
        await world.make_open()
        parameters = {
            "QueueUrl": f"https://sqs.{REGION}.amazonaws.com/123456789012/jobs",
            "MessageBody": "$request.body.text",
            "DelaySeconds": "0",
            "MessageAttributes": '{"kind": {"DataType": "String", "StringValue": "${request.querystring.kind}"}}',
        }
        await world.make_route(
            "POST /", SERVICE | {"IntegrationSubtype": "SQS-SendMessage", "RequestParameters": parameters}
        )
        answer = await world.ask("POST", "/", b'{"text": "hi"}', query="kind=a")
        assert (answer.status, answer.header("content-type")) == (200, "text/xml")
        assert b"<MessageId>" in answer.body
        assert world.requests[0].access_key == "ASIAROLE"
        (message,) = await queue.receive(1, wait_s=0)
        assert (message.body, message.message_attributes["kind"].value) == ("hi", "a")

    in_world(run)


@pytest.mark.parametrize(("names", "found"), [("All", 2), ('["kind"]', 1), ("kind, other", 2), ("none", 0)])
def test_sqs_messages_are_received_deleted_and_purged(names: str, found: int) -> None:
    """Lists of names are JSON or have commas; a receipt handle comes from the body."""

    async def run(world: World) -> None:
        queue = world.queues.create("jobs", REGION, attributes={}, tags={})
        await world.make_open()
        url = {"QueueUrl": f"https://sqs.{REGION}.amazonaws.com/123456789012/jobs"}
        text = '{"DataType": "String", "StringValue": "v"}'
        attributes = {"MessageBody": "hi", "MessageAttributes": f'{{"kind": {text}, "other": {text}}}'}
        for action, more in (
            ("Send", attributes),
            ("Receive", {"MessageAttributeNames": names, "AttributeNames": "All", "MaxNumberOfMessages": "10"}),
            ("Delete", {"ReceiptHandle": "$request.body.handle"}),
        ):
            settings = {"IntegrationSubtype": f"SQS-{action}Message", "RequestParameters": url | more}
            await world.make_route(f"POST /{action}", SERVICE | settings)
        purge = {"IntegrationSubtype": "SQS-PurgeQueue", "RequestParameters": url}
        await world.make_route("POST /Purge", SERVICE | purge)
        for _ in range(2):
            assert (await world.ask("POST", "/Send")).status == 200
        received = (await world.ask("POST", "/Receive")).body.decode()
        handles = re.findall("<ReceiptHandle>(.*?)</ReceiptHandle>", received)
        assert (received.count("<MessageAttribute>"), len(handles)) == (2 * found, 2)
        assert "<Name>SentTimestamp</Name>" in received
        deleted = await world.ask("POST", "/Delete", json.dumps({"handle": handles[0]}).encode())
        assert deleted.status == 200
        await asyncio.sleep(31)
        assert len(await queue.receive(10, wait_s=0)) == 1
        assert (await world.ask("POST", "/Purge")).status == 200
        await asyncio.sleep(61)
        assert await queue.receive(10, wait_s=0) == []

    in_world(run)


@pytest.mark.parametrize(
    ("subtype", "parameters", "service", "target", "body"),
    [
        (
            "EventBridge-PutEvents",
            {
                "Detail": "$request.body",
                "DetailType": "asked",
                "Source": "app",
                "Time": "1800000000",
                "Resources": '["a"]',
                "EventBusName": "$request.querystring.none",
            },
            "events",
            "AWSEvents.PutEvents",
            {
                "Entries": [
                    {
                        "Detail": '{"k": "v"}',
                        "DetailType": "asked",
                        "Source": "app",
                        "Time": 1800000000.0,
                        "Resources": ["a"],
                    }
                ]
            },
        ),
        (
            "Kinesis-PutRecord",
            {"StreamName": "s", "Data": "$request.body.k", "PartitionKey": "$context.requestId", "Region": "us-west-2"},
            "kinesis",
            "Kinesis_20131202.PutRecord",
            {"StreamName": "s", "Data": "v"},
        ),
        (
            "StepFunctions-StartExecution",
            {"StateMachineArn": "arn:s", "Input": "$request.body"},
            "states",
            "AWSStepFunctions.StartExecution",
            {"stateMachineArn": "arn:s", "input": '{"k": "v"}'},
        ),
        (
            "StepFunctions-StartSyncExecution",
            {"StateMachineArn": "arn:s", "Name": "n"},
            "states",
            "AWSStepFunctions.StartSyncExecution",
            {"stateMachineArn": "arn:s", "name": "n"},
        ),
        (
            "StepFunctions-StopExecution",
            {"ExecutionArn": "arn:e", "Cause": "c", "Error": "e"},
            "states",
            "AWSStepFunctions.StopExecution",
            {"executionArn": "arn:e", "cause": "c", "error": "e"},
        ),
    ],
)
def test_services_are_called_in_json(
    subtype: str, parameters: dict[str, str], service: str, target: str, body: dict[str, Any]
) -> None:
    """Each by its action, with the parameters that have a value; the answer passes, an error too."""

    async def reply(_: Any) -> WireResponse:
        return WireResponse(400, b'{"__type":"X"}', {"Content-Type": "application/x-amz-json-1.0"})

    async def run(world: World) -> None:
        world.answer = reply
        await world.make_open()
        await world.make_route("POST /", SERVICE | {"IntegrationSubtype": subtype, "RequestParameters": parameters})
        answer = await world.ask("POST", "/", b'{"k": "v"}')
        (request,) = world.requests
        sent = json.loads(request.body)
        sent.pop("PartitionKey", None)
        assert (request.service, request.target, sent) == (service, target, body)
        assert request.region == parameters.get("Region", REGION)
        assert (answer.status, answer.body) == (400, b'{"__type":"X"}')
        assert answer.header("content-type") == "application/x-amz-json-1.0"

    in_world(run)


def test_a_service_that_cannot_be_called_has_its_answer() -> None:
    """500 where the role may not be assumed, 503 where no answer comes in time, 400 where a list is none."""

    async def silent(_: Any) -> WireResponse:
        await asyncio.sleep(100)
        raise NoAnswer

    async def run(world: World) -> None:
        await world.make_open()
        parameters = {"Detail": "d", "DetailType": "t", "Source": "s"}
        events = SERVICE | {"IntegrationSubtype": "EventBridge-PutEvents", "RequestParameters": parameters}
        await world.make_route("GET /a", events | {"CredentialsArn": "arn:x"})
        await world.make_route("GET /b", events)
        await world.make_route("GET /c", events | {"RequestParameters": parameters | {"Resources": "no list"}})
        world.answer = silent
        assert [(await world.ask("GET", path)).status for path in ("/a", "/b", "/c")] == [500, 503, 400]

    in_world(run)
