"""What functions behind an HTTP API get, and what their replies mean, in payload formats 1.0 and 2.0."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.gateway.message import HttpRequest
from localcloud.gateway.ports import FunctionReply, FunctionUnavailableError
from tests.unit.http_api_setup import World, function, in_world

HEADERS = (
    ("Accept", "*/*"),
    ("Cookie", "a=1; b=2"),
    ("User-Agent", "curl"),
    ("X-Two", "1"),
    ("x-two", "2"),
    ("Content-Type", "application/json"),
    ("Connection", "close"),
    ("X-Amzn-Trace-Id", "Root=1-67890000-0123456789abcdef01234567"),
)


async def event_of(world: World, payload: str, *, stage: str = "$default") -> dict[str, Any]:
    """The event of one rich request."""
    await world.make_body({"/pets/{id}": {"post": function(payload)}}, stage)
    prefix = "" if stage == "$default" else f"/{stage}"
    await world.send(HttpRequest("POST", f"{prefix}/pets/a%20b", "q=1&q=2&r=%26", HEADERS, b'{"k": 1}'))
    return world.event


def test_format_2_has_every_documented_part() -> None:
    """Cookies apart, values joined by commas, lower-case headers, a decoded path, the raw query."""

    async def run(world: World) -> None:
        event = await event_of(world, "2.0")
        context = event["requestContext"]
        request_id, domain = context["requestId"], f"{world.api_id}.execute-api.eu-central-1.amazonaws.com"
        assert len(request_id) == 16
        assert event == {
            "version": "2.0",
            "routeKey": "POST /pets/{id}",
            "rawPath": "/pets/a b",
            "rawQueryString": "q=1&q=2&r=%26",
            "cookies": ["a=1", "b=2"],
            "headers": {
                "content-length": "8",
                "host": domain,
                "x-amzn-trace-id": "Root=1-67890000-0123456789abcdef01234567",
                "x-forwarded-for": "127.0.0.1",
                "x-forwarded-port": "443",
                "x-forwarded-proto": "https",
                "accept": "*/*",
                "user-agent": "curl",
                "x-two": "1,2",
                "content-type": "application/json",
            },
            "queryStringParameters": {"q": "1,2", "r": "&"},
            "requestContext": {
                "accountId": "123456789012",
                "apiId": world.api_id,
                "domainName": domain,
                "domainPrefix": world.api_id,
                "http": {
                    "method": "POST",
                    "path": "/pets/a b",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": "curl",
                },
                "requestId": request_id,
                "routeKey": "POST /pets/{id}",
                "stage": "$default",
                "time": "15/Jan/2027:08:00:00 +0000",
                "timeEpoch": 1800000000000,
            },
            "pathParameters": {"id": "a b"},
            "body": '{"k": 1}',
            "isBase64Encoded": False,
        }

    in_world(run)


def test_format_2_leaves_out_what_is_not_there() -> None:
    """No cookies, parameters, variables or body."""

    async def run(world: World) -> None:
        await world.make_body({"/": {"get": function()}})
        await world.ask("GET", "/")
        assert sorted(world.event) == [
            "headers", "isBase64Encoded", "rawPath", "rawQueryString", "requestContext", "routeKey", "version",
        ]  # fmt: skip

    in_world(run)


def test_format_1_has_every_documented_part() -> None:
    """Values apart, nulls for what is not there, the caller's place in identity."""

    async def run(world: World) -> None:
        event = await event_of(world, "1.0", stage="v1")
        domain = f"{world.api_id}.execute-api.eu-central-1.amazonaws.com"
        context = event.pop("requestContext")
        headers = event.pop("headers")
        assert event.pop("multiValueHeaders") == {
            name: ["1", "2"] if name == "x-two" else [value] for name, value in headers.items()
        }
        assert headers == {
            "Content-Length": "8",
            "Host": domain,
            "X-Amzn-Trace-Id": "Root=1-67890000-0123456789abcdef01234567",
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Port": "443",
            "X-Forwarded-Proto": "https",
            "accept": "*/*",
            "cookie": "a=1; b=2",
            "User-Agent": "curl",
            "x-two": "2",
            "content-type": "application/json",
        }
        assert event == {
            "version": "1.0",
            "resource": "/pets/{id}",
            "path": "/v1/pets/a b",
            "httpMethod": "POST",
            "queryStringParameters": {"q": "2", "r": "&"},
            "multiValueQueryStringParameters": {"q": ["1", "2"], "r": ["&"]},
            "pathParameters": {"id": "a b"},
            "stageVariables": None,
            "body": '{"k": 1}',
            "isBase64Encoded": False,
        }
        empty = ("accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType")
        empty += ("cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "user", "userArn")
        assert context == {
            "accountId": "123456789012",
            "apiId": world.api_id,
            "authorizer": {"claims": None, "scopes": None},
            "domainName": domain,
            "domainPrefix": world.api_id,
            "extendedRequestId": context["requestId"],
            "httpMethod": "POST",
            "identity": {**dict.fromkeys(empty), "sourceIp": "127.0.0.1", "userAgent": "curl"},
            "path": "/v1/pets/a b",
            "protocol": "HTTP/1.1",
            "requestId": context["requestId"],
            "requestTime": "15/Jan/2027:08:00:00 +0000",
            "requestTimeEpoch": 1800000000000,
            "resourceId": "POST /pets/{id}",
            "resourcePath": "/pets/{id}",
            "stage": "v1",
        }

    in_world(run)


def test_a_named_stage_is_part_of_the_path_and_a_question_mark_cuts_it() -> None:
    """As API Gateway decodes a path before a function sees it."""

    async def run(world: World) -> None:
        await world.make_body({"/{p+}": {"get": function()}}, "v1")
        await world.ask("GET", "/v1/a%3Fb")
        assert world.event["rawPath"] == "/v1/a"
        assert world.event["pathParameters"] == {"p": "a?b"}

    in_world(run)


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"content_type": "text/html; charset=utf-8"}, b"<p>", ("<p>", False)),
        ({"content_type": "application/vnd.api+json"}, b"{}", ("{}", False)),
        ({"content_type": "application/xml"}, b"<a/>", ("<a/>", False)),
        ({"content_type": "application/x-www-form-urlencoded"}, b"a=1", ("YT0x", True)),
        ({"content_type": "application/octet-stream"}, b"\xff", ("/w==", True)),
        ({"content_type": "application/json", "content_encoding": "gzip"}, b"{}", ("e30=", True)),
        ({}, b"a", ("YQ==", True)),
    ],
)
def test_bodies_are_base64_by_their_type(headers: dict[str, str], body: bytes, expected: tuple[str, bool]) -> None:
    """Text types stay text unless they are compressed."""

    async def run(world: World) -> None:
        await world.make_body({"/": {"post": function()}})
        await world.ask("POST", "/", body, **headers)
        assert (world.event["body"], world.event["isBase64Encoded"]) == expected

    in_world(run)


