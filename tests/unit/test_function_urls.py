"""Function URLs: events, replies, CORS, who may call, and both invoke modes."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.functions import Functions
from localcloud.compute.permission_resources import PermissionHandler
from localcloud.compute.policies import FunctionPolicies, Grant
from localcloud.gateway.backends import PRINCIPAL, SESSION, LambdaFunctions, UrlPolicies
from localcloud.gateway.cors import Cors, answer_preflight, apply_cors
from localcloud.gateway.function_url import FunctionUrl, FunctionUrls
from localcloud.gateway.function_url_event import Arrival, make_event, read_reply
from localcloud.gateway.function_url_resources import FunctionUrlHandler
from localcloud.gateway.message import HttpRequest, HttpResponse, StreamCutError
from localcloud.gateway.ports import Identity
from localcloud.gateway.rest import Backends
from localcloud.gateway.server import Gateway
from localcloud.services.iam.calls import Authoriser, CallRecord
from localcloud.services.iam.model import Iam
from localcloud.services.iam.resources import RoleHandler
from localcloud.services.iam.sessions import RoleSessions
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, StackContext
from tests.unit.gateway_setup import Recorder
from tests.unit.streaming_setup import ARN, Handler, Writer, functions_of

CONTEXT = StackContext("stack", "eu-central-1", "123456789012", "aws", Path("/nowhere"))
URL = FunctionUrl(id="abc", function_arn=ARN, is_public=True)
PUBLIC = (
    Grant("u", "lambda:InvokeFunctionUrl", "*", url_auth_type="NONE"),
    Grant("i", "lambda:InvokeFunction", "*", via_url=True),
)


@dataclass
class World:
    functions: Functions
    urls: FunctionUrls
    policies: FunctionPolicies
    iam: Iam
    gateway: Gateway

    async def ask(self, method: str = "GET", path: str = "/lambda-url/abc/", **options: Any) -> HttpResponse:
        headers = tuple(options.pop("headers", {}).items())
        request = HttpRequest(method, path, options.pop("query", ""), headers, options.pop("body", b""), **options)
        return await self.gateway.handle(request)


@asynccontextmanager
async def world_of(handler: Handler, *grants: Grant, url: FunctionUrl = URL, **changes: Any) -> AsyncGenerator[World]:
    async with functions_of(handler, **changes) as functions:
        policies, iam = FunctionPolicies(), Iam(random.Random(1))
        for grant in grants:
            policies.add(ARN, grant)
        authorise = Authoriser(iam, CallRecord(), policy_of=policies.policy_of)
        clock = LoopClock(asyncio.get_running_loop())
        backend = LambdaFunctions(functions, lambda *_, **__: False)
        urls = FunctionUrls(backend, UrlPolicies(iam, authorise, policies), clock=clock, random=random.Random(2))
        urls.add(url)
        backends = Backends(backend, Recorder(), RoleSessions(iam, service=PRINCIPAL, session=SESSION))
        gateway = Gateway(backends=backends, clock=clock, random=random.Random(3), urls=urls)
        yield World(functions, urls, policies, iam, gateway)


async def read(response: HttpResponse) -> bytes:
    if response.stream is None:
        return response.body
    try:
        return b"".join([chunk async for chunk in response.stream])
    finally:
        await response.stream.aclose()


async def echo(request: Request) -> Outcome:
    return Outcome(request.payload, content_type="application/json")


# ---------------------------------------------------------------- events


def event_of(request: HttpRequest, identity: Identity | None = None) -> Any:
    arrival = Arrival(
        request=request, domain=URL.domain, request_id="r", trace_id="Root=1", at_s=1_583_348_638.39, identity=identity
    )
    return json.loads(make_event(arrival))


def test_the_event_is_payload_format_two() -> None:
    """Lower-case headers and parameters joined by commas, cookies apart, the body as text."""
    headers = (
        ("X-A", "1"),
        ("x-a", "2"),
        ("Cookie", "a=1; b=2"),
        ("Content-Type", "text/plain"),
        ("Host", "localhost"),
    )
    request = HttpRequest("POST", "/my/p%20th", "a=1&a=2&b=", headers, "häßlich".encode(), source_ip="1.2.3.4")
    assert event_of(request) == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/my/p%20th",
        "rawQueryString": "a=1&a=2&b=",
        "cookies": ["a=1", "b=2"],
        "headers": {
            "x-a": "1,2",
            "content-type": "text/plain",
            "host": "abc.lambda-url.eu-central-1.on.aws",
            "x-amzn-trace-id": "Root=1",
            "x-forwarded-for": "1.2.3.4",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "queryStringParameters": {"a": "1,2", "b": ""},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": "abc.lambda-url.eu-central-1.on.aws",
            "domainPrefix": "abc",
            "http": {
                "method": "POST",
                "path": "/my/p%20th",
                "protocol": "HTTP/1.1",
                "sourceIp": "1.2.3.4",
                "userAgent": "",
            },
            "requestId": "r",
            "routeKey": "$default",
            "stage": "$default",
            "time": "04/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "body": "häßlich",
        "isBase64Encoded": False,
    }


def test_an_event_without_body_query_or_cookies_has_no_such_members() -> None:
    """They are left out, not null."""
    event = event_of(HttpRequest("GET", "/", "", (), b""))
    assert not {"body", "cookies", "queryStringParameters"} & set(event)
    assert event["isBase64Encoded"] is False


@pytest.mark.parametrize(
    ("headers", "is_base64"),
    [
        ({"Content-Type": "application/json; charset=utf-8"}, False),
        ({"Content-Type": "application/problem+json"}, False),
        ({"Content-Type": "text/csv"}, False),
        ({"Content-Type": "application/x-www-form-urlencoded"}, True),
        ({"Content-Type": "image/png"}, True),
        ({}, True),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, True),
    ],
)
def test_only_text_is_sent_as_text(headers: dict[str, str], is_base64: bool) -> None:
    """Everything else is base64."""
    event = event_of(HttpRequest("POST", "/", "", tuple(headers.items()), b"{}"))
    assert (event["body"], event["isBase64Encoded"]) == (
        base64.b64encode(b"{}").decode() if is_base64 else "{}",
        is_base64,
    )


def test_a_signed_request_tells_who_asks() -> None:
    """The account of the caller, and its IAM identity."""
    event = event_of(HttpRequest("GET", "/", "", (), b""), Identity("ASIAX", "1", "arn:x", "u"))
    assert event["requestContext"]["accountId"] == "1"
    assert event["requestContext"]["authorizer"]["iam"]["userArn"] == "arn:x"


# ---------------------------------------------------------------- buffered replies


def test_a_reply_with_a_status_is_taken_apart() -> None:
    """Headers, cookies, base64."""
    reply = {
        "statusCode": 201,
        "headers": {"A": "b"},
        "cookies": ["a=1", "b=2"],
        "body": "aGk=",
        "isBase64Encoded": True,
    }
    assert read_reply(json.dumps(reply).encode()) == HttpResponse(
        201,
        (("A", "b"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Type", "application/json")),
        b"hi",
    )


@pytest.mark.parametrize("payload", [b'{"hello":1}', b'"text"', b"[1]", b"null", b"no json"])
def test_a_reply_without_a_status_is_the_body(payload: bytes) -> None:
    """200 and application/json, as Lambda infers it."""
    assert read_reply(payload) == HttpResponse(200, (("Content-Type", "application/json"),), payload)


@pytest.mark.parametrize(
    "reply",
    [
        {"statusCode": "x"},
        {"statusCode": 100},
        {"statusCode": 200, "headers": []},
        {"statusCode": 200, "headers": {"a b": "c"}},
        {"statusCode": 200, "cookies": "a"},
        {"statusCode": 200, "body": "%", "isBase64Encoded": True},
    ],
)
def test_a_reply_that_is_none_is_a_502(reply: Any) -> None:
    """Internal Server Error, and nothing of the function's."""

    async def answer(_request: Request) -> Outcome:
        return Outcome(json.dumps(reply).encode())

    async def main() -> None:
        async with world_of(answer, *PUBLIC) as world:
            response = await world.ask()
            assert (response.status, response.body) == (502, b"Internal Server Error")

    run_virtual(main)


