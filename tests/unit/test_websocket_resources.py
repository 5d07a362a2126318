"""CloudFormation's WebSocket resources: what is made, deployed and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.gateway.v2_resources import v2_handlers
from localcloud.gateway.websocket.resources import WebSocketApis
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Support
from tests.unit.websocket_setup import FUNCTIONS, SOCKET, World, open_world

PLAIN = r"""
  Socket:
    Type: AWS::ApiGatewayV2::Api
    Properties: {Name: plain, ProtocolType: WEBSOCKET, RouteSelectionExpression: "${request.body.kind}"}
  Call:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Socket
      IntegrationType: AWS_PROXY
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Serve.Arn}/invocations
  First:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Socket, RouteKey: first, Target: !Sub "integrations/${Call}"}
  Second:
    Type: AWS::ApiGatewayV2::Route
    DependsOn: Deployed
    Properties: {ApiId: !Ref Socket, RouteKey: second, Target: !Sub "integrations/${Call}"}
  Deployed:
    Type: AWS::ApiGatewayV2::Deployment
    DependsOn: First
    Properties: {ApiId: !Ref Socket}
  Stage:
    Type: AWS::ApiGatewayV2::Stage
    Properties: {ApiId: !Ref Socket, StageName: v1, DeploymentId: !Ref Deployed}
"""


def test_references_are_cloudformations() -> None:
    """Ref, ApiId, ApiEndpoint, and the ids of the parts."""

    async def main() -> None:
        async with open_world() as world:
            made = world.physical
            endpoint = f"wss://{world.api_id}.execute-api.eu-central-1.amazonaws.com"
            assert made["Socket"].attributes == {"ApiId": world.api_id, "ApiEndpoint": endpoint}
            assert len(world.api_id) == 10
            authorizer = made["SocketConnectAuthorizer"]
            assert authorizer.attributes == {"AuthorizerId": authorizer.ref}
            assert made["Socketv1Stage"].ref == "v1"

    run_virtual(main)


def test_a_deployment_holds_the_api_as_it_was() -> None:
    """A route made after it is not served; SAM's stages deploy automatically and serve every route."""

    async def main() -> None:
        async with open_world(FUNCTIONS + PLAIN) as world:
            connection, wire = await world.open()
            assert await world.say(connection, wire, {"kind": "first"}) == []
            (refused,) = await world.say(connection, wire, {"kind": "second"})
            assert "Forbidden" in refused

    run_virtual(main)


def test_everything_is_taken_away() -> None:
    """In the reverse order, until neither a stage nor an API is left."""

    async def main() -> None:
        async with open_world() as world:
            for name, resource in reversed(world.resources.items()):
                await world.handlers[resource.type].delete(resource, world.physical[name])
            assert world.gateway.stages() == []

    run_virtual(main)


def _set(logical_id: str, name: str, value: Any) -> Callable[[dict[str, Any], str], None]:
    def alter(properties: dict[str, Any], each: str) -> None:
        if each == logical_id:
            properties[name] = value

    return alter


@pytest.mark.parametrize(
    ("logical_id", "name", "value"),
    [
        ("Socket", "ProtocolType", "HTTP"),
        ("Socket", "RouteSelectionExpression", "$request.header.x"),
        ("Socketv1Stage", "DeploymentId", "abc"),
        ("SocketAskRoute", "Target", "integrations/none"),
        ("SocketAskRoute", "AuthorizationType", "AWS_IAM"),
        ("SocketAskRoute", "AuthorizationType", "CUSTOM"),
        ("SocketQuickRoute", "RouteKey", "ask"),
        ("SocketAskIntegration", "IntegrationType", "HTTP_PROXY"),
        ("SocketAskIntegration", "IntegrationUri", "https://example.com"),
        ("SocketAskIntegration", "TimeoutInMillis", 30_000),
        ("SocketAskIntegration", "CredentialsArn", "arn:aws:iam::123456789012:role/api"),
        ("JobIntegration", "IntegrationUri", "arn:aws:apigateway:eu-central-1:sns:path//"),
        ("JobIntegration", "CredentialsArn", None),
        ("JobIntegration", "RequestTemplates", {"$default": "#if("}),
        ("JobIntegration", "RequestParameters", {"integration.request.header.x": "method.request.body"}),
        ("JobIntegration", "TemplateSelectionExpression", "$context.x"),
        ("EchoCreated", "IntegrationResponseKey", "201"),
        ("EchoCreated", "IntegrationResponseKey", "/(/"),
        ("EchoAnswers", "RouteResponseKey", "other"),
        ("SocketConnectAuthorizer", "IdentitySource", ["$request.header.Authorization"]),
        ("SocketConnectAuthorizer", "AuthorizerType", "JWT"),
        ("SocketConnectAuthorizer", "AuthorizerResultTtlInSeconds", 60),
        ("SocketConnectAuthorizer", "AuthorizerPayloadFormatVersion", "2.0"),
        ("SocketConnectAuthorizer", "EnableSimpleResponses", True),
        ("SocketConnectAuthorizer", "JwtConfiguration", {"Issuer": "https://issuer.example"}),
        ("SocketAskIntegration", "PayloadFormatVersion", "2.0"),
        ("SocketAskIntegration", "IntegrationSubtype", "SQS-SendMessage"),
        ("SocketAskIntegration", "ResponseParameters", {"200": {}}),
        ("SocketAskRoute", "AuthorizationScopes", ["a"]),
        ("Socket", "DisableExecuteApiEndpoint", True),
        ("Socket", "Body", {"openapi": "3.0.1"}),
        ("Socket", "CorsConfiguration", {"AllowOrigins": ["*"]}),
        ("Socket", "RouteKey", "$default"),
        ("Socket", "Target", "https://example.com"),
    ],
)
def test_what_makes_no_sense_or_is_not_served_ends_the_deployment(logical_id: str, name: str, value: Any) -> None:
    """With the logical id and the property."""

    async def main() -> None:
        def alter(properties: dict[str, Any], each: str) -> None:
            _set(logical_id, name, value)(properties, each)
            if logical_id == each == "Socketv1Stage":
                del properties["AutoDeploy"]

        async with open_world(FUNCTIONS + SOCKET, alter=alter):
            pass

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(main)
    (error,) = caught.value.exceptions
    assert isinstance(error, TemplateError)
    assert (error.where or "").startswith(f"{logical_id}.Properties.")


def test_http_apis_need_their_own_handlers() -> None:
    """Where WebSocket APIs are all there is, an HTTP API is refused by its protocol."""

    async def main() -> None:
        async with open_world(FUNCTIONS + SOCKET, alter=_set("Socket", "ProtocolType", "HTTP")):
            pass

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(main)
    assert [str(error) for error in caught.value.exceptions] == [
        "Socket.Properties.ProtocolType: must be one of WEBSOCKET, is 'HTTP'"
    ]


def test_every_entry_that_is_not_served_says_why() -> None:
    """The ledger prints the reason."""

    async def main() -> World:
        async with open_world() as world:
            return world

    for handler in v2_handlers(WebSocketApis(run_virtual(main).gateway)):
        silent = [
            name for name, each in handler.properties.items() if each.support is not Support.SERVED and not each.reason
        ]
        assert silent == []