Reply = tuple[int, bytes, str | None]
BROKEN: Reply = (500, b'{"message":"Internal Server Error"}', "application/json")
PLAIN = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("payload", "reply", "expected"),
    [
        ("2.0", "Hello", (200, b"Hello", "application/json")),
        ("2.0", {"message": "hi"}, (200, b'{"message": "hi"}', "application/json")),
        ("2.0", [1, 2], (200, b"[1, 2]", "application/json")),
        ("2.0", None, (200, b"null", "application/json")),
        ("2.0", {"statusCode": 201, "body": "x"}, (201, b"x", PLAIN)),
        ("2.0", {"statusCode": "204"}, (204, b"", PLAIN)),
        ("2.0", {"statusCode": 200, "headers": {"content-type": "a/b"}, "body": "x"}, (200, b"x", "a/b")),
        ("2.0", {"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}, (200, b"hi", PLAIN)),
        ("2.0", {"statusCode": 200, "body": "%%", "isBase64Encoded": True}, BROKEN),
        ("2.0", {"statusCode": 200, "body": {"a": 1}}, BROKEN),
        ("2.0", {"statusCode": "abc"}, BROKEN),
        ("2.0", {"statusCode": 101}, BROKEN),
        ("2.0", {"statusCode": 200, "headers": []}, BROKEN),
        ("2.0", {"statusCode": 200, "headers": {"a b": "c"}}, BROKEN),
        ("2.0", {"statusCode": 200, "headers": {"a": "b\r\nc"}}, BROKEN),
        ("2.0", {"statusCode": 200, "cookies": "a=1"}, BROKEN),
        ("1.0", {"statusCode": 200, "body": "x"}, (200, b"x", PLAIN)),
        ("1.0", {"message": "hi"}, BROKEN),
        ("1.0", "Hello", BROKEN),
        ("1.0", {"statusCode": 200, "multiValueHeaders": {"content-type": ["c/d"]}}, (200, b"", "c/d")),
        ("1.0", {"statusCode": 200, "multiValueHeaders": {"a": "b"}}, BROKEN),
    ],
)
def test_replies_mean_what_aws_documents(payload: str, reply: object, expected: Reply) -> None:
    """Inferred where they have no status code (2.0), and 500 where they make no sense."""

    async def run(world: World) -> None:
        world.functions.replies["Work"] = json.dumps(reply).encode()
        await world.make_body({"/": {"get": function(payload)}})
        answer = await world.ask("GET", "/")
        assert (answer.status, answer.body, answer.header("content-type")) == expected
        assert answer.header("apigw-requestid") == world.event["requestContext"]["requestId"]

    in_world(run)


def test_cookies_and_headers_of_a_reply_are_sent_each() -> None:
    """Cookies as Set-Cookie (2.0), many values as many headers (1.0); the connection's own are left out."""

    async def run(world: World) -> None:
        await world.make_body({"/one": {"get": function("1.0")}, "/two": {"get": function("2.0")}})
        world.functions.replies["Work"] = json.dumps(
            {
                "statusCode": 200,
                "cookies": ["a=1", "b=2"],
                "headers": {"X-A": True, "Connection": "close", "Content-Length": "99"},
                "multiValueHeaders": {"X-B": ["1", "2"]},
            }
        ).encode()
        two, one = await world.ask("GET", "/two"), await world.ask("GET", "/one")
        apart = ("Content-Type", PLAIN)
        assert two.headers[:-1] == (("X-A", "true"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), apart)
        assert one.headers[:-1] == (("X-A", "true"), ("X-B", "1"), ("X-B", "2"), apart)

    in_world(run)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (FunctionReply(b'{"errorMessage":"x"}', "Unhandled"), (500, "Internal Server Error")),
        (FunctionReply(b"not json"), (500, "Internal Server Error")),
        (FunctionUnavailableError("gone"), (500, "Internal Server Error")),
        (FunctionUnavailableError("busy", is_throttled=True), (503, "Service Unavailable")),
        (FunctionUnavailableError("big", is_too_large=True), (413, "Request Entity Too Large")),
    ],
)
def test_failures_of_functions_have_their_answer(failure: object, expected: tuple[int, str]) -> None:
    """500, 503 where Lambda has no room, 413 over Lambda's own limit."""

    def fail(_: Any) -> Any:
        if isinstance(failure, Exception):
            raise failure
        return failure

    async def run(world: World) -> None:
        world.functions.replies["Work"] = fail
        await world.make_body({"/": {"get": function()}})
        answer = await world.ask("GET", "/")
        assert (answer.status, json.loads(answer.body)["message"]) == expected

    in_world(run)


