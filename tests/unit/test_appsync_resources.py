"""Event APIs of a template become APIs, namespaces, keys and data sources of the model; the ledger says how truly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.issuer import ISSUER
from localcloud.services.appsync.model import EventApis
from localcloud.services.appsync.resources import appsync_handlers
from localcloud.services.appsync.settings import Handler
from localcloud.template.deploy import deploy, undeploy
from localcloud.template.errors import TemplateError
from localcloud.template.ledger import make_ledger
from localcloud.template.source import Source
from localcloud.template.stack import Stack, prepare_stack, stack_context

REGION = "eu-west-1"
ARN = f"arn:aws:appsync:{REGION}:123456789012:apis/"
KEYS = [{"AuthType": "API_KEY"}]
CONFIG: dict[str, Any] = {
    "AuthProviders": [
        *KEYS,
        {"AuthType": "AWS_IAM"},
        {
            "AuthType": "AWS_LAMBDA",
            "LambdaAuthorizerConfig": {
                "AuthorizerUri": "arn:fn",
                "AuthorizerResultTtlInSeconds": "60",
                "IdentityValidationExpression": "a+",
            },
        },
        {"AuthType": "OPENID_CONNECT", "OpenIDConnectConfig": {"Issuer": ISSUER, "ClientId": "app", "IatTTL": "5000"}},
        {
            "AuthType": "AMAZON_COGNITO_USER_POOLS",
            "CognitoConfig": {"UserPoolId": "p", "AwsRegion": REGION, "AppIdClientRegex": "x"},
        },
    ],
    "ConnectionAuthModes": KEYS,
    "DefaultPublishAuthModes": [{"AuthType": "AWS_IAM"}],
    "DefaultSubscribeAuthModes": [{"AuthType": "OPENID_CONNECT"}],
    "LogConfig": {"LogLevel": "NONE", "CloudWatchLogsRoleArn": "r"},
}
REF = {"Fn::GetAtt": ["Events", "ApiId"]}
RESOURCES: dict[str, Any] = {
    "Events": {
        "Type": "AWS::AppSync::Api",
        "Properties": {
            "Name": "events",
            "OwnerContact": "me",
            "EventConfig": CONFIG,
            "Tags": [{"Key": "a", "Value": "b"}],
        },
    },
    "Key": {"Type": "AWS::AppSync::ApiKey", "Properties": {"ApiId": REF, "Description": "d"}},
    "Source": {
        "Type": "AWS::AppSync::DataSource",
        "Properties": {
            "ApiId": REF,
            "Name": "fn",
            "Type": "AWS_LAMBDA",
            "ServiceRoleArn": "role",
            "LambdaConfig": {"LambdaFunctionArn": "arn:fn"},
        },
    },
    "Chat": {
        "Type": "AWS::AppSync::ChannelNamespace",
        "Properties": {
            "ApiId": REF,
            "Name": "chat",
            "PublishAuthModes": KEYS,
            "Tags": [{"Key": "c", "Value": "d"}],
            "HandlerConfigs": {
                "OnPublish": {"Behavior": "DIRECT", "Integration": {"DataSourceName": {"Fn::GetAtt": "Source.Name"}}},
                "OnSubscribe": {
                    "Behavior": "DIRECT",
                    "Integration": {
                        "DataSourceName": {"Fn::GetAtt": "Source.Name"},
                        "LambdaConfig": {"InvokeType": "EVENT"},
                    },
                },
            },
        },
    },
}
OUTPUTS = {
    name: {"Value": value}
    for name, value in {
        "Id": {"Ref": "Events"},
        "Arn": {"Fn::GetAtt": "Events.ApiArn"},
        "Http": {"Fn::Sub": "https://${Events.Dns.Http}/event"},
        "Realtime": {"Fn::Sub": "wss://${Events.Dns.Realtime}/event/realtime"},
        "Key": {"Fn::GetAtt": "Key.ApiKey"},
        "KeyRef": {"Ref": "Key"},
        "Chat": {"Ref": "Chat"},
        "ChatArn": {"Fn::GetAtt": "Chat.ChannelNamespaceArn"},
        "Source": {"Ref": "Source"},
    }.items()
}


def prepare(resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> Stack:
    body = {"Resources": resources, "Outputs": outputs or {}}
    return prepare_stack(Source(Path("t.yaml"), body), stack_context(Path(), region=REGION))


def with_apis(test: Callable[[EventApis], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(EventApis(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1)))

    run_virtual(main)


def test_a_stack_s_event_api_with_all_that_is_in_it() -> None:
    """What the template says, by its names and attributes; at the end nothing is left."""

    async def test(apis: EventApis) -> None:
        stack = prepare(RESOURCES, OUTPUTS)
        handlers = {handler.type: handler for handler in appsync_handlers(apis)}
        ledger = make_ledger(stack.graph, handlers)
        assert ledger.refused == ()
        deployed = await deploy(stack, handlers, ledger)
        [api] = apis.list(REGION)
        assert deployed.outputs == {
            "Id": api.id,
            "Arn": f"{ARN}{api.id}",
            "Http": f"https://{api.id}.appsync-api.{REGION}.amazonaws.com/event",
            "Realtime": f"wss://{api.id}.appsync-realtime-api.{REGION}.amazonaws.com/event/realtime",
            "Key": next(iter(api.keys)),
            "KeyRef": f"{ARN}{api.id}/apikey/{next(iter(api.keys))}",
            "Chat": f"{ARN}{api.id}/channelNamespace/chat",
            "ChatArn": f"{ARN}{api.id}/channelNamespace/chat",
            "Source": f"{ARN}{api.id}/datasources/fn",
        }
        assert (api.name, api.owner, api.tags) == ("events", "me", {"a": "b"})
        config = api.config
        assert (config.connect, config.publish, config.subscribe) == (("API_KEY",), ("AWS_IAM",), ("OPENID_CONNECT",))
        assert [dict(each.settings) for each in config.providers] == [
            {},
            {},
            {"authorizerUri": "arn:fn", "authorizerResultTtlInSeconds": 60, "identityValidationExpression": "a+"},
            {"issuer": ISSUER, "clientId": "app", "iatTTL": 5000},
            {"userPoolId": "p", "awsRegion": REGION, "appIdClientRegex": "x"},
        ]
        chat = api.namespaces["chat"]
        assert (chat.publish, chat.subscribe, chat.tags) == (("API_KEY",), (), {"c": "d"})
        assert chat.handlers == {"onPublish": Handler("fn"), "onSubscribe": Handler("fn", is_event=True)}
        assert api.sources["fn"].function_arn == "arn:fn"
        await undeploy(deployed)
        assert apis.list(REGION) == []

    with_apis(test)


def test_ids_and_keys_are_the_same_at_every_start() -> None:
    """So a client's settings stay good."""

    async def test(apis: EventApis) -> None:
        handlers = {handler.type: handler for handler in appsync_handlers(apis)}
        made: list[dict[str, Any]] = []
        for _ in range(2):
            stack = prepare(RESOURCES, OUTPUTS)
            deployed = await deploy(stack, handlers, make_ledger(stack.graph, handlers))
            made.append(dict(deployed.outputs))
            await undeploy(deployed)
        assert made[0] == made[1]

    with_apis(test)


