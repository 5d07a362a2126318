"""Who may invoke a method of a REST API: its resource policy, IAM for signed requests, and both with authorizers."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from localcloud.gateway.backends import MethodPolicies
from localcloud.services.iam.calls import CallRecord
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import parse_document
from localcloud.template.errors import TemplateError
from tests.unit.gateway_setup import ACCOUNT, REGION, allow, lambda_uri
from tests.unit.rest_setup import Rest

PROXY = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": lambda_uri("work")}


def _statement(
    effect: str = "Allow", resource: str = "execute-api:/*", principal: Any = "*", **more: Any
) -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": "execute-api:Invoke", "Resource": resource, **more}


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _only(*networks: str) -> dict[str, Any]:
    return {"Condition": {"IpAddress": {"aws:SourceIp": list(networks)}}}


async def _api(policy: Any = None, *, access: Any = None, **method: Any) -> Rest:
    """`GET /a` of an API with this policy; a second one leads to `/b`."""
    rest = Rest(access=access)
    await rest.make("RestApi", "Api", Name="n", **({"Policy": policy} if policy is not None else {}))
    for part in ("a", "b"):
        await rest.method(await rest.resource(part), Integration=PROXY, **method)
    await rest.deploy()
    rest.functions.replies["work"] = b'{"statusCode":200}'
    return rest


def _refusal(rest: Rest, path: str, *, who: str = "anonymous", explicit: bool = False) -> bytes:
    arn = f"arn:aws:execute-api:{REGION}:********9012:{rest.api}/v1/GET/{path}"
    words = f"User: {who} is not authorized to perform: execute-api:Invoke on resource: {arn}"
    return json.dumps({"Message": words + " with an explicit deny" * explicit}, separators=(",", ":")).encode()


POLICIES: list[tuple[dict[str, Any], int, int]] = [
    (_policy(_statement()), 200, 200),
    (_policy(_statement(principal={"AWS": "*"})), 200, 200),
    (_policy(_statement(resource="execute-api:/v1/GET/a")), 200, 403),
    (_policy(_statement(resource="*/v1/*/b")), 403, 200),
    (_policy(_statement(**_only("127.0.0.0/8"))), 200, 200),
    (_policy(_statement(**_only("192.0.2.0/24"))), 403, 403),
    (_policy(_statement(principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})), 403, 403),
    (_policy(_statement("Deny", "execute-api:/*/GET/b"), _statement()), 200, 403),
    (
        _policy(_statement(), _statement("Deny", Condition={"NotIpAddress": {"aws:SourceIp": "127.0.0.1"}})),
        200,
        200,
    ),
    (_policy(_statement(), _statement("Deny", Condition={"StringNotEquals": {"aws:SourceVpc": "v"}})), 403, 403),
]


@pytest.mark.parametrize(("policy", "first", "second"), POLICIES)
async def test_a_policy_alone_must_allow(policy: dict[str, Any], first: int, second: int) -> None:
    """By resource, principal and condition, written short or whole; a Deny goes before every Allow."""
    rest = await _api(policy)
    assert [(await rest.ask("GET", path)).status for path in ("/a", "/b")] == [first, second]


async def test_the_refusal_is_awss_sentence() -> None:
    """Without an Allow, and with a Deny; the account is masked."""
    rest = await _api(_policy(_statement("Deny", "execute-api:/v1/GET/b"), _statement(resource="execute-api:/v2/*")))
    answers = [await rest.ask("GET", path) for path in ("/a", "/b")]
    assert [answer.body for answer in answers] == [_refusal(rest, "a"), _refusal(rest, "b", explicit=True)]
    assert answers[0].header("x-amzn-errortype") == "AccessDeniedException"


async def test_a_policy_that_cannot_be_read_is_refused_at_start() -> None:
    """As CreateRestApi refuses it."""
    with pytest.raises(TemplateError, match="Principal") as caught:
        await _api({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    assert caught.value.where == "Api.Properties.Policy"


async def test_a_policy_may_stand_in_the_body() -> None:
    """`x-amazon-apigateway-policy`, as SAM writes it."""
    rest = Rest()
    mock = {"type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
    operation = {"x-amazon-apigateway-integration": {**mock, "responses": {"default": {"statusCode": "200"}}}}
    policy = _policy(_statement(resource=["execute-api:/v1/GET/a"]))
    paths = {"/a": {"get": operation}, "/b": {"get": operation}}
    body = {"swagger": "2.0", "info": {"title": "t"}, "paths": paths, "x-amazon-apigateway-policy": policy}
    await rest.make("RestApi", "Api", Body=body)
    await rest.deploy()
    assert [(await rest.ask("GET", path)).status for path in ("/a", "/b")] == [200, 403]


# ---- IAM


async def _signed(
    *, identity: dict[str, Any] | None, policy: Any = None, resource: str = "*"
) -> tuple[Rest, dict[str, str], CallRecord]:
    """An API with AWS_IAM, headers that a role signed, and the record of calls."""
    iam, record = Iam(random.Random(1)), CallRecord()
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role("caller", parse_document(_policy(trust), resource_policy=True))
    if identity is not None:
        iam.put_inline("caller", parse_document(_policy({**identity, "Resource": resource}), name="own"))
    credentials = iam.issue_credentials(role.arn, function_name="fn")
    rest = await _api(policy, access=MethodPolicies(iam, record), AuthorizationType="AWS_IAM")
    return rest, _sign(credentials.access_key), record


def _sign(access_key: str, service: str = "execute-api") -> dict[str, str]:
    scope = f"{access_key}/20270101/{REGION}/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}


INVOKE = {"Effect": "Allow", "Action": "execute-api:Invoke"}
DENY = {"Effect": "Deny", "Action": "execute-api:Invoke"}
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/caller"
# the identity's policy, the resource's, and whether the call passes: table A of the documentation
TABLE: list[tuple[dict[str, Any] | None, Any, bool]] = [
    (INVOKE, None, True),
    (None, None, False),
    (INVOKE, _policy(_statement(**_only("192.0.2.0/24"))), True),
    (INVOKE, _policy(_statement("Deny")), False),
    (None, _policy(_statement(principal={"AWS": ROLE_ARN})), True),
    (None, _policy(_statement(principal={"AWS": ROLE_ARN}, **_only("192.0.2.0/24"))), False),
    (DENY, _policy(_statement()), False),
]


@pytest.mark.parametrize(("identity", "policy", "passes"), TABLE)
async def test_either_policy_may_allow_a_signed_request(
    identity: dict[str, Any] | None, policy: Any, *, passes: bool
) -> None:
    """In one account; a Deny of either denies."""
    rest, signed, record = await _signed(identity=identity, policy=policy)
    answer = await rest.ask("GET", "/a", **signed)
    assert answer.status == (200 if passes else 403)
    (call,) = record
    assert (call.action, call.allowed, call.role_arn) == ("execute-api:Invoke", passes, ROLE_ARN)
    assert call.resource == f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{rest.api}/v1/GET/a"


async def test_who_signed_is_in_the_event() -> None:
    """Key, account, ARN and id of the session."""
    rest, signed, _ = await _signed(identity=INVOKE)
    await rest.ask("GET", "/a", **signed)
    identity = rest.functions.events[0][1]["requestContext"]["identity"]
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/caller/fn"
    assert (identity["accountId"], identity["userArn"]) == (ACCOUNT, session)
    assert identity["accessKey"]
    assert identity["caller"] == identity["user"] == f"{identity['accessKey']}:fn"


async def test_a_refused_caller_is_named() -> None:
    """By the ARN of the session; its policy covers another resource only."""
    rest, signed, _ = await _signed(identity=INVOKE, resource="arn:aws:execute-api:*:*:*/v1/GET/b")
    answer = await rest.ask("GET", "/a", **signed)
    assert answer.body == _refusal(rest, "a", who=f"arn:aws:sts::{ACCOUNT}:assumed-role/caller/fn")
    assert (await rest.ask("GET", "/b", **signed)).status == 200


async def test_a_signature_must_be_there_and_for_this_service() -> None:
    """403 with API Gateway's words."""
    rest, signed, _ = await _signed(identity=INVOKE)
    missing = await rest.ask("GET", "/a")
    assert (missing.status, missing.body) == (403, b'{"message":"Missing Authentication Token"}')
    wrong = await rest.ask("GET", "/a", **_sign("AKIDANY", "lambda"))
    assert wrong.header("x-amzn-errortype") == "InvalidSignatureException"
    assert json.loads(wrong.body)["message"] == "Credential should be scoped to correct service: 'execute-api'. "
    assert (await rest.ask("GET", "/a", **signed)).status == 200


