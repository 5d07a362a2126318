"""Reading OpenAPI bodies: what is served, and what is refused with its path."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.openapi import read_api
from localcloud.gateway.resources import gateway_handlers
from localcloud.gateway.routing import Resources
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, Support
from localcloud.template.stack import stack_context
from tests.unit.gateway_setup import (
    ACCOUNT,
    REGION,
    ask,
    deploy_jobs_api,
    lambda_uri,
    make_stage,
    mock,
    proxy,
    sqs,
)

CONTEXT = stack_context(Path(), region=REGION)


def _body(operation: dict[str, Any] | None = None, **root: Any) -> dict[str, Any]:
    return {
        "openapi": "3.0.1",
        "info": {"title": "t", "version": "1"},
        "paths": {"/a": {"get": operation or proxy()}},
        **root,
    }


def _integration(**changes: Any) -> dict[str, Any]:
    return _body(sqs(**changes))


def _authorizer(**changes: Any) -> dict[str, Any]:
    part = {"type": "request", "authorizerUri": lambda_uri("a"), "identitySource": "method.request.header.A", **changes}
    scheme = {"type": "apiKey", "name": "Unused", "in": "header", "x-amazon-apigateway-authorizer": part}
    return _body(proxy(security=[{"s": []}]), components={"securitySchemes": {"s": scheme}})


SCHEME = "components.securitySchemes.s.x-amazon-apigateway-authorizer"
RESPONSES = "x-amazon-apigateway-gateway-responses"
VALIDATOR = "x-amazon-apigateway-request-validator"
PLACE = "gatewayresponse.path.x"
COMPRESSION = "x-amazon-apigateway-minimum-compression-size"
AUTH = "x-amazon-apigateway-auth"
AT = "paths./a.get.x-amazon-apigateway-integration"
REFUSED = [
    (_body(openapi="3.1.0"), "openapi"),
    (_body(**{"x-amazon-apigateway-policy": {"Statement": {}}}), "x-amazon-apigateway-policy"),
    (_body(**{"x-amazon-apigateway-api-key-source": "QUERY"}), "x-amazon-apigateway-api-key-source"),
    (_body(**{COMPRESSION: 10_485_761}), COMPRESSION),
    (_body(**{"x-amazon-apigateway-endpoint-configuration": {}}), "x-amazon-apigateway-endpoint-configuration"),
    (_body({"responses": {}}), "paths./a.get"),
    (_body(proxy(**{AUTH: {"type": "OTHER"}})), f"paths./a.get.{AUTH}.type"),
    (_body(proxy(security=[{"none": []}])), "paths./a.get.security"),
    (_body(proxy(security=[{"a": []}, {"b": []}])), "paths./a.get.security"),
    (_body(proxy(**{VALIDATOR: "none"})), "paths./a.get." + VALIDATOR),
    (_body(proxy(parameters=[{"in": "cookie", "name": "c", "required": True}])), "paths./a.get.parameters"),
    (_body(proxy(parameters=[{"$ref": "#/components/parameters/none"}])), "paths./a.get.parameters"),
    (_integration(type="vpc"), AT + ".type"),
    (_integration(type="http"), AT + ".uri"),
    (_integration(type="http_proxy", uri="ftp://example.com"), AT + ".uri"),
    (_integration(type="http", uri="https://example.com"), AT + ".credentials"),
    (_integration(uri="arn:aws:apigateway:eu-central-1:rekognition:action/DetectFaces"), AT + ".uri"),
    (_integration(uri="https://example.com"), AT + ".uri"),
    (_integration(credentials=""), AT + ".credentials"),
    (_integration(httpMethod=""), AT + ".httpMethod"),
    (_integration(timeoutInMillis=29_001), AT + ".timeoutInMillis"),
    (_integration(timeoutInMillis=49), AT + ".timeoutInMillis"),
    (_integration(timeoutInMillis="x"), AT + ".timeoutInMillis"),
    (_integration(connectionType="VPC_LINK"), AT + ".connectionType"),
    (_integration(contentHandling="CONVERT"), AT + ".contentHandling"),
    (_integration(tlsConfig={"insecureSkipVerification": True}), AT + ".tlsConfig"),
    (_integration(passthroughBehavior="sometimes"), AT + ".passthroughBehavior"),
    (_integration(responseTransferMode="STREAM"), AT + ".responseTransferMode"),
    (_integration(requestTemplates={"application/json": "#if("}), AT + ".requestTemplates.application/json"),
    (
        _integration(requestParameters={"integration.request.body": "'x'"}),
        AT + ".requestParameters.integration.request.body",
    ),
    (
        _integration(requestParameters={"integration.request.header.A": "method.request.cookie.x"}),
        AT + ".requestParameters.integration.request.header.A",
    ),
    (_integration(responses={"(": {"statusCode": "200"}}), AT + ".responses.("),
    (_integration(responses={"default": {"statusCode": "2000"}}), AT + ".responses.default.statusCode"),
    (_integration(responses={"default": {"statusCode": "100"}}), AT + ".responses.default.statusCode"),
    (_integration(responses={"default": {}}), AT + ".responses.default.statusCode"),
    (
        _integration(responses={"default": {"statusCode": "200", "contentHandling": "CONVERT"}}),
        AT + ".responses.default.contentHandling",
    ),
    (
        _integration(responses={"default": {"statusCode": "200", "responseTemplates": {"application/json": "#end"}}}),
        AT + ".responses.default.responseTemplates.application/json",
    ),
    (_authorizer(type="jwt"), SCHEME + ".type"),
    (_authorizer(type="cognito_user_pools"), SCHEME + ".providerARNs"),
    (_authorizer(type="cognito_user_pools", providerARNs=["arn:aws:iam::1:role/x"]), SCHEME + ".providerARNs"),
    (_authorizer(providerARNs=["x"]), SCHEME + ".providerARNs"),
    (_authorizer(identitySource="method.request.body"), SCHEME + ".identitySource"),
    (_authorizer(identitySource=""), SCHEME + ".identitySource"),
    (
        _authorizer(authorizerResultTtlInSeconds=3601),
        SCHEME + ".authorizerResultTtlInSeconds",
    ),
    (_body(**{RESPONSES: {"NOSUCH": {}}}), RESPONSES + ".NOSUCH"),
    (_body(**{RESPONSES: {"THROTTLED": {"statusCode": 100}}}), RESPONSES + ".THROTTLED.statusCode"),
    (_body(**{RESPONSES: {"THROTTLED": {"statusCode": "99999"}}}), RESPONSES + ".THROTTLED.statusCode"),
    (
        _body(**{RESPONSES: {"THROTTLED": {"responseParameters": {PLACE: "'y'"}}}}),
        f"{RESPONSES}.THROTTLED.responseParameters.{PLACE}",
    ),
    (
        _body(proxy(requestBody={"content": {"application/json": {"schema": {"type": "strnig"}}}})),
        "paths./a.get.requestBody.content.application/json.schema",
    ),
]


@pytest.mark.parametrize(("body", "where"), REFUSED)
def test_what_is_not_served_is_refused_with_its_path(body: dict[str, Any], where: str) -> None:
    """Nothing is left out silently."""
    with pytest.raises(DefinitionError) as caught:
        read_api(body, api_id="a", region=REGION, account_id=ACCOUNT)
    assert caught.value.where == where


def test_two_names_for_one_variable_are_refused() -> None:
    """API Gateway has one variable at one place."""
    body = _body()
    body["paths"] = {"/{a}": {"get": proxy()}, "/{b}/c": {"get": proxy()}}
    with pytest.raises(DefinitionError, match="variable"):
        read_api(body, api_id="a", region=REGION, account_id=ACCOUNT)


ROUTES = ["/", "/a", "/a/{x}", "/a/{x}/c", "/a/b", "/a/{rest+}", "/{proxy+}", "/p/{q+}"]
FOUND = [
    ("/", ("/", {})),
    ("/a", ("/a", {})),
    ("/a/", ("/a", {})),
    ("/a/b", ("/a/b", {})),
    ("/a/z", ("/a/{x}", {"x": "z"})),
    ("/a/z/c", ("/a/{x}/c", {"x": "z"})),
    ("/a/z/d", ("/a/{rest+}", {"rest": "z/d"})),
    ("/a/b/c", ("/a/{x}/c", {"x": "b"})),
    ("/q", ("/{proxy+}", {"proxy": "q"})),
    ("/q/r", ("/{proxy+}", {"proxy": "q/r"})),
    ("/p", ("/{proxy+}", {"proxy": "p"})),
    ("/p/1/2", ("/p/{q+}", {"q": "1/2"})),
    ("/A", ("/{proxy+}", {"proxy": "A"})),
    ("/a/%C3%A9", ("/a/{x}", {"x": "é"})),
    ("/a/x+y", ("/a/{x}", {"x": "x+y"})),
]


@pytest.mark.parametrize(("path", "expected"), FOUND)
def test_the_most_specific_resource_is_taken(path: str, expected: tuple[str, dict[str, str]]) -> None:
    """Static before {name} before {name+}, at every level."""
    assert Resources(ROUTES).match(path) == expected


def test_no_resource() -> None:
    """Nothing fits."""
    assert Resources(["/a"]).match("/b") is None
    assert Resources(["/a"]).match("/a/b") is None
    assert Resources(["/{x}"]).match("/") is None


async def test_any_serves_what_no_method_does() -> None:
    """A method of its own goes before ANY."""
    paths = {"/a": {"get": mock(), "x-amazon-apigateway-any-method": mock(default={"statusCode": "201"})}}
    stage = make_stage(paths)
    assert [(await ask(stage, method, "/a")).status for method in ("GET", "POST", "PATCH")] == [200, 201, 201]


async def test_swagger_2_bodies_are_read() -> None:
    """Body parameters, definitions and securityDefinitions."""
    operation = {
        **mock(),
        "parameters": [
            {"in": "body", "name": "b", "schema": {"$ref": "#/definitions/M"}},
            {"in": "header", "name": "X-Need", "required": True, "type": "string"},
        ],
        "x-amazon-apigateway-request-validator": "all",
    }
    stage = make_stage(
        {"/a": {"post": operation}},
        openapi="",
        swagger="2.0",
        definitions={"M": {"type": "object", "required": ["k"]}},
        **{
            "x-amazon-apigateway-request-validators": {
                "all": {"validateRequestBody": True, "validateRequestParameters": True}
            }
        },
    )
    missing = await ask(stage, "POST", "/a", b'{"k":1}')
    assert (missing.status, missing.body) == (400, b'{"message":"Missing required request parameters: [X-Need]"}')
    assert (await ask(stage, "POST", "/a", b"{}", X_Need="x")).status == 400
    assert (await ask(stage, "POST", "/a", b'{"k":1}', x_need="x")).status == 200


async def test_gateway_responses_fall_back_to_the_defaults_of_their_class() -> None:
    """DEFAULT_4XX changes every 4xx that has no response of its own."""
    custom = {
        "DEFAULT_4XX": {
            "statusCode": "418",
            "responseParameters": {
                "gatewayresponse.header.X-Path": "context.path",
                "gatewayresponse.header.X-From": "method.request.header.from",
                "gatewayresponse.header.X-None": "method.request.header.none",
            },
            "responseTemplates": {
                "application/json": '{"m":$context.error.messageString,"t":"$context.error.responseType",'
                '"p":"$context.path","n":"$context.nosuch","h":"$method.request.header.from"}'
            },
        }
    }
    stage = make_stage({"/a": {"get": mock()}}, **{"x-amazon-apigateway-gateway-responses": custom})
    response = await ask(stage, "GET", "/b", From='"me"')
    assert response.status == 418
    assert response.body == (
        b'{"m":"Missing Authentication Token","t":"MISSING_AUTHENTICATION_TOKEN","p":"/v1/b","n":"","h":"\\"me\\""}'
    )
    assert (response.header("x-path"), response.header("x-from")) == ("/v1/b", '"me"')
    assert response.header("x-none") is None


async def test_the_gateways_own_words_without_customisation() -> None:
    """403 Missing Authentication Token, with the error type and ids."""
    response = await ask(make_stage({"/a": {"get": mock()}}), "GET", "/b")
    assert (response.status, response.body) == (403, b'{"message":"Missing Authentication Token"}')
    assert response.header("x-amzn-errortype") == "MissingAuthenticationTokenException"
    assert response.header("x-amzn-requestid")


def _resource(kind: str, properties: dict[str, Any], logical_id: str = "R") -> Resource:
    return Resource(logical_id, f"AWS::ApiGateway::{kind}", properties, CONTEXT)


async def test_a_bad_body_names_the_resource_and_the_path() -> None:
    """The deployer's error."""
    api = await deploy_jobs_api()
    handlers = {handler.type: handler for handler in gateway_handlers(api.gateway)}
    resource = _resource("RestApi", {"Body": _integration(type="vpc")}, "Api")
    with pytest.raises(TemplateError) as caught:
        await handlers[resource.type].create(resource)
    assert caught.value.where == f"Api.Properties.Body.{AT}.type"