def test_a_function_error_is_a_502_and_no_capacity_a_429() -> None:
    """The error's words do not reach the client."""

    async def fail(_request: Request) -> Outcome:
        return Outcome(b'{"errorMessage":"secret"}', "KeyError")

    async def main() -> None:
        async with world_of(fail, *PUBLIC) as world:
            response = await world.ask()
            assert (response.status, response.body) == (502, b"Internal Server Error")
        async with world_of(echo, *PUBLIC, reserved_concurrency=0) as world:
            response = await world.ask()
            assert (response.status, response.header("x-amzn-errortype")) == (429, "TooManyRequestsException")

    run_virtual(main)


def test_a_request_over_six_megabytes_is_a_413() -> None:
    """What does not fit into one invocation is refused before it."""

    async def main() -> None:
        async with world_of(echo, *PUBLIC) as world:
            response = await world.ask("POST", body=bytes(5 * 1024 * 1024))
            assert response.status == 413

    run_virtual(main)


def test_a_url_is_found_by_its_path_or_its_host() -> None:
    """The function sees the path after the URL's own; what is no URL is refused."""

    async def main() -> None:
        async with world_of(echo, *PUBLIC) as world:
            by_path = await world.ask(path="/lambda-url/abc/a/b", query="q=1")
            by_host = await world.ask(path="/a/b", query="q=1", host="abc.lambda-url.eu-central-1.on.aws:4601")
            bare = await world.ask(path="/lambda-url/abc")
            for response in (by_path, by_host):
                event = json.loads(response.body)
                assert (event["rawPath"], event["rawQueryString"]) == ("/a/b", "q=1")
            assert json.loads(bare.body)["rawPath"] == "/"
            nowhere = await world.ask(path="/lambda-url/nowhere/")
            assert (nowhere.status, nowhere.header("x-amzn-errortype")) == (403, "AccessDeniedException")

    run_virtual(main)