# ---- with authorizers


async def _authorized(policy: Any) -> Rest:
    """An API with a Lambda authorizer that is asked each time, and this policy."""
    rest = Rest()
    await rest.make("RestApi", "Api", Name="n", Policy=policy)
    authorizer = await rest.make(
        "Authorizer",
        Name="f",
        Type="TOKEN",
        AuthorizerUri=lambda_uri("auth"),
        IdentitySource="method.request.header.Auth",
        AuthorizerResultTtlInSeconds=0,
    )
    resource = await rest.resource("a")
    await rest.method(resource, Integration=PROXY, AuthorizationType="CUSTOM", AuthorizerId=authorizer)
    await rest.deploy()
    rest.functions.replies["work"] = b'{"statusCode":200}'
    return rest


NOWHERE = _policy(_statement(**_only("192.0.2.0/24")))
WITH_LAMBDA: list[tuple[dict[str, Any], str, int, int]] = [
    (NOWHERE, "*", 200, 1),  # the authorizer's Allow is enough
    (NOWHERE, "arn:aws:execute-api:*:*:other/*", 403, 1),
    (_policy(_statement()), "arn:aws:execute-api:*:*:other/*", 200, 1),  # and so is the policy's
    (_policy(_statement("Deny")), "*", 403, 0),  # a Deny comes before the authorizer is asked
]


@pytest.mark.parametrize(("policy", "resource", "status", "asked"), WITH_LAMBDA)
async def test_a_lambda_authorizer_and_a_policy(policy: dict[str, Any], resource: str, status: int, asked: int) -> None:
    """Either may allow, a Deny denies, before the function is invoked."""
    rest = await _authorized(policy)
    rest.functions.replies["auth"] = allow(resource=resource)
    assert (await rest.ask("GET", "/a", Auth="t")).status == status
    assert [name for name, _ in rest.functions.events].count("auth") == asked