def change(resource: str, **properties: Any) -> dict[str, Any]:
    """The template with other properties of one resource; None takes one away."""
    own = {**RESOURCES[resource]["Properties"], **properties}
    kept = {name: value for name, value in own.items() if value is not None}
    return {**RESOURCES, resource: {**RESOURCES[resource], "Properties": kept}}


@pytest.mark.parametrize(
    ("resources", "where", "says"),
    [
        (change("Events", Name="a/b"), "Events.Properties", "regular expression"),
        (change("Events", EventConfig={**CONFIG, "AuthProviders": KEYS}), "Events.Properties", "AWS_IAM is not among"),
        (change("Events", EventConfig={**CONFIG, "ConnectionAuthModes": []}), "Events.Properties", "one at least"),
        (change("Chat", Name="-"), "Chat.Properties", "regular expression"),
        (change("Chat", ApiId="other"), "Chat.Properties.ApiId", "is no Event API of this stack"),
        (change("Chat", PublishAuthModes=[{"AuthType": "NO"}]), "Chat.Properties", "enum value set"),
        (change("Key", Expires=365), "Key.Properties.Expires", "minimum of 1 days and a maximum of 365 days"),
        (change("Source", ServiceRoleArn=None), "Source.Properties", "needs lambdaConfig and serviceRoleArn"),
        (change("Source", Name="a-b"), "Source.Properties", "regular expression"),
    ],
)
def test_what_appsync_would_refuse_names_the_resource(resources: dict[str, Any], where: str, says: str) -> None:
    """With AppSync's words."""

    async def test(apis: EventApis) -> None:
        stack = prepare(resources)
        handlers = {handler.type: handler for handler in appsync_handlers(apis)}
        with pytest.raises(TemplateError, match=says) as caught:
            await deploy(stack, handlers, make_ledger(stack.graph, handlers))
        assert str(caught.value).startswith(where)

    with_apis(test)


@pytest.mark.parametrize(
    ("resources", "refused"),
    [
        (change("Chat", CodeHandlers="export"), "CodeHandlers"),
        (change("Chat", CodeS3Location="s3://a/b"), "CodeS3Location"),
        (
            change("Chat", HandlerConfigs={"OnPublish": {"Behavior": "CODE", "Integration": {"DataSourceName": "fn"}}}),
            "HandlerConfigs.OnPublish.Behavior",
        ),
        (change("Events", EventConfig={**CONFIG, "LogConfig": {"LogLevel": "ALL"}}), "EventConfig.LogConfig.LogLevel"),
        (change("Source", Type="AMAZON_DYNAMODB"), "Type"),
        (change("Source", HttpConfig={"Endpoint": "https://a"}), "HttpConfig"),
        (change("Key", ApiKeyId="x"), "ApiKeyId"),
    ],
)
def test_what_is_not_served_is_refused_by_the_ledger(resources: dict[str, Any], refused: str) -> None:
    """Property by property; JavaScript, logs, and data sources that are no functions."""

    async def test(apis: EventApis) -> None:
        handlers = {handler.type: handler for handler in appsync_handlers(apis)}
        ledger = make_ledger(prepare(resources).graph, handlers)
        assert [line.property for line in ledger.refused] == [refused]

    with_apis(test)


def test_the_ledger_says_where_authorization_differs() -> None:
    """Signatures are not verified, tokens only of the local issuer, and there are no user pools."""

    async def test(apis: EventApis) -> None:
        other = [*CONFIG["AuthProviders"][:3], {"AuthType": "OPENID_CONNECT", "OpenIDConnectConfig": {"Issuer": "x"}}]
        resources = change("Events", EventConfig={**CONFIG, "AuthProviders": other})
        handlers = {handler.type: handler for handler in appsync_handlers(apis)}
        reasons = {
            line.property: line.reason
            for line in make_ledger(prepare(resources).graph, handlers).lines
            if line.logical_id == "Events"
        }
        assert "signatures are not verified" in reasons["EventConfig.AuthProviders.AuthType"]
        assert "only tokens of" in reasons["EventConfig.AuthProviders.OpenIDConnectConfig.Issuer"]

    with_apis(test)
