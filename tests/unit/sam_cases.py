"""One small template for each type and event of SAM, and the CloudFormation types that the translator makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CASES", "Case", "function"]

QUEUE = {"Type": "AWS::SQS::Queue"}
NETWORK = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
ACCESS = [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}]
TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
    },
}
FUNCTION = frozenset({"AWS::IAM::Role", "AWS::Lambda::Function"})
ALLOWED = FUNCTION | {"AWS::Lambda::Permission"}
MAPPED = FUNCTION | {"AWS::Lambda::EventSourceMapping"}
REST = frozenset({"AWS::ApiGateway::Deployment", "AWS::ApiGateway::RestApi", "AWS::ApiGateway::Stage"})
HTTP = frozenset({"AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage"})


@dataclass(frozen=True)
class Case:
    """A template's resources, and the types they become."""

    resources: Mapping[str, Any]
    types: frozenset[str]

    @property
    def body(self) -> dict[str, Any]:
        """The whole template."""
        return {"Transform": "AWS::Serverless-2016-10-31", "Resources": dict(self.resources)}


def function(**properties: Any) -> dict[str, Any]:
    """A function with these properties too."""
    inline = {"Runtime": "python3.13", "Handler": "a.b", "InlineCode": "x"}
    return {"Type": "AWS::Serverless::Function", "Properties": {**inline, **properties}}


def _event(kind: str, types: frozenset[str], /, *, beside: Mapping[str, Any] | None = None, **properties: Any) -> Case:
    event = {"Type": kind, **({"Properties": properties} if properties else {})}
    resources = {"Fn": function(Events={"E": event}), **(beside or {})}
    return Case(resources, types | {entry["Type"] for entry in (beside or {}).values()})


def _on(kind: str, **properties: Any) -> dict[str, Any]:
    return function(Events={"E": {"Type": kind, "Properties": {"Path": "/a", "Method": "get", **properties}}})


def _sam(kind: str, types: set[str], **properties: Any) -> Case:
    return Case({"R": {"Type": f"AWS::Serverless::{kind}", "Properties": properties}}, frozenset(types))