# ---------------------------------------------------------------- streaming


STREAMING = FunctionUrl(id="abc", function_arn=ARN, is_public=True, streams=True)


def writes(content_type: str, *parts: bytes, error_type: str = "") -> Handler:
    async def answer(request: Request) -> Outcome:
        writer = Writer(request, content_type)
        for part in parts:
            await writer.write(part)
            await asyncio.sleep(1)
        return writer.end(error_type)

    return answer


def test_a_streamed_response_with_a_prelude_is_taken_apart() -> None:
    """Status, headers and cookies come before the body does; hop-by-hop headers are dropped."""
    prelude = {"statusCode": 418, "headers": {"A": "b", "Content-Length": "3"}, "cookies": ["a=1"]}
    handler = writes(
        "application/vnd.awslambda.http-integration-response", json.dumps(prelude).encode() + bytes(8), b"x"
    )

    async def main() -> None:
        async with world_of(handler, *PUBLIC, url=STREAMING) as world:
            response = await world.ask()
            assert asyncio.get_running_loop().time() == 0
            assert (response.status, response.header("a"), response.header("set-cookie")) == (418, "b", "a=1")
            assert response.header("content-length") is None
            assert response.header("content-type") == "application/octet-stream"
            assert await read(response) == b"x"

    run_virtual(main)


def test_a_streamed_response_without_a_prelude_is_the_body() -> None:
    """200, with the content type that the function gave."""

    async def main() -> None:
        async with world_of(writes("text/plain", b"one", b"two"), *PUBLIC, url=STREAMING) as world:
            response = await world.ask()
            assert (response.status, response.header("content-type")) == (200, "text/plain")
            assert await read(response) == b"onetwo"

    run_virtual(main)


