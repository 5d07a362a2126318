"""Lambda authorizers of HTTP APIs, and routes with AWS_IAM."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.gateway.message import HttpResponse
from localcloud.gateway.ports import FunctionReply, FunctionUnavailableError
from tests.unit.http_api_setup import World, function, in_world, lambda_uri

NAME = "$request.header.x-user"
YES = b'{"isAuthorized": true, "context": {"team": "red", "list": [1, "a"], "map": {"k": true}}}'
SIMPLE = {"authorizerPayloadFormatVersion": "2.0", "enableSimpleResponses": True}


def policy(resource: str = "*", effect: str = "Allow", **context: Any) -> bytes:
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return json.dumps({"principalId": "ann", "policyDocument": document, "context": context}).encode()


async def make(world: World, payload: str = "2.0", /, *, sources: Any = (NAME,), **settings: Any) -> None:
    authorizer = {
        "type": "request",
        "authorizerUri": lambda_uri("Check"),
        "authorizerPayloadFormatVersion": "2.0",
        **({"identitySource": list(sources)} if sources else {}),
        **settings,
    }
    scheme = {"type": "apiKey", "name": "Unused", "in": "header", "x-amazon-apigateway-authorizer": authorizer}
    guarded = function(payload, security=[{"L": []}])
    paths = {"/a": {"get": guarded}, "/b/{id}": {"x-amazon-apigateway-any-method": guarded}}
    await world.make_body(paths, components={"securitySchemes": {"L": scheme}})


def calls(world: World, name: str = "Check") -> list[Any]:
    return [event for called, event in world.functions.events if called == name]


async def ask(world: World, path: str = "/a", **headers: str) -> HttpResponse:
    return await world.ask("GET", path, **({"x_user": "ann"} | headers))


def test_a_simple_yes_lets_in_and_its_context_reaches_the_function() -> None:
    """With its types, lists and maps."""

    async def run(world: World) -> None:
        world.functions.replies["Check"] = YES
        await make(world, **SIMPLE)
        assert (await ask(world)).status == 200
        context = {"team": "red", "list": [1, "a"], "map": {"k": True}}
        assert world.event["requestContext"]["authorizer"] == {"lambda": context}

    in_world(run)


def test_format_1_integrations_get_context_and_principal_side_by_side() -> None:
    """As REST APIs hand them on."""

    async def run(world: World) -> None:
        world.functions.replies["Check"] = policy(team="red")
        await make(world, "1.0")
        assert (await ask(world)).status == 200
        expected = {"team": "red", "principalId": "ann", "integrationLatency": 0}
        assert world.event["requestContext"]["authorizer"] == expected

    in_world(run)


def test_the_authorizer_gets_format_2() -> None:
    """The route, its ARN, the values of the identity sources, and the request without its body."""

    async def run(world: World) -> None:
        world.functions.replies["Check"] = YES
        await make(world, sources=(NAME, "$context.routeKey"), **SIMPLE)
        await world.ask("GET", "/b/1", query="q=1", x_user="ann", cookie="c=1")
        (event,) = calls(world)
        assert sorted(event) == [
            "cookies", "headers", "identitySource", "pathParameters", "queryStringParameters", "rawPath",
            "rawQueryString", "requestContext", "routeArn", "routeKey", "type", "version",
        ]  # fmt: skip
        arn = f"arn:aws:execute-api:eu-central-1:123456789012:{world.api_id}"
        expected = ("2.0", "REQUEST", f"{arn}/$default/GET/b/1", ["ann", "ANY /b/{id}"], "ANY /b/{id}")
        assert tuple(event[name] for name in ("version", "type", "routeArn", "identitySource", "routeKey")) == expected
        assert world.functions.asked[0][0] == "Check"
        assert world.functions.asked[0][1].startswith(f"{arn}/authorizers/")

    in_world(run)


def test_without_identity_sources_there_are_no_values() -> None:
    """Null in format 2.0, and the function is asked every time."""

    async def run(world: World) -> None:
        world.functions.replies["Check"] = YES
        await make(world, sources=(), **SIMPLE)
        assert [(await world.ask("GET", "/a")).status for _ in range(2)] == [200, 200]
        assert [event["identitySource"] for event in calls(world)] == [None, None]

    in_world(run)


def test_the_authorizer_gets_format_1() -> None:
    """Identity sources as one text, and the ARN as that of a method."""

    async def run(world: World) -> None:
        world.functions.replies["Check"] = policy()
        await make(world, sources=(NAME, "$request.querystring.q"), authorizerPayloadFormatVersion="1.0")
        await world.ask("GET", "/a", query="q=1", x_user="ann")
        (event,) = calls(world)
        assert (event["version"], event["type"]) == ("1.0", "REQUEST")
        assert event["methodArn"].endswith(f":{world.api_id}/$default/GET/a")
        assert (event["identitySource"], event["authorizationToken"]) == ("ann,1", "ann,1")
        assert {"resource", "path", "httpMethod", "headers", "requestContext"} < event.keys()
        assert not {"body", "isBase64Encoded"} & event.keys()

    in_world(run)


@pytest.mark.parametrize(
    ("reply", "settings", "status"),
    [
        (b'{"isAuthorized": false}', SIMPLE, 403),
        (b'{"isAuthorized": "true"}', SIMPLE, 500),
        (policy(), SIMPLE, 500),
        (YES, {}, 500),
        (policy(), {}, 200),
        (policy(effect="Deny"), {}, 403),
        (policy("arn:aws:execute-api:*:*:*/$default/POST/*"), {}, 403),
        (policy("arn:aws:execute-api:*:*:*/$default/GET/a"), {}, 200),
        (b'{"policyDocument": {"Statement": []}}', {}, 500),
        (b'{"principalId": "ann", "policyDocument": {}}', {}, 500),
        (b'{"isAuthorized": true, "context": 1}', SIMPLE, 500),
        (b"[]", SIMPLE, 500),
        (b"no", SIMPLE, 500),
        (FunctionReply(b'{"errorMessage": "Unauthorized"}', "Unhandled"), {}, 401),
        (FunctionReply(b'{"errorMessage": "other"}', "Unhandled"), {}, 500),
    ],
)
def test_answers_decide_as_documented(reply: Any, settings: dict[str, Any], status: int) -> None:
    """200, 403 for a no, 500 for what is no answer, 401 where the function says `Unauthorized`."""

    async def run(world: World) -> None:
        world.functions.replies["Check"] = reply
        await make(world, **settings)
        answer = await ask(world)
        assert answer.status == status
        assert len(calls(world, "Work")) == (1 if status == 200 else 0)

    in_world(run)


def test_a_missing_identity_source_is_401_without_a_call() -> None:
    """Missing or empty, any of them."""

    async def run(world: World) -> None:
        world.functions.replies["Check"] = YES
        await make(world, sources=(NAME, "$request.querystring.q"), **SIMPLE)
        answers = [await world.ask("GET", "/a"), await ask(world), await world.ask("GET", "/a", query="q=", x_user="a")]
        assert [answer.status for answer in answers] == [401, 401, 401]
        assert answers[0].body == b'{"message":"Unauthorized"}'
        assert calls(world) == []

    in_world(run)


def test_answers_are_kept_by_identity_for_their_time() -> None:
    """For every route that has the authorizer; a kept policy is judged for each request."""

    async def run(world: World) -> None:
        world.functions.replies["Check"] = policy("*/GET/a")
        await make(world, authorizerResultTtlInSeconds=60)
        statuses = [(await ask(world)).status, (await ask(world)).status, (await ask(world, "/b/1")).status]
        assert (statuses, len(calls(world))) == ([200, 200, 403], 1)
        await ask(world, x_user="bob")
        assert len(calls(world)) == 2
        await asyncio.sleep(60)
        await ask(world)
        assert len(calls(world)) == 3

    in_world(run)


@pytest.mark.parametrize(
    ("sources", "settings", "expected"),
    [((NAME,), {}, 1), ((NAME,), {"authorizerResultTtlInSeconds": 0}, 2), ((), {}, 2)],
)
def test_what_is_kept_without_being_asked(sources: Any, settings: dict[str, Any], expected: int) -> None:
    """Five minutes where there are identity sources; nothing where the time is 0."""

    async def run(world: World) -> None:
        world.functions.replies["Check"] = YES
        await make(world, sources=sources, **SIMPLE, **settings)
        await ask(world)
        await asyncio.sleep(299)
        await ask(world)
        assert len(calls(world)) == expected

    in_world(run)


def test_an_authorizer_that_cannot_be_asked_is_500() -> None:
    """Not there, without a permission, or slower than ten seconds."""

    def gone(_: Any) -> Any:
        raise FunctionUnavailableError("gone")

    async def run(world: World) -> None:
        await make(world, **SIMPLE)
        world.functions.replies["Check"] = gone
        statuses = [(await ask(world)).status]
        world.functions.replies["Check"] = lambda _: asyncio.sleep(60)
        before_s = world.clock.time()
        statuses.append((await ask(world)).status)
        assert world.clock.time() - before_s == pytest.approx(10)
        world.functions.permitted = False
        statuses.append((await ask(world)).status)
        assert statuses == [500, 500, 500]

    in_world(run)


def signed(key: str, service: str = "execute-api") -> str:
    return f"AWS4-HMAC-SHA256 Credential={key}/20270115/eu-central-1/{service}/aws4_request, SignedHeaders=host"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (signed("AKIAGOOD"), 200),
        (signed("AKIABAD"), 403),
        (signed("AKIAGOOD", "lambda"), 403),
        ("Bearer x", 403),
        ("", 403),
    ],
)
def test_routes_with_aws_iam_ask_iam(authorization: str, status: int) -> None:
    """For execute-api:Invoke on the route that was asked; unsigned requests are forbidden."""

    async def run(world: World) -> None:
        scheme = {"type": "apiKey", "name": "Authorization", "in": "header"}
        schemes = {"AWS_IAM": scheme | {"x-amazon-apigateway-authtype": "awsSigv4"}}
        paths = {"/a": {"get": function(security=[{"AWS_IAM": []}])}}
        await world.make_body(paths, components={"securitySchemes": schemes})
        answer = await world.ask("GET", "/a", authorization=authorization)
        assert answer.status == status
        if status == 403:
            assert answer.body == b'{"message":"Forbidden"}'
            return
        assert world.access.asked == [
            ("AKIAGOOD", f"arn:aws:execute-api:eu-central-1:123456789012:{world.api_id}/$default/GET/a")
        ]
        assert world.event["requestContext"]["authorizer"] == {
            "iam": {
                "accessKey": "AKIAGOOD",
                "accountId": "123456789012",
                "callerId": "AIDAANN",
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": "arn:aws:iam::123456789012:user/ann",
                "userId": "AIDAANN",
            }
        }

    in_world(run)


def test_the_signer_is_in_identity_in_format_1() -> None:
    """Key, account, user and ARN."""

    async def run(world: World) -> None:
        await world.make_body({"/a": {"get": function("1.0") | {"x-amazon-apigateway-auth": {"type": "AWS_IAM"}}}})
        await world.ask("GET", "/a", authorization=signed("AKIAGOOD"))
        identity = world.event["requestContext"]["identity"]
        found = {name: identity[name] for name in ("accessKey", "accountId", "caller", "user", "userArn")}
        assert found == {
            "accessKey": "AKIAGOOD",
            "accountId": "123456789012",
            "caller": "AIDAANN",
            "user": "AIDAANN",
            "userArn": "arn:aws:iam::123456789012:user/ann",
        }

    in_world(run)