CASES: Mapping[str, Case] = {
    # ------------------------------------------------------------ resources
    "Function": Case({"Fn": function()}, FUNCTION),
    "SimpleTable": _sam("SimpleTable", {"AWS::DynamoDB::Table"}),
    "LayerVersion": _sam("LayerVersion", {"AWS::Lambda::LayerVersion"}, ContentUri="x"),
    "StateMachine": _sam("StateMachine", {"AWS::IAM::Role", "AWS::StepFunctions::StateMachine"}, Definition=PASS),
    "GraphQLApi": _sam(
        "GraphQLApi",
        {"AWS::AppSync::GraphQLApi", "AWS::AppSync::GraphQLSchema", "AWS::IAM::Role"},
        SchemaInline="type Query { a: String }",
        Auth={"Type": "AWS_IAM"},
    ),
    "CapacityProvider": _sam(
        "CapacityProvider", {"AWS::IAM::Role", "AWS::Lambda::CapacityProvider"}, VpcConfig=NETWORK
    ),
    "HttpApi resource": Case(
        {
            "Api": {
                "Type": "AWS::Serverless::HttpApi",
                "Properties": {
                    "CorsConfiguration": True,
                    "Auth": {
                        "DefaultAuthorizer": "A",
                        "Authorizers": {
                            "A": {
                                "JwtConfiguration": {"issuer": "https://x", "audience": ["a"]},
                                "IdentitySource": "$request.header.Authorization",
                            }
                        },
                    },
                },
            },
            "Fn": _on("HttpApi", ApiId={"Ref": "Api"}),
        },
        ALLOWED | HTTP,
    ),
    "Api resource": Case(
        {
            "Api": {
                "Type": "AWS::Serverless::Api",
                "Properties": {
                    "StageName": "p",
                    "Cors": "'*'",
                    "Auth": {
                        "DefaultAuthorizer": "A",
                        "Authorizers": {"A": {"FunctionArn": {"Fn::GetAtt": "Fn.Arn"}}},
                    },
                },
            },
            "Fn": _on("Api", RestApiId={"Ref": "Api"}),
        },
        ALLOWED | REST,
    ),
    "WebSocketApi": Case(
        {
            "Ws": {
                "Type": "AWS::Serverless::WebSocketApi",
                "Properties": {
                    "RouteSelectionExpression": "$request.body.action",
                    "Routes": {"$default": {"FunctionArn": {"Fn::GetAtt": "Fn.Arn"}}},
                },
            },
            "Fn": function(),
        },
        ALLOWED | HTTP | {"AWS::ApiGatewayV2::Integration", "AWS::ApiGatewayV2::Route"},
    ),
    "Connector": Case(
        {
            "C": {
                "Type": "AWS::Serverless::Connector",
                "Properties": {"Source": {"Id": "Fn"}, "Destination": {"Id": "Q"}, "Permissions": ["Write"]},
            },
            "Q": QUEUE,
            "Fn": function(),
        },
        FUNCTION | {"AWS::IAM::ManagedPolicy", "AWS::SQS::Queue"},
    ),
    "embedded connector": Case(
        {
            "Fn": {
                **function(),
                "Connectors": {"Q": {"Properties": {"Destination": {"Id": "Q"}, "Permissions": ["Write"]}}},
            },
            "Q": QUEUE,
        },
        FUNCTION | {"AWS::IAM::ManagedPolicy", "AWS::SQS::Queue"},
    ),
    # ------------------------------------------------------------ what a function may have
    "alias with deployments": Case(
        {"Fn": function(AutoPublishAlias="live", DeploymentPreference={"Type": "Canary10Percent5Minutes"})},
        FUNCTION
        | {
            "AWS::CodeDeploy::Application",
            "AWS::CodeDeploy::DeploymentGroup",
            "AWS::Lambda::Alias",
            "AWS::Lambda::Version",
        },
    ),
    "Function URL": Case({"Fn": function(FunctionUrlConfig={"AuthType": "NONE"})}, ALLOWED | {"AWS::Lambda::Url"}),
    "asynchronous destinations": Case(
        {"Fn": function(EventInvokeConfig={"DestinationConfig": {"OnFailure": {"Type": "SQS"}}})},
        FUNCTION | {"AWS::Lambda::EventInvokeConfig", "AWS::SQS::Queue"},
    ),
    "network": Case({"Fn": function(VpcConfig=NETWORK)}, FUNCTION),
    # ------------------------------------------------------------ events
    "Api": _event("Api", ALLOWED | REST, Path="/a", Method="get"),
    "HttpApi": _event("HttpApi", ALLOWED | HTTP),
    "SQS": _event("SQS", MAPPED, beside={"Q": QUEUE}, Queue={"Fn::GetAtt": "Q.Arn"}, BatchSize=5),
    "SNS": _event(
        "SNS", ALLOWED | {"AWS::SNS::Subscription"}, beside={"T": {"Type": "AWS::SNS::Topic"}}, Topic={"Ref": "T"}
    ),
    "SNS over SQS": _event(
        "SNS",
        MAPPED | {"AWS::SNS::Subscription", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy"},
        beside={"T": {"Type": "AWS::SNS::Topic"}},
        Topic={"Ref": "T"},
        SqsSubscription=True,
    ),
    "Kinesis": _event(
        "Kinesis",
        MAPPED,
        beside={"K": {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1}}},
        Stream={"Fn::GetAtt": "K.Arn"},
        StartingPosition="LATEST",
    ),
    "DynamoDB": _event(
        "DynamoDB", MAPPED, beside={"T": TABLE}, Stream={"Fn::GetAtt": "T.StreamArn"}, StartingPosition="LATEST"
    ),
    "S3": _event(
        "S3", ALLOWED, beside={"B": {"Type": "AWS::S3::Bucket"}}, Bucket={"Ref": "B"}, Events="s3:ObjectCreated:*"
    ),
    "Schedule": _event("Schedule", ALLOWED | {"AWS::Events::Rule"}, Schedule="rate(1 minute)"),
    "ScheduleV2": _event("ScheduleV2", FUNCTION | {"AWS::Scheduler::Schedule"}, ScheduleExpression="rate(1 minute)"),
    "EventBridgeRule": _event("EventBridgeRule", ALLOWED | {"AWS::Events::Rule"}, Pattern={"source": ["a"]}),
    "CloudWatchEvent": _event("CloudWatchEvent", ALLOWED | {"AWS::Events::Rule"}, Pattern={"source": ["a"]}),
    "CloudWatchLogs": _event(
        "CloudWatchLogs", ALLOWED | {"AWS::Logs::SubscriptionFilter"}, LogGroupName="g", FilterPattern=""
    ),
    "IoTRule": _event("IoTRule", ALLOWED | {"AWS::IoT::TopicRule"}, Sql="SELECT * FROM 'a'"),
    "AlexaSkill": _event("AlexaSkill", ALLOWED),
    "Cognito": _event(
        "Cognito",
        ALLOWED,
        beside={"P": {"Type": "AWS::Cognito::UserPool"}},
        UserPool={"Ref": "P"},
        Trigger="PreSignUp",
    ),
    "MSK": _event(
        "MSK",
        MAPPED,
        Stream="arn:aws:kafka:us-east-1:123456789012:cluster/c/1",
        StartingPosition="LATEST",
        Topics=["t"],
    ),
    "MQ": _event(
        "MQ",
        MAPPED,
        Broker="arn:aws:mq:us-east-1:123456789012:broker:b:b-1",
        Queues=["q"],
        SourceAccessConfigurations=ACCESS,
    ),
    "SelfManagedKafka": _event(
        "SelfManagedKafka",
        MAPPED,
        Topics=["t"],
        KafkaBootstrapServers=["k:9092"],
        SourceAccessConfigurations=[{**ACCESS[0], "Type": "SASL_SCRAM_512_AUTH"}],
    ),
    "DocumentDB": _event(
        "DocumentDB",
        MAPPED,
        Cluster="arn:aws:rds:us-east-1:123456789012:cluster:c",
        StartingPosition="LATEST",
        DatabaseName="d",
        SourceAccessConfigurations=ACCESS,
    ),
    "events of a state machine": _sam(
        "StateMachine",
        {"AWS::IAM::Role", "AWS::StepFunctions::StateMachine", "AWS::Events::Rule", "AWS::Scheduler::Schedule", *REST},
        Definition=PASS,
        Events={
            "Api": {"Type": "Api", "Properties": {"Path": "/a", "Method": "post"}},
            "Schedule": {"Type": "Schedule", "Properties": {"Schedule": "rate(1 day)"}},
            "ScheduleV2": {"Type": "ScheduleV2", "Properties": {"ScheduleExpression": "rate(1 day)"}},
            "Rule": {"Type": "EventBridgeRule", "Properties": {"Pattern": {"source": ["a"]}}},
        },
    ),
}
