"""What HTTP APIs do not have or what makes no sense: refused when the resource is made, by its property."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.template.errors import TemplateError
from localcloud.template.handler import Support
from tests.unit.http_api_setup import FUNCTION, ISSUER, World, function, in_world

MADE = "integrations/{made}"
HTTP_API: dict[str, Any] = {"Name": "t", "ProtocolType": "HTTP"}
JWT: dict[str, Any] = {
    "AuthorizerType": "JWT",
    "Name": "j",
    "IdentitySource": ["$request.header.Authorization"],
    "JwtConfiguration": {"Issuer": ISSUER, "Audience": ["app"]},
}
CHECK: dict[str, Any] = {
    "AuthorizerType": "REQUEST",
    "Name": "l",
    "AuthorizerUri": f"{FUNCTION}Check",
    "AuthorizerPayloadFormatVersion": "2.0",
}
INTEGRATION: dict[str, Any] = {"IntegrationType": "AWS_PROXY", "IntegrationUri": f"{FUNCTION}Work"}
BACK: dict[str, Any] = {
    "IntegrationType": "HTTP_PROXY",
    "IntegrationUri": "https://b.example",
    "IntegrationMethod": "GET",
}
SQS: dict[str, Any] = {
    "IntegrationType": "AWS_PROXY",
    "IntegrationSubtype": "SQS-SendMessage",
    "CredentialsArn": "arn:aws:iam::123456789012:role/api",
    "RequestParameters": {"QueueUrl": "q", "MessageBody": "b"},
}


SENSELESS: list[tuple[str, dict[str, Any], str]] = [
    ("Integration", INTEGRATION | {"IntegrationType": "MOCK"}, "IntegrationType"),
    ("Integration", INTEGRATION | {"IntegrationUri": "https://x"}, "IntegrationUri"),
    ("Integration", INTEGRATION | {"TimeoutInMillis": 30_001}, "TimeoutInMillis"),
    ("Integration", INTEGRATION | {"TimeoutInMillis": 49}, "TimeoutInMillis"),
    ("Integration", INTEGRATION | {"CredentialsArn": "arn:x"}, "CredentialsArn"),
    ("Integration", INTEGRATION | {"IntegrationMethod": "GET"}, "IntegrationMethod"),
    ("Integration", INTEGRATION | {"RequestTemplates": {"a": "b"}}, "RequestTemplates"),
    ("Integration", INTEGRATION | {"RequestParameters": {"append:body.x": "1"}}, "RequestParameters"),
    ("Integration", INTEGRATION | {"RequestParameters": {"append:header.Via": "1"}}, "RequestParameters"),
    (
        "Integration",
        INTEGRATION | {"RequestParameters": {"append:header.x": "$request.cookie.a"}},
        "RequestParameters",
    ),
    (
        "Integration",
        INTEGRATION | {"RequestParameters": {"append:header.x": "$request.body.a[?(1)]"}},
        "RequestParameters",
    ),
    ("Integration", INTEGRATION | {"ResponseParameters": {"99": {}}}, "ResponseParameters.99"),
    (
        "Integration",
        INTEGRATION | {"ResponseParameters": {"200": {"overwrite:path": "1"}}},
        "ResponseParameters.200",
    ),
    (
        "Integration",
        INTEGRATION | {"ResponseParameters": {"200": {"overwrite:statuscode": "x"}}},
        "ResponseParameters.200",
    ),
    ("Integration", BACK | {"IntegrationUri": "ftp://x"}, "IntegrationUri"),
    ("Integration", INTEGRATION | {"PayloadFormatVersion": "3.0"}, "PayloadFormatVersion"),
    ("Integration", SQS | {"PayloadFormatVersion": "2.0"}, "PayloadFormatVersion"),
    ("Integration", BACK | {"IntegrationMethod": None}, "IntegrationMethod"),
    ("Integration", BACK | {"PayloadFormatVersion": "2.0"}, "PayloadFormatVersion"),
    ("Integration", SQS | {"IntegrationSubtype": "AppConfig-GetConfiguration"}, "IntegrationSubtype"),
    ("Integration", SQS | {"CredentialsArn": None}, "CredentialsArn"),
    ("Integration", SQS | {"RequestParameters": {"QueueUrl": "q"}}, "RequestParameters"),
    (
        "Integration",
        SQS | {"RequestParameters": {"QueueUrl": "q", "MessageBody": "b", "X": "y"}},
        "RequestParameters",
    ),
    (
        "Integration",
        SQS | {"RequestParameters": {"QueueUrl": "q", "MessageBody": "$response.body"}},
        "RequestParameters.MessageBody",
    ),
    ("Integration", SQS | {"IntegrationUri": "x"}, "IntegrationSubtype"),
    ("IntegrationResponse", {"IntegrationId": "x"}, "ApiId"),
    ("Route", {"RouteKey": "GET /a", "Target": "integrations/none"}, "Target"),
    ("Route", {"RouteKey": "GET /a", "Target": "none"}, "Target"),
    ("Route", {"RouteKey": "GET /a"}, "Target"),
    ("Route", {"RouteKey": "nonsense", "Target": "integrations/x"}, "RouteKey"),
    ("Route", {"RouteKey": "GET /made", "Target": MADE}, "RouteKey"),
    ("Route", {"RouteKey": "GET /a", "Target": MADE, "AuthorizationType": "JWT"}, "AuthorizerId"),
    (
        "Route",
        {"RouteKey": "GET /a", "Target": MADE, "AuthorizationType": "JWT", "AuthorizerId": "x"},
        "AuthorizerId",
    ),
    (
        "Route",
        {"RouteKey": "GET /a", "Target": MADE, "AuthorizationScopes": ["a"]},
        "AuthorizationScopes",
    ),
    (
        "Authorizer",
        JWT | {"JwtConfiguration": {"Issuer": "http://x.example", "Audience": ["a"]}},
        "JwtConfiguration.Issuer",
    ),
    ("Authorizer", JWT | {"JwtConfiguration": {"Issuer": ISSUER, "Audience": []}}, "JwtConfiguration.Audience"),
    ("Authorizer", JWT | {"IdentitySource": []}, "IdentitySource"),
    ("Authorizer", JWT | {"IdentitySource": ["$request.body.a"]}, "IdentitySource"),
    ("Authorizer", CHECK | {"AuthorizerPayloadFormatVersion": None}, "AuthorizerPayloadFormatVersion"),
    (
        "Authorizer",
        CHECK | {"AuthorizerPayloadFormatVersion": "1.0", "EnableSimpleResponses": True},
        "EnableSimpleResponses",
    ),
    ("Authorizer", CHECK | {"AuthorizerResultTtlInSeconds": 1}, "IdentitySource"),
    ("Authorizer", CHECK | {"AuthorizerResultTtlInSeconds": 3601}, "AuthorizerResultTtlInSeconds"),
    ("Authorizer", CHECK | {"AuthorizerUri": "x"}, "AuthorizerUri"),
    ("Stage", {"StageName": "a b"}, "StageName"),
    ("Stage", {"StageName": "v1", "DeploymentId": "x"}, "DeploymentId"),
    ("Stage", {"StageName": "v1", "AutoDeploy": True, "RouteSettings": {"GET /x": {}}}, "RouteSettings.GET /x"),
    (
        "Stage",
        {"StageName": "v1", "DefaultRouteSettings": {"LoggingLevel": "INFO"}},
        "DefaultRouteSettings.LoggingLevel",
    ),
    ("Api", {"ProtocolType": "HTTP"}, "Name"),
    ("Api", HTTP_API | {"RouteKey": "GET /a"}, "RouteKey"),
    ("Api", HTTP_API | {"RouteSelectionExpression": "$request.body.a"}, "RouteSelectionExpression"),
    ("Api", HTTP_API | {"DisableSchemaValidation": True}, "DisableSchemaValidation"),
    (
        "Api",
        HTTP_API | {"CorsConfiguration": {"AllowOrigins": ["*"], "AllowCredentials": True}},
        "CorsConfiguration.AllowCredentials",
    ),
    ("Route", {"ApiId": "none", "RouteKey": "GET /a"}, "ApiId"),
]


@pytest.mark.parametrize(("kind", "properties", "where"), SENSELESS)
def test_what_makes_no_sense_ends_the_deployment(kind: str, properties: dict[str, Any], where: str) -> None:
    """With the logical id and the property."""

    async def run(world: World) -> None:
        await world.make("Api", **HTTP_API)
        await world.make_route("GET /made")
        made = next(each.ref for resource, each in world.made.values() if resource.type.endswith("::Integration"))
        given = dict(properties)
        if "Target" in given:
            given["Target"] = given["Target"].replace("{made}", made)
        with pytest.raises(TemplateError) as caught:
            await world.make(kind, "Bad", **given)
        assert caught.value.where == f"Bad.Properties.{where}"

    in_world(run)


OPERATION = "paths./a.get"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"openapi": "2.0"}, "openapi"),
        ({"x-amazon-apigateway-policy": {}}, "x-amazon-apigateway-policy"),
        ({"paths": {"/a": {"get": {}}}}, f"{OPERATION}.x-amazon-apigateway-integration"),
        ({"paths": {"/a": {"get": function(security=[{"X": []}])}}}, f"{OPERATION}.security"),
        ({"paths": {"/a": {"get": function(security=[{}, {}])}}}, f"{OPERATION}.security"),
        ({"paths": {"$default": {"get": function()}}}, "paths.$default.get"),
        ({"paths": {"/{a+}/b": {"get": function()}}}, "paths./{a+}/b.get.RouteKey"),
        (
            {"components": {"securitySchemes": {"L": {"x-amazon-apigateway-authorizer": {"x": 1}}}}},
            "components.securitySchemes.L.x-amazon-apigateway-authorizer.x",
        ),
    ],
)
def test_what_a_body_has_that_is_not_served_is_named(change: dict[str, Any], where: str) -> None:
    """By its path in the body."""

    async def run(world: World) -> None:
        body = {"openapi": "3.0.1", "info": {"title": "t"}, "paths": {"/a": {"get": function()}}} | change
        with pytest.raises(TemplateError) as caught:
            await world.make("Api", "Bad", Body=body)
        assert caught.value.where == f"Bad.Properties.Body.{where}"

    in_world(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [("connectionType", "VPC_LINK"), ("tlsConfig", {}), ("connectionId", "x"), ("passthroughBehavior", "never")],
)
def test_vpc_links_are_refused_aloud(key: str, value: object) -> None:
    """In a body, and by the ledger's tables where they are resources."""

    async def run(world: World) -> None:
        operation = function()
        operation["x-amazon-apigateway-integration"][key] = value
        with pytest.raises(TemplateError, match="not served here"):
            await world.make_body({"/a": {"get": operation}})
        link = world.handlers["AWS::ApiGatewayV2::VpcLink"]
        integration = world.handlers["AWS::ApiGatewayV2::Integration"].properties
        assert link.support.support is Support.REFUSED
        assert integration["ConnectionType"].values == ("INTERNET",)
        assert {integration[name].support for name in ("ConnectionId", "TlsConfig")} == {Support.REFUSED}

    in_world(run)


def test_every_entry_that_is_not_served_says_why() -> None:
    """The ledger prints the reason."""

    async def run(world: World) -> None:
        for handler in world.handlers.values():
            silent = [
                name
                for name, each in handler.properties.items()
                if each.support is not Support.SERVED and not each.reason
            ]
            assert silent == []

    in_world(run)
