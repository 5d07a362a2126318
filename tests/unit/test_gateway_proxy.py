"""Lambda proxy integrations: the event API Gateway sends, and what it takes for a reply."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.gateway.exchange import Stage
from localcloud.gateway.message import HttpResponse
from localcloud.gateway.ports import FunctionReply, FunctionUnavailableError
from tests.unit.gateway_setup import FakeFunctions, ask, make_stage, proxy

ANY = {"x-amazon-apigateway-any-method": proxy()}


async def _reply(reply: Any, *, method: str = "GET", body: bytes = b"", **headers: str) -> HttpResponse:
    payload = reply if isinstance(reply, (bytes, FunctionReply)) or callable(reply) else json.dumps(reply).encode()
    functions = FakeFunctions({"work": payload})
    return await ask(make_stage({"/a": ANY}, functions=functions), method, "/a", body, **headers)


async def _event(path: str = "/a", **more: Any) -> Any:
    functions = FakeFunctions({"work": b"{}"})
    stage = make_stage(
        {"/a": ANY, "/a/{x}/{rest+}": ANY},
        functions=functions,
        stage=Stage("v1", "dep", {"color": "red"}),
        **more.pop("root", {}),
    )
    await ask(stage, more.pop("method", "GET"), path, more.pop("body", b""), **more)
    return functions.events[0][1]


async def test_the_event_is_version_1() -> None:
    """Every key that API Gateway sends, no other."""
    event = await _event()
    assert list(event) == [
        "resource",
        "path",
        "httpMethod",
        "headers",
        "multiValueHeaders",
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "pathParameters",
        "stageVariables",
        "requestContext",
        "body",
        "isBase64Encoded",
    ]
    assert (event["queryStringParameters"], event["pathParameters"], event["body"]) == (None, None, None)
    assert event["stageVariables"] == {"color": "red"}
    assert event["isBase64Encoded"] is False


async def test_the_request_context() -> None:
    """Ids, names and times as API Gateway gives them; identity is null where nobody signed."""
    context = (await _event(User_Agent="curl/8"))["requestContext"]
    assert context["accountId"] == "123456789012"
    assert context["apiId"] == context["domainPrefix"] == "abc123"
    assert context["domainName"] == "abc123.execute-api.eu-central-1.amazonaws.com"
    assert context["path"] == "/v1/a"
    assert context["resourcePath"] == "/a"
    assert context["httpMethod"] == "GET"
    assert context["protocol"] == "HTTP/1.1"
    assert context["deploymentId"] == "dep"
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["identity"]["userAgent"] == "curl/8"
    assert context["identity"]["user"] is None
    assert isinstance(context["requestTimeEpoch"], int)
    assert "authorizer" not in context


async def test_repeated_headers_and_parameters() -> None:
    """The plain maps hold the last value, the multi-value maps all."""
    event = await _event(query="a=1&a=2&b=&c=%C3%A9+x")
    assert event["queryStringParameters"] == {"a": "2", "b": "", "c": "é x"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [""], "c": ["é x"]}


async def test_headers_of_the_connection_stay_behind_and_forwarding_ones_come() -> None:
    """Host is the API's name on AWS."""
    event = await _event(Connection="close", Content_Length="3", X_Forwarded_For="1.1.1.1", X_My="y")
    headers = event["headers"]
    assert headers["Host"] == "abc123.execute-api.eu-central-1.amazonaws.com"
    assert headers["X-Forwarded-For"] == "1.1.1.1, 127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["X-Forwarded-Port"] == "443"
    assert headers["X-My"] == "y"
    assert not {"Connection", "Content-Length"} & set(headers)


async def test_path_parameters_are_decoded() -> None:
    """A greedy one holds its slashes."""
    event = await _event("/a/x%2Fy/p/q%20r")
    assert event["pathParameters"] == {"x": "x/y", "rest": "p/q r"}
    assert event["resource"] == "/a/{x}/{rest+}"
    assert event["path"] == "/a/x%2Fy/p/q%20r"


async def test_the_body_is_text() -> None:
    """UTF-8, whatever the content type, unless the API knows it as binary."""
    assert (await _event(body="é".encode(), method="POST"))["body"] == "é"


@pytest.mark.parametrize("types", [["image/png"], ["image/*"], ["*/*"]])
async def test_a_binary_body_is_base64(types: list[str]) -> None:
    """x-amazon-apigateway-binary-media-types."""
    root = {"x-amazon-apigateway-binary-media-types": types}
    event = await _event(body=b"\xff\x00", method="POST", Content_Type="image/png", root=root)
    assert (event["body"], event["isBase64Encoded"]) == (base64.b64encode(b"\xff\x00").decode(), True)