def test_a_buffered_handler_behind_a_streaming_url_is_not_taken_apart() -> None:
    """Its JSON is the body, status code and all."""

    async def answer(_request: Request) -> Outcome:
        return Outcome(b'{"statusCode":404}', content_type="application/json")

    async def main() -> None:
        async with world_of(answer, *PUBLIC, url=STREAMING) as world:
            response = await world.ask()
            assert (response.status, response.header("content-type")) == (200, "application/json")
            assert await read(response) == b'{"statusCode":404}'

    run_virtual(main)


def test_errors_before_and_in_a_streamed_response() -> None:
    """Before the first byte 502; later the answer is cut."""

    async def fail(_request: Request) -> Outcome:
        return Outcome(b"{}", "KeyError")

    async def main() -> None:
        async with world_of(fail, *PUBLIC, url=STREAMING) as world:
            assert (await world.ask()).status == 502
        async with world_of(writes("text/plain", b"half", error_type="KeyError"), *PUBLIC, url=STREAMING) as world:
            response = await world.ask()
            with pytest.raises(StreamCutError):
                await read(response)
        broken = writes("application/vnd.awslambda.http-integration-response", b"no prelude")
        async with world_of(broken, *PUBLIC, url=STREAMING) as world:
            assert (await world.ask()).status == 502

    run_virtual(main)


# ---------------------------------------------------------------- who may call


@pytest.mark.parametrize(
    ("grants", "status"),
    [
        (PUBLIC, 200),
        ((), 403),
        (PUBLIC[:1], 403),
        (PUBLIC[1:], 403),
        ((Grant("u", "lambda:InvokeFunctionUrl", "*", url_auth_type="AWS_IAM"), PUBLIC[1]), 403),
        ((Grant("u", "lambda:*", "*"),), 200),
        ((Grant("u", "lambda:*", "123456789012"),), 403),
    ],
)
def test_a_public_url_needs_a_public_policy_with_both_actions(grants: tuple[Grant, ...], status: int) -> None:
    """InvokeFunctionUrl and InvokeFunction, as for every URL made since October 2025."""

    async def main() -> None:
        async with world_of(echo, *grants) as world:
            response = await world.ask()
            assert response.status == status
            if status == 403:
                assert json.loads(response.body)["Message"].startswith("Forbidden. For troubleshooting")

    run_virtual(main)


def test_a_grant_for_urls_lets_no_api_in() -> None:
    """InvokedViaFunctionUrl bounds InvokeFunction to URLs."""
    policies = FunctionPolicies()
    policies.add(ARN, PUBLIC[1])
    source = "arn:aws:execute-api:eu-central-1:123456789012:api/v1/GET/"
    assert not policies.allows(ARN, service="apigateway.amazonaws.com", source_arn=source)


def signed(access_key: str, service: str = "lambda") -> dict[str, str]:
    scope = f"{access_key}/20260101/eu-central-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}