async def test_deleting_a_stage_takes_it_away() -> None:
    """And the API's id is the same the next time."""
    api = await deploy_jobs_api()
    handlers = {handler.type: handler for handler in gateway_handlers(api.gateway)}
    made = []
    for _ in range(2):
        rest = await handlers["AWS::ApiGateway::RestApi"].create(_resource("RestApi", {"Body": _body()}, "Other"))
        deployment = await handlers["AWS::ApiGateway::Deployment"].create(
            _resource("Deployment", {"RestApiId": rest.ref})
        )
        properties = {
            "RestApiId": rest.ref,
            "DeploymentId": deployment.ref,
            "StageName": "s",
            "Variables": {"n": 1},
            "MethodSettings": [{"HttpMethod": "GET", "ResourcePath": "/~1a", "ThrottlingBurstLimit": "1"}],
        }
        stage = _resource("Stage", copy.deepcopy(properties))
        physical = await handlers[stage.type].create(stage)
        assert f"/{rest.ref}/s" in api.gateway.paths()
        await handlers[stage.type].delete(stage, physical)
        assert f"/{rest.ref}/s" not in api.gateway.paths()
        made.append(rest.ref)
    assert made[0] == made[1]
    assert len(made[0]) == 10


async def test_other_resource_types_are_refused_with_a_reason() -> None:
    """The ledger can say why."""
    api = await deploy_jobs_api()
    refused = [handler for handler in gateway_handlers(api.gateway) if handler.support.support is Support.REFUSED]
    assert {handler.type.rpartition("::")[2] for handler in refused} >= {"ClientCertificate", "VpcLink"}
    for handler in refused:
        assert handler.support.reason
        with pytest.raises(TemplateError):
            await handler.create(Resource("R", handler.type, {}, CONTEXT))