async def test_status_headers_and_body_come_back() -> None:
    """A multi-value header wins over a single one of its name."""
    response = await _reply(
        {
            "statusCode": 201,
            "headers": {"X-One": "1", "Set-Cookie": "no"},
            "multiValueHeaders": {"set-cookie": ["a=1", "b=2"]},
            "body": "é",
        }
    )
    assert response.status == 201
    assert response.body == "é".encode()
    assert [value for name, value in response.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert response.header("x-one") == "1"
    assert response.header("content-type") == "application/json"


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        ({}, 200, b""),
        ({"statusCode": 204}, 204, b""),
        ({"statusCode": "404", "body": None}, 404, b""),
        ({"statusCode": 200, "headers": None, "body": ""}, 200, b""),
        ({"statusCode": 200, "headers": {"X": True}, "body": "x"}, 200, b"x"),
        ({"statusCode": 200, "body": "eA==", "isBase64Encoded": True}, 200, b"eA=="),
    ],
)
async def test_replies_that_are_taken(reply: Any, status: int, body: bytes) -> None:
    """No key is mandatory; base64 is decoded only for binary types."""
    response = await _reply(reply)
    assert (response.status, response.body) == (status, body)


async def test_base64_is_decoded_where_the_client_accepts_a_binary_type() -> None:
    """The API's binary types decide."""
    functions = FakeFunctions({"work": b'{"statusCode":200,"body":"/wA=","isBase64Encoded":true}'})
    stage = make_stage({"/a": ANY}, functions=functions, **{"x-amazon-apigateway-binary-media-types": ["image/png"]})
    assert (await ask(stage, "GET", "/a", Accept="image/png")).body == b"\xff\x00"


@pytest.mark.parametrize(
    "reply",
    [
        b"not json",
        b"",
        [],
        "text",
        None,
        {"statusCode": "x"},
        {"statusCode": 99},
        {"statusCode": 100},
        {"statusCode": 103, "body": "early"},
        {"statusCode": "199"},
        {"statusCode": 600},
        {"statusCode": "9" * 5000},
        {"statusCode": "²00"},
        {"statusCode": 200.5},
        {"statusCode": True},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": []},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "multiValueHeaders": {"a": "b"}},
        {"statusCode": 200, "unknown": 1},
        {"errorMessage": "x"},
    ],
)
async def test_replies_that_are_malformed_are_502(reply: Any) -> None:
    """{"message": "Internal server error"}."""
    response = await _reply(reply)
    assert response.status == 502
    assert json.loads(response.body) == {"message": "Internal server error"}
    assert response.header("x-amzn-errortype") == "InternalServerErrorException"


async def test_a_function_error_is_502() -> None:
    """Unhandled errors of the function never show their words."""
    response = await _reply(FunctionReply(b'{"errorMessage":"secret"}', "Unhandled"))
    assert (response.status, b"secret" in response.body) == (502, False)


@pytest.mark.parametrize(("too_large", "status"), [(False, 500), (True, 413)])
async def test_a_function_that_cannot_be_invoked(too_large: bool, status: int) -> None:
    """Throttled or absent is 500, a payload over Lambda's limit 413."""

    def away(_: Any) -> bytes:
        raise FunctionUnavailableError("away", is_too_large=too_large)

    assert (await _reply(away)).status == status


async def test_a_function_without_permission_is_500() -> None:
    """The resource policy of the function is asked for this method."""
    functions = FakeFunctions({"work": b"{}"}, permitted=False)
    assert (await ask(make_stage({"/a/{x}": {"get": proxy()}}, functions=functions), "GET", "/a/1")).status == 500
    assert functions.asked == [("work", "arn:aws:execute-api:eu-central-1:123456789012:abc123/v1/GET/a/{x}")]
    assert functions.events == []


def test_a_slow_function_is_504_after_29_seconds() -> None:
    """INTEGRATION_TIMEOUT; timeoutInMillis makes it sooner."""

    async def main() -> list[tuple[int, bytes, float]]:
        async def slow(_: Any) -> bytes:
            await asyncio.sleep(60)
            return b"{}"

        short = proxy()
        short["x-amazon-apigateway-integration"]["timeoutInMillis"] = 1500
        stage = make_stage({"/a": ANY, "/b": {"get": short}}, functions=FakeFunctions({"work": slow}))
        loop, seen = asyncio.get_running_loop(), []
        for path in ("/a", "/b"):
            began = loop.time()
            response = await ask(stage, "GET", path)
            seen.append((response.status, response.body, loop.time() - began))
        return seen

    words = b'{"message":"Endpoint request timed out"}'
    assert run_virtual(main) == [(504, words, pytest.approx(29.0)), (504, words, pytest.approx(1.5))]


async def test_headers_that_belong_to_the_connection_are_renamed() -> None:
    """Server and Date, and the rest of the documented list."""
    response = await _reply({"statusCode": 200, "headers": {"Server": "x", "Date": "y", "WWW-Authenticate": "z"}})
    assert response.header("x-amzn-remapped-server") == "x"
    assert response.header("x-amzn-remapped-date") == "y"
    assert response.header("x-amzn-remapped-www-authenticate") == "z"
    assert response.header("server") is None


async def test_requests_run_at_once() -> None:
    """The gateway itself does not queue."""
    started = 0
    everyone = asyncio.Event()

    async def together(_: Any) -> bytes:
        nonlocal started
        started += 1
        if started == 50:
            everyone.set()
        await everyone.wait()
        return b"{}"

    stage = make_stage({"/a": ANY}, functions=FakeFunctions({"work": together}))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(stage, "GET", "/a")) for _ in range(50)]
    assert {task.result().status for task in tasks} == {200}
