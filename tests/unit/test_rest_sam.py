"""What SAM writes of `AWS::Serverless::Api` is read whole: its authorizers, keys, models, policy and settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcloud.gateway.definition import Method
from localcloud.template.handler import Physical, Resource
from localcloud.template.intrinsics import resolve
from localcloud.template.source import read_template
from localcloud.template.stack import Settled, prepare_stack, stack_context
from tests.unit.gateway_setup import FUNCTION, REGION
from tests.unit.rest_setup import Rest

POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_x"
ROLE = "arn:aws:iam::123456789012:role/x"
TEMPLATE = f"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: dev
      Cors: "'*'"
      BinaryMediaTypes: [image~1png]
      MinimumCompressionSize: 1024
      ApiKeySourceType: AUTHORIZER
      Models:
        User: {{type: object, required: [name], properties: {{name: {{type: string}}}}}}
      GatewayResponses:
        UNAUTHORIZED: {{StatusCode: 401, ResponseParameters: {{Headers: {{X-A: "'b'"}}}}}}
      Auth:
        DefaultAuthorizer: Pool
        AddDefaultAuthorizerToCorsPreflight: false
        AddApiKeyRequiredToCorsPreflight: false
        ApiKeyRequired: true
        UsagePlan: {{CreateUsagePlan: PER_API, Quota: {{Limit: 10, Period: WEEK}}}}
        ResourcePolicy: {{IpRangeBlacklist: [192.0.2.0/24]}}
        Authorizers:
          Pool: {{UserPoolArn: "{POOL}", AuthorizationScopes: [a/b]}}
          Fn:
            FunctionArn: !GetAtt F.Arn
            FunctionInvokeRole: {ROLE}
            Identity: {{Header: X, ValidationExpression: "a.*", ReauthorizeEvery: 20}}
          Req:
            FunctionArn: !GetAtt F.Arn
            FunctionPayloadType: REQUEST
            Identity:
              {{Headers: [A], QueryStrings: [q], StageVariables: [s], Context: [httpMethod], ReauthorizeEvery: 0}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: i.h
      InlineCode: x
      Events:
        Pool: {{Type: Api, Properties: {{Path: /pool, Method: get, RestApiId: !Ref Api}}}}
        Open:
          Type: Api
          Properties:
            Path: /open
            Method: post
            RestApiId: !Ref Api
            Auth: {{Authorizer: NONE, ApiKeyRequired: false}}
            RequestModel: {{Model: User, Required: true, ValidateBody: true, ValidateParameters: true}}
            RequestParameters: [method.request.header.H: {{Required: true}}]
        Iam: {{Type: Api, Properties: {{Path: /iam, Method: any, RestApiId: !Ref Api, Auth: {{Authorizer: AWS_IAM}}}}}}
        Fn: {{Type: Api, Properties: {{Path: /fn, Method: put, RestApiId: !Ref Api, Auth: {{Authorizer: Fn}}}}}}
        Req:
          Type: Api
          Properties:
            Path: "/req/{{proxy+}}"
            Method: any
            RestApiId: !Ref Api
            Auth: {{Authorizer: Req, ApiKeyRequired: false}}
"""


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The properties of every resource of API Gateway, by type."""
    folder: Path = tmp_path_factory.mktemp("sam")
    (folder / "template.yaml").write_text(TEMPLATE)
    context = stack_context(folder, region=REGION)
    graph = prepare_stack(read_template(folder / "template.yaml"), context, Settled()).graph
    physical = {
        node.logical_id: Physical(node.logical_id, {"Arn": f"{FUNCTION}{node.logical_id}"})
        for node in graph.nodes.values()
    }
    scope = replace(graph.scope, physical=physical)
    return {
        node.type: resolve(dict(node.properties), scope, node.logical_id)
        for node in graph.nodes.values()
        if node.type.startswith("AWS::ApiGateway::")
    }


async def _read(translated: dict[str, dict[str, Any]]) -> Any:
    rest = Rest()
    context = stack_context(Path(), region=REGION)
    kind = "AWS::ApiGateway::RestApi"
    made = await rest.handlers[kind].create(Resource("Api", kind, translated[kind], context))
    apis: Any = rest.handlers[kind]
    return apis._apis.get(made.ref).api


async def test_the_api_itself(translated: dict[str, dict[str, Any]]) -> None:
    """Settings, gateway responses and the policy."""
    api = await _read(translated)
    assert (api.key_source, api.compression_bytes, api.binary_types) == ("AUTHORIZER", 1024, {"image/png"})
    assert api.gateway_responses["UNAUTHORIZED"].parameters == {"gatewayresponse.header.X-A": "'b'"}
    assert {statement.allow for statement in api.policy.statements} == {True, False}


WANTED = [
    ("/pool", "GET", "Pool", True, False, {"a/b"}),
    ("/open", "POST", "", False, False, set()),
    ("/iam", "ANY", "", True, True, set()),
    ("/fn", "PUT", "Fn", True, False, set()),
    ("/req/{proxy+}", "ANY", "Req", False, False, set()),
    ("/pool", "OPTIONS", "", False, False, set()),
]


@pytest.mark.parametrize(("path", "verb", "authorizer", "key", "signed", "scopes"), WANTED)
async def test_what_a_method_asks_for(
    translated: dict[str, dict[str, Any]],
    path: str,
    verb: str,
    authorizer: str,
    key: bool,
    signed: bool,
    scopes: set[str],
) -> None:
    """Its authorizer, key, signature and scopes."""
    method: Method = (await _read(translated)).methods[path][verb]
    found = method.authorizer.name if method.authorizer is not None else ""
    assert (found, method.needs_key, method.is_signed, set(method.scopes)) == (authorizer, key, signed, scopes)


async def test_the_authorizers(translated: dict[str, dict[str, Any]]) -> None:
    """Pools, identity sources, roles and how long an answer is kept."""
    methods = (await _read(translated)).methods
    pool, fn, req = (
        methods[path][verb].authorizer for path, verb in (("/pool", "GET"), ("/fn", "PUT"), ("/req/{proxy+}", "ANY"))
    )
    assert (pool.kind, pool.pools, pool.identity_sources) == (
        "cognito",
        (POOL,),
        ("method.request.header.Authorization",),
    )
    assert (fn.kind, fn.role, fn.ttl_s, fn.identity_sources) == ("token", ROLE, 20, ("method.request.header.X",))
    assert fn.validation.pattern == "a.*"
    sources = ("method.request.header.A", "method.request.querystring.q", "stageVariables.s", "context.httpMethod")
    assert (req.kind, req.ttl_s, req.identity_sources) == ("request", 0, sources)


async def test_models_parameters_and_callers(translated: dict[str, dict[str, Any]]) -> None:
    """Validated bodies and parameters; AWS_IAM invokes as its caller."""
    methods = (await _read(translated)).methods
    posted = methods["/open"]["POST"]
    assert (posted.validates_body, posted.validates_parameters) == (True, True)
    assert posted.required == ("method.request.header.H",)
    assert "application/json" in posted.models
    assert methods["/iam"]["ANY"].integration.credentials == "arn:aws:iam::*:user/*"


async def test_the_key_and_its_plan(translated: dict[str, dict[str, Any]]) -> None:
    """Enabled, with the plan's quota, and no property that is not served."""
    rest = Rest()
    assert translated["AWS::ApiGateway::ApiKey"]["Enabled"] is True
    assert translated["AWS::ApiGateway::UsagePlan"]["Quota"] == {"Limit": 10, "Period": "WEEK"}
    for kind in ("ApiKey", "UsagePlan", "UsagePlanKey"):
        known = {name.partition(".")[0] for name in rest.handlers[f"AWS::ApiGateway::{kind}"].properties}
        assert set(translated[f"AWS::ApiGateway::{kind}"]) <= known