async def role_key(iam: Iam, name: str, *actions: str, condition: Any = None) -> str:
    """The key of a session of a role that may do `actions` on the function."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": ARN}
    policy = {"Version": "2012-10-17", "Statement": [statement | ({"Condition": condition} if condition else {})]}
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    properties: dict[str, Any] = {
        "RoleName": name,
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
    }
    if actions:
        properties["Policies"] = [{"PolicyName": "p", "PolicyDocument": policy}]
    made = await RoleHandler(iam).create(Resource(name, "AWS::IAM::Role", properties, CONTEXT))
    return iam.issue_credentials(made.attributes["Arn"], function_name="caller").access_key


def test_a_url_with_iam_asks_the_callers_policies() -> None:
    """Unsigned, signed for another service, or a role without both actions: 403. Its conditions are known."""
    both = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
    url = FunctionUrl(id="abc", function_arn=ARN, is_public=False)
    none_only = {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}
    iam_only = {"StringEqualsIfExists": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}

    async def main() -> None:
        async with world_of(echo, *PUBLIC, url=url) as world:
            iam = world.iam
            keys = {
                await role_key(iam, "may", *both): 200,
                await role_key(iam, "url-only", both[0]): 403,
                await role_key(iam, "nothing"): 403,
                await role_key(iam, "public-urls", *both, condition=none_only): 403,
                await role_key(iam, "iam-urls", *both, condition=iam_only): 200,
                "developer": 200,
            }
            world.policies.remove("i")
            for key, status in keys.items():
                assert (await world.ask(headers=signed(key))).status == status, key
            assert (await world.ask()).status == 403
            assert (await world.ask(headers=signed("developer", "execute-api"))).status == 403
            answer = await world.ask(headers=signed(next(iter(keys))))
            caller = json.loads(answer.body)["requestContext"]["authorizer"]["iam"]
            assert caller["userArn"] == "arn:aws:sts::123456789012:assumed-role/may/caller"

    run_virtual(main)


def test_a_url_with_iam_tells_the_functions_tags() -> None:
    """To both actions' policies: a function of another domain, or without a tag, answers 403."""
    both = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
    own = {"StringEquals": {"aws:ResourceTag/domain": "shop"}}

    async def main() -> None:
        for tags, status in (((("domain", "shop"),), 200), ((("domain", "billing"),), 403), ((), 403)):
            url = FunctionUrl(id="abc", function_arn=ARN, is_public=False, tags=tags)
            async with world_of(echo, *PUBLIC, url=url) as world:
                key = await role_key(world.iam, "own", *both, condition=own)
                world.policies.remove("i")
                assert (await world.ask(headers=signed(key))).status == status, tags
        async with world_of(echo, tags={"domain": "shop"}) as world:
            key = await role_key(world.iam, "own", *both, condition=own)
            _, _, made = await make_url(world, TargetFunctionArn="f", AuthType="AWS_IAM")
            domain = made.attributes["FunctionUrl"].removeprefix("https://").removesuffix("/")
            assert (await world.ask(path="/", host=domain, headers=signed(key))).status == 200

    run_virtual(main)


# ---------------------------------------------------------------- CORS


CORS = Cors(
    allow_headers=("x-a", "x-b"),
    allow_methods=("GET", "POST"),
    allow_origins=("https://a.example",),
    expose_headers=("x-c",),
    max_age_s=60,
)


def preflight(origin: str = "https://a.example", method: str = "POST", **headers: str) -> HttpRequest:
    sent = {"Origin": origin, "Access-Control-Request-Method": method} | headers
    return HttpRequest("OPTIONS", "/", "", tuple(sent.items()), b"")


def test_a_preflight_is_answered_by_lambda() -> None:
    """With what is allowed; an origin or method that is not gets no CORS headers."""
    allowed = answer_preflight(CORS, preflight())
    assert allowed == HttpResponse(
        200,
        (
            ("Access-Control-Allow-Origin", "https://a.example"),
            ("Vary", "Origin"),
            ("Access-Control-Allow-Methods", "GET,POST"),
            ("Access-Control-Allow-Headers", "x-a,x-b"),
            ("Access-Control-Max-Age", "60"),
        ),
    )
    assert answer_preflight(CORS, preflight(origin="https://b.example")) == HttpResponse(200)
    assert answer_preflight(CORS, preflight(method="DELETE")) == HttpResponse(200)
    assert answer_preflight(CORS, HttpRequest("OPTIONS", "/", "", (), b"")) is None
    assert answer_preflight(CORS, HttpRequest("GET", "/", "", (("Origin", "https://a.example"),), b"")) is None


def test_the_urls_cors_settings_replace_the_functions() -> None:
    """The function's own CORS headers are dropped; without an Origin there are none at all."""
    answered = (("Access-Control-Allow-Origin", "*"), ("X-Own", "1"))
    asked = HttpRequest("GET", "/", "", (("Origin", "https://a.example"),), b"")
    assert apply_cors(CORS, asked, answered) == (
        ("X-Own", "1"),
        ("Access-Control-Allow-Origin", "https://a.example"),
        ("Vary", "Origin"),
        ("Access-Control-Expose-Headers", "x-c"),
    )
    assert apply_cors(CORS, HttpRequest("GET", "/", "", (), b""), answered) == (("X-Own", "1"),)


