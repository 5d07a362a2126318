"""Lambda authorizers: identity, policy, cache and failure."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.gateway.policies import Malformed, Verdict, judge, make_context
from localcloud.gateway.ports import FunctionReply, FunctionUnavailableError
from localcloud.gateway.rest import Backends, RestStage
from tests.unit.gateway_setup import FakeFunctions, FakeRoles, Recorder, allow, ask, lambda_uri, make_stage, proxy

OK = b'{"statusCode":200,"body":"ok"}'
ARN = "arn:aws:execute-api:eu-central-1:123456789012:abc123/v1/GET/a"
NOW_S = 1_800_000_000  # 2027-01-15T08:00:00Z
NOW = make_context(now_s=NOW_S, source_ip="203.0.113.7")


def _stage(functions: FakeFunctions, *, scheme: dict[str, Any] | None = None, **more: object) -> RestStage:
    authorizer = {
        "type": "request",
        "authorizerUri": lambda_uri("auth"),
        "identitySource": "method.request.header.Authorization",
        "authorizerResultTtlInSeconds": 60,
        **more,
    }
    schemes = {"a": {"type": "apiKey", "name": "Token", "in": "header", "x-amazon-apigateway-authorizer": authorizer}}
    paths = {
        "/a": {"get": proxy(security=[{"a": []}]), "post": proxy(security=[{"a": []}])},
        "/b/{id}": {"get": proxy(security=[{"a": []}])},
    }
    return make_stage(paths, functions=functions, components={"securitySchemes": schemes | (scheme or {})})


def _functions(reply: Any) -> FakeFunctions:
    return FakeFunctions({"auth": reply, "work": OK})


async def test_what_the_authorizer_says_reaches_the_function() -> None:
    """principalId and context, every value as text, with the latency."""
    functions = _functions(allow("me", number=1, flag=True, text="t", ratio=1.5))
    assert (await ask(_stage(functions), "GET", "/a", Authorization="x")).status == 200
    given = functions.events[-1][1]["requestContext"]["authorizer"]
    assert {**given, "integrationLatency": 0} == {
        "principalId": "me",
        "number": "1",
        "flag": "true",
        "text": "t",
        "ratio": "1.5",
        "integrationLatency": 0,
    }


async def test_a_request_authorizer_sees_the_request() -> None:
    """Its event is the proxy event's front half, with type and methodArn."""
    functions = _functions(allow())
    await ask(_stage(functions), "GET", "/b/7", query="x=1&x=2", Authorization="x")
    event = functions.events[0][1]
    assert event["type"] == "REQUEST"
    assert event["methodArn"] == ARN.replace("GET/a", "GET/b/7")
    assert event["resource"] == "/b/{id}"
    assert event["pathParameters"] == {"id": "7"}
    assert event["queryStringParameters"] == {"x": "2"}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
    assert event["headers"]["Authorization"] == "x"
    assert "body" not in event


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Other": "x"}])
async def test_a_missing_identity_is_401_and_no_call(headers: dict[str, str]) -> None:
    """The function is not asked."""
    functions = _functions(allow())
    response = await ask(_stage(functions), "GET", "/a", **headers)
    assert response.status == 401
    assert json.loads(response.body) == {"message": "Unauthorized"}
    assert response.header("x-amzn-errortype") == "UnauthorizedException"
    assert functions.events == []


async def test_every_identity_source_must_be_there() -> None:
    """Header, query string, stage variable and context count alike."""
    sources = "method.request.header.A, method.request.querystring.q, context.httpMethod"
    functions = _functions(allow())
    stage = _stage(functions, identitySource=sources)
    assert (await ask(stage, "GET", "/a", A="x")).status == 401
    assert (await ask(stage, "GET", "/a", query="q=1", A="x")).status == 200


def test_a_grant_is_kept_for_its_time_by_identity() -> None:
    """Same identity within the TTL: one call. Another identity, or later: another."""

    async def main() -> list[int]:
        functions = _functions(allow())
        api = _stage(functions)
        stage = make_stage_with_clock(api, functions)
        counts: list[int] = []
        for wait_s, token in ((0, "x"), (59, "x"), (0, "y"), (2, "x"), (0, "x")):
            await asyncio.sleep(wait_s)
            assert (await ask(stage, "GET", "/a", Authorization=token)).status == 200
            counts.append(sum(name == "auth" for name, _ in functions.events))
        return counts

    assert run_virtual(main) == [1, 1, 2, 3, 3]