@pytest.mark.parametrize(("timeout", "expected_s"), [({}, 30.0), ({"timeoutInMillis": 2000}, 2.0)])
def test_a_function_has_30_seconds_or_what_the_integration_says(timeout: dict[str, int], expected_s: float) -> None:
    """Then the answer is 503."""

    async def run(world: World) -> None:
        world.functions.replies["Work"] = lambda _: asyncio.sleep(100)
        operation = function()
        operation["x-amazon-apigateway-integration"] |= timeout
        await world.make_body({"/": {"get": operation}})
        before_s = world.clock.time()
        answer = await world.ask("GET", "/")
        assert (answer.status, answer.body) == (503, b'{"message":"Service Unavailable"}')
        assert world.clock.time() - before_s == pytest.approx(expected_s)

    in_world(run)


def test_a_function_needs_a_permission_for_the_route() -> None:
    """Asked by the stage, the request's method and the route's path with its variables; `$default` by its name."""

    async def run(world: World) -> None:
        await world.make_body({"/pets/{id}": {"x-amazon-apigateway-any-method": function()}})
        await world.make_route("$default")
        await world.ask("GET", "/pets/1")
        await world.ask("GET", "/other")
        prefix = f"arn:aws:execute-api:eu-central-1:123456789012:{world.api_id}/$default"
        assert world.functions.asked == [("Work", f"{prefix}/GET/pets/{{id}}"), ("Work", f"{prefix}/$default")]
        world.functions.permitted = False
        answer = await world.ask("GET", "/pets/1")
        assert (answer.status, answer.body) == (500, b'{"message":"Internal Server Error"}')
        assert len(world.functions.events) == 2

    in_world(run)


def test_a_body_over_10_mb_is_refused() -> None:
    """One byte more than the limit: 413; at the limit the function is asked."""

    async def run(world: World) -> None:
        await world.make_body({"/": {"post": function()}})
        limit = 10 * 1024 * 1024
        answers = [await world.ask("POST", "/", bytes(size)) for size in (limit + 1, limit)]
        assert [answer.status for answer in answers] == [413, 200]
        assert answers[0].body == b'{"message":"Request Entity Too Large"}'

    in_world(run)