def test_all_origins_and_credentials() -> None:
    """`*` stays `*`, but not with credentials, where a browser would refuse it."""
    asked = HttpRequest("GET", "/", "", (("Origin", "https://x.example"),), b"")
    assert apply_cors(Cors(allow_origins=("*",)), asked, ()) == (("Access-Control-Allow-Origin", "*"),)
    assert apply_cors(Cors(allow_origins=("*",), allow_credentials=True), asked, ()) == (
        ("Access-Control-Allow-Origin", "https://x.example"),
        ("Vary", "Origin"),
        ("Access-Control-Allow-Credentials", "true"),
    )


def test_a_preflight_needs_no_signature_and_invokes_nothing() -> None:
    """A browser sends none; an error has the headers too, so that the page can read it."""
    url = FunctionUrl(id="abc", function_arn=ARN, is_public=False, cors=CORS)

    async def main() -> None:
        async with world_of(echo, url=url) as world:
            asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
            response = await world.ask("OPTIONS", headers=asked)
            assert (response.status, response.header("access-control-allow-methods")) == (200, "GET,POST")
            refused = await world.ask(headers={"Origin": "https://a.example"})
            assert (refused.status, refused.header("access-control-allow-origin")) == (403, "https://a.example")

    run_virtual(main)


# ---------------------------------------------------------------- resources


async def make_url(world: World, **properties: Any) -> Any:
    resource = Resource("Url", "AWS::Lambda::Url", properties, CONTEXT)
    handler = FunctionUrlHandler(world.functions, world.urls)
    return handler, resource, await handler.create(resource)


def test_a_template_makes_a_url_and_its_permissions() -> None:
    """Ref is the function's ARN, FunctionUrl its address; deleted, it answers no more."""

    async def main() -> None:
        async with world_of(echo) as world:
            handler, resource, made = await make_url(world, TargetFunctionArn="f", AuthType="NONE")
            assert (made.ref, made.attributes["FunctionArn"]) == (ARN, ARN)
            domain = made.attributes["FunctionUrl"].removeprefix("https://").removesuffix("/")
            assert domain.endswith(".lambda-url.eu-central-1.on.aws")
            assert len(domain.partition(".")[0]) == 32
            assert (await world.ask(path="/", host=domain)).status == 403
            permissions = PermissionHandler(world.functions, world.policies)
            for name, changes in (
                ("A", {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"}),
                ("B", {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": "true"}),
            ):
                properties = {"FunctionName": "f", "Principal": "*", **changes}
                await permissions.create(Resource(name, "AWS::Lambda::Permission", properties, CONTEXT))
            assert (await world.ask(path="/", host=domain)).status == 200
            policy = world.policies.policy_of(ARN)
            assert policy is not None
            assert [statement["Condition"] for statement in policy.source["Statement"]] == [
                {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
                {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
            ]
            await handler.delete(resource, made)
            assert (await world.ask(path="/", host=domain)).status == 403

    run_virtual(main)


@pytest.mark.parametrize(
    "properties",
    [
        {"TargetFunctionArn": "nowhere", "AuthType": "NONE"},
        {"TargetFunctionArn": "f"},
        {"TargetFunctionArn": "f", "AuthType": "SOME"},
        {"TargetFunctionArn": "f", "AuthType": "NONE", "InvokeMode": "STREAM"},
        {"TargetFunctionArn": "f", "AuthType": "NONE", "Cors": {"MaxAge": 86_401}},
    ],
)
def test_a_url_that_makes_no_sense_is_refused(properties: dict[str, Any]) -> None:
    """By name, at deployment."""

    async def main() -> None:
        async with world_of(echo) as world:
            with pytest.raises(TemplateError, match="Url"):
                await make_url(world, **properties)

    run_virtual(main)