def make_stage_with_clock(stage: RestStage, functions: FakeFunctions) -> RestStage:
    """The same stage on the running loop's clock."""
    backends = Backends(functions, Recorder(), FakeRoles())
    clock = LoopClock(asyncio.get_running_loop())
    return RestStage(stage.api, stage.stage, backends=backends, clock=clock, random=random.Random(1))


async def test_a_kept_policy_is_judged_against_each_method() -> None:
    """A policy for one method does not open another one, as long as it is kept."""
    functions = _functions(allow(resource=ARN))
    stage = _stage(functions)
    assert (await ask(stage, "GET", "/a", Authorization="x")).status == 200
    response = await ask(stage, "POST", "/a", Authorization="x")
    assert response.status == 403
    assert json.loads(response.body) == {"Message": "User is not authorized to access this resource"}
    assert response.header("x-amzn-errortype") == "AccessDeniedException"


async def test_without_a_ttl_nothing_is_kept() -> None:
    """authorizerResultTtlInSeconds 0."""
    functions = _functions(allow())
    stage = _stage(functions, authorizerResultTtlInSeconds=0)
    for _ in range(2):
        await ask(stage, "GET", "/a", Authorization="x")
    assert sum(name == "auth" for name, _ in functions.events) == 2


async def test_refusals_are_kept_as_grants_are() -> None:
    """A Deny is an answer like another."""
    policy = {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    functions = _functions(json.dumps({"principalId": "x", "policyDocument": policy}).encode())
    stage = _stage(functions)
    for _ in range(2):
        response = await ask(stage, "GET", "/a", Authorization="x")
        words = "User is not authorized to access this resource with an explicit deny"
        assert (response.status, json.loads(response.body)) == (403, {"Message": words})
    assert len(functions.events) == 1


async def test_a_function_that_says_unauthorized_is_401() -> None:
    """The one error message with a meaning of its own."""
    reply = FunctionReply(b'{"errorMessage":"Unauthorized","errorType":"Exception"}', "Unhandled")
    assert (await ask(_stage(_functions(reply)), "GET", "/a", Authorization="x")).status == 401


@pytest.mark.parametrize(
    "reply",
    [
        b"null",
        b"[]",
        b"no json",
        b"{}",
        b'{"principalId":""}',
        b'{"principalId":"x"}',
        b'{"principalId":"x","policyDocument":"{}"}',
        b'{"principalId":"x","policyDocument":{}}',
        b'{"principalId":"x","policyDocument":{"Statement":[{"Effect":"Maybe","Action":"*","Resource":"*"}]}}',
        b'{"principalId":"x","policyDocument":{"Statement":[{"Effect":"Allow","Resource":"*"}]}}',
        allow(nested={"a": 1}),
        allow(listed=[1]),
        b'{"principalId":"x","context":[],"policyDocument":{"Statement":[]}}',
    ],
)
async def test_an_answer_that_is_no_grant_is_a_configuration_error(reply: bytes) -> None:
    """AUTHORIZER_CONFIGURATION_ERROR, 500, and the caller does not pass."""
    functions = _functions(reply)
    response = await ask(_stage(functions), "GET", "/a", Authorization="x")
    assert response.status == 500
    assert response.header("x-amzn-errortype") == "AuthorizerConfigurationException"
    assert [name for name, _ in functions.events] == ["auth"]


async def test_a_function_that_fails_is_an_authorizer_failure() -> None:
    """AUTHORIZER_FAILURE, customised or 500."""
    reply = FunctionReply(b'{"errorMessage":"boom"}', "Unhandled")
    assert (await ask(_stage(_functions(reply)), "GET", "/a", Authorization="x")).status == 500


async def test_a_function_that_is_not_there_is_an_authorizer_failure() -> None:
    """So is one that is throttled."""

    def away(_: Any) -> bytes:
        raise FunctionUnavailableError("throttled")

    assert (await ask(_stage(_functions(away)), "GET", "/a", Authorization="x")).status == 500


async def test_a_failure_is_not_kept() -> None:
    """The next request asks again."""
    replies = iter([FunctionReply(b"{}", "Unhandled"), FunctionReply(allow())])
    stage = _stage(_functions(lambda _: next(replies)))
    statuses = [(await ask(stage, "GET", "/a", Authorization="x")).status for _ in range(2)]
    assert statuses == [500, 200]


async def test_a_function_must_permit_the_gateway() -> None:
    """The authorizer's own source ARN is what its permission is asked for."""
    functions = _functions(allow())
    functions.permitted = False
    assert (await ask(_stage(functions), "GET", "/a", Authorization="x")).status == 500
    ((name, source),) = functions.asked
    assert name == "auth"
    assert source.startswith("arn:aws:execute-api:eu-central-1:123456789012:abc123/authorizers/")
    assert functions.events == []


async def test_a_token_authorizer_sees_the_token_only() -> None:
    """type TOKEN, the header the scheme names, and an expression that must fit."""
    functions = _functions(allow())
    stage = _stage(
        functions,
        type="token",
        identitySource="method.request.header.Token",
        identityValidationExpression="Bearer .+",
    )
    assert (await ask(stage, "GET", "/a", Token="nope")).status == 401
    assert functions.events == []
    assert (await ask(stage, "GET", "/a", Token="Bearer x")).status == 200
    assert functions.events[0][1] == {"type": "TOKEN", "authorizationToken": "Bearer x", "methodArn": ARN}


def test_a_slow_authorizer_is_a_failure_after_29_seconds() -> None:
    """It is cut, and the request refused."""

    async def main() -> tuple[int, float]:
        async def slow(_: Any) -> bytes:
            await asyncio.sleep(60)
            return allow()

        loop = asyncio.get_running_loop()
        stage = _stage(_functions(slow))
        began = loop.time()
        return (await ask(stage, "GET", "/a", Authorization="x")).status, loop.time() - began

    assert run_virtual(main) == (500, pytest.approx(29.0))


POLICIES = [
    ([("Allow", "execute-api:Invoke", "*")], Verdict.ALLOWED),
    ([("Allow", "*", "*")], Verdict.ALLOWED),
    ([("Allow", "EXECUTE-API:invoke", ARN)], Verdict.ALLOWED),
    ([("Allow", "execute-api:*", ARN)], Verdict.ALLOWED),
    ([("Allow", "execute-api:Inv?ke", ARN)], Verdict.ALLOWED),
    ([("Allow", ["s3:GetObject", "execute-api:Invoke"], ["x", ARN])], Verdict.ALLOWED),
    ([("Allow", "s3:*", "*")], Verdict.NOT_ALLOWED),
    ([("Allow", "execute-api:Invoke", ARN.upper())], Verdict.NOT_ALLOWED),
    ([("Allow", "execute-api:Invoke", "arn:aws:execute-api:*:*:abc123/v1/*/a")], Verdict.ALLOWED),
    ([("Allow", "execute-api:Invoke", "arn:aws:execute-api:*:*:abc123/v2/*")], Verdict.NOT_ALLOWED),
    ([("Allow", "execute-api:Invoke", "*/GET/?")], Verdict.ALLOWED),
    ([("Allow", "execute-api:Invoke", "*/GET/a.")], Verdict.NOT_ALLOWED),
    ([("Allow", "*", "*"), ("Deny", "*", ARN)], Verdict.DENIED),
    ([("Deny", "*", ARN), ("Allow", "*", "*")], Verdict.DENIED),
    ([("Deny", "*", "other"), ("Allow", "*", "*")], Verdict.ALLOWED),
    ([("Deny", "*", "other")], Verdict.NOT_ALLOWED),
    ([], Verdict.NOT_ALLOWED),
]


@pytest.mark.parametrize(("statements", "expected"), POLICIES)
def test_a_policy_is_judged_as_iam_judges(statements: list[tuple[str, Any, Any]], expected: Verdict) -> None:
    """Deny wins, wildcards match, actions ignore case, resources do not."""
    parts = [{"Effect": effect, "Action": action, "Resource": resource} for effect, action, resource in statements]
    assert judge({"Version": "2012-10-17", "Statement": parts}, ARN, NOW) is expected


def test_a_lone_statement_and_the_negative_forms() -> None:
    """Statement may be one object; NotAction and NotResource exclude."""
    assert (
        judge({"Statement": {"Effect": "Allow", "NotAction": "s3:*", "NotResource": "x"}}, ARN, NOW) is Verdict.ALLOWED
    )
    assert judge({"Statement": {"Effect": "Allow", "Action": "*", "NotResource": ARN}}, ARN, NOW) is Verdict.NOT_ALLOWED


DATES = [
    ({"DateLessThan": {"aws:CurrentTime": "2027-01-15T08:00:01Z"}}, True),
    ({"DateLessThan": {"aws:CurrentTime": "2027-01-15T08:00:00Z"}}, False),
    ({"DateLessThan": {"AWS:currenttime": ["2027-01-15T07:00:00Z", "2027-01-15T09:00:00+00:00"]}}, True),
    ({"DateGreaterThan": {"aws:CurrentTime": "2027-01-15T08:00:01Z"}}, False),
    ({"DateLessThan": {"aws:CurrentTime": "not a date"}}, False),
    ({"DateLessThan": {"aws:EpochTime": str(NOW_S + 1)}}, True),
    ({"NumericLessThanEquals": {"aws:EpochTime": str(NOW_S)}}, True),
    ({"NumericLessThan": {"aws:EpochTime": str(NOW_S)}}, False),
    ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, True),
    ({"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, False),
    ({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}, "DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
    ({"Null": {"aws:SourceIp": "false"}}, True),
    ({}, True),
]


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
@pytest.mark.parametrize(("condition", "holds"), DATES)
def test_a_condition_decides_whether_its_statement_counts(condition: Any, holds: bool, effect: str) -> None:
    """All lines of it must hold; a value of several is enough, and keys have no case."""
    statement = {"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition}
    verdict = judge({"Version": "2012-10-17", "Statement": [statement]}, ARN, NOW)
    assert verdict is ({"Allow": Verdict.ALLOWED, "Deny": Verdict.DENIED}[effect] if holds else Verdict.NOT_ALLOWED)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, "aws:PrincipalOrgID, which is not served"),
        ({"DateSooner": {"aws:CurrentTime": "2027-01-15T08:00:01Z"}}, "DateSooner is not known"),
        ({"DateLessThan": "aws:CurrentTime"}, "DateLessThan is not an object"),
        ([], "Condition is not an object"),
        ({"DateLessThan": {"aws:CurrentTime": [1]}}, "not a string"),
        ({"IpAddress": {"aws:SourceIp": "192.0.2.1"}, "Bool": {"aws:Unknown": "true"}}, "aws:Unknown"),
    ],
)
def test_a_condition_that_cannot_be_judged_is_refused_rather_than_left_out(condition: Any, message: str) -> None:
    """Ignoring it would let people pass whom AWS would not."""
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    with pytest.raises(Malformed, match=message):
        judge({"Statement": [statement]}, ARN, NOW)


def test_a_kept_policy_ends_with_its_date() -> None:
    """Within the cache's time and beyond the date: 403 without another call; the cache's end asks anew."""

    async def main() -> list[tuple[int, int]]:
        until = LoopClock(asyncio.get_running_loop()).time() + 20
        condition = {"DateLessThan": {"aws:EpochTime": str(int(until))}}
        statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
        functions = _functions(json.dumps({"principalId": "x", "policyDocument": {"Statement": [statement]}}).encode())
        stage = make_stage_with_clock(_stage(functions), functions)
        seen: list[tuple[int, int]] = []
        for wait_s in (0, 19, 1, 39, 1):
            await asyncio.sleep(wait_s)
            status = (await ask(stage, "GET", "/a", Authorization="x")).status
            seen.append((status, sum(name == "auth" for name, _ in functions.events)))
        return seen

    assert run_virtual(main) == [(200, 1), (200, 1), (403, 1), (403, 1), (403, 2)]
