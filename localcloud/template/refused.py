"""Why resource types that nobody serves are refused: a sentence for each of those that people write most.

A type of the table that has a handler is served all the same: this is asked only where there is none. Knows no service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["REASONS", "SERVICES", "reason_of"]

_NETWORK: Final = "there are no networks here: functions run on this machine and reach what it reaches"
_MACHINES: Final = "there are no machines and containers here, functions alone run"
_SQL: Final = "there are no SQL databases here; run one beside this, and give its address in a parameter"
_CACHE: Final = "there are no caches here; run one beside this, and give its address in a parameter"
_EDGE: Final = "there is no edge in front of the endpoints here: call them directly"
_DELIVERY: Final = "code is not built, delivered or deployed gradually here: what is in the folder runs"
_ACCOUNT: Final = "there is no account to watch or to govern here"
_DATA: Final = "no jobs over large data run here"
_MAIL: Final = "nothing here sends mail or messages to people"
_GRAPHQL: Final = "GraphQL APIs are not served here, Event APIs (AWS::AppSync::Api) are"
_DEVICES: Final = "there is no broker of devices here"

REASONS: Final[Mapping[str, str]] = {
    "AWS::AppSync::ApiKey": _GRAPHQL,
    "AWS::AppSync::DataSource": _GRAPHQL,
    "AWS::AppSync::FunctionConfiguration": _GRAPHQL,
    "AWS::AppSync::GraphQLApi": _GRAPHQL,
    "AWS::AppSync::GraphQLSchema": _GRAPHQL,
    "AWS::AppSync::Resolver": _GRAPHQL,
    "AWS::CloudFormation::Macro": "macros are not run here: give the template as it is after them",
    "AWS::CloudFormation::StackSet": "there is one account here, and Regions by --regions",
    "AWS::CloudFormation::WaitCondition": "signals are not waited for here",
    "AWS::CloudWatch::AnomalyDetector": "anomalies are not learnt here; alarms on thresholds are served",
    "AWS::CloudWatch::Dashboard": "there are no dashboards here; the console shows what runs",
    "AWS::CloudWatch::InsightRule": "contributor insights are not computed here",
    "AWS::CloudWatch::MetricStream": "metrics are streamed to nobody here",
    "AWS::Events::Connection": "API destinations, which connections are for, are not called here",
    "AWS::IAM::AccessKey": "keys are issued to functions alone; any other key is the account's root user here",
    "AWS::IAM::Group": "callers here are functions' roles and the account's root user; there are no groups",
    "AWS::IAM::InstanceProfile": "there are no machines here that could have a profile",
    "AWS::IAM::OIDCProvider": "no identity of another provider takes a role here",
    "AWS::IAM::ServiceLinkedRole": "services need no roles of their own here; leave it out",
    "AWS::IAM::User": "callers here are functions' roles and the account's root user; there are no users",
    "AWS::Lambda::CapacityProvider": "there are no managed instances here: functions run on demand on this machine",
    "AWS::Lambda::CodeSigningConfig": "code is run from its folder, which nobody signs",
    "AWS::Lambda::MicrovmImage": "there are no micro virtual machines here: functions run as processes",
    "AWS::Lambda::NetworkConnector": _NETWORK,
    "AWS::Lambda::WebFunction": "web functions are not served here; a function with a Function URL is",
    "AWS::Lambda::WebFunctionEndpoint": "web functions are not served here; a function with a Function URL is",
    "AWS::Lambda::WebFunctionRevision": "web functions are not served here; a function with a Function URL is",
    "AWS::Logs::MetricFilter": "no metrics are made from log lines here; embedded metrics (EMF) are",
    "AWS::Logs::SubscriptionFilter": "log lines are sent to nobody here; read them by `sluiceway logs`",
    "AWS::SSM::Association": "there are no machines here to manage",
    "AWS::SSM::Document": "there are no machines here to manage",
    "AWS::SSM::MaintenanceWindow": "there are no machines here to manage",
    "AWS::SecretsManager::RotationSchedule": "secrets are not rotated here; change them by PutSecretValue",
    "AWS::ServerlessRepo::Application": "applications of the Serverless Application Repository cannot be fetched here",
}
"""By type."""

SERVICES: Final[Mapping[str, str]] = {
    "ACMPCA": "there is no certificate authority here; endpoints on this machine speak plain HTTP",
    "AmazonMQ": "there are no message brokers but SQS, SNS, EventBridge and Kinesis here",
    "Amplify": _DELIVERY,
    "ApiGatewayV2": "this part of API Gateway is not served here",
    "AppConfig": "there is no configuration service here but the Parameter Store; give values in environment variables",
    "AppMesh": _NETWORK,
    "AppRunner": _MACHINES,
    "ApplicationAutoScaling": "capacity is not scaled by policies here; tables and functions take what comes",
    "ApplicationInsights": _ACCOUNT,
    "Athena": _DATA,
    "AutoScaling": _MACHINES,
    "Backup": "nothing is backed up here; --persist keeps tables, queues and buckets",
    "Batch": _MACHINES,
    "Bedrock": "of Bedrock the runtime is served here (`--model`); agents, knowledge bases and guardrails are not",
    "Budgets": _ACCOUNT,
    "CE": _ACCOUNT,
    "Cassandra": "there is no Keyspaces here; DynamoDB is served",
    "CertificateManager": "endpoints on this machine speak plain HTTP, so there are no certificates to issue",
    "Chatbot": _MAIL,
    "CloudFront": _EDGE,
    "CloudTrail": "calls are recorded in calls.jsonl of the state folder, there are no trails",
    "CodeArtifact": _DELIVERY,
    "CodeBuild": _DELIVERY,
    "CodeCommit": _DELIVERY,
    "CodeConnections": _DELIVERY,
    "CodePipeline": _DELIVERY,
    "CodeStarConnections": _DELIVERY,
    "CodeStarNotifications": _DELIVERY,
    "Cognito": "this part of Cognito is not served here; `sluiceway token` gives tokens of a local issuer",
    "Comprehend": "there are no managed models here but Bedrock's runtime",
    "Config": _ACCOUNT,
    "DAX": _CACHE,
    "DMS": _SQL,
    "DSQL": _SQL,
    "DocDB": "there is no DocumentDB here; run a MongoDB beside this, and give its address in a parameter",
    "EC2": _NETWORK,
    "ECR": _MACHINES,
    "ECS": _MACHINES,
    "EFS": "there are no file systems to mount here; functions have /tmp",
    "EKS": _MACHINES,
    "EMR": _DATA,
    "ElastiCache": _CACHE,
    "ElasticLoadBalancing": _NETWORK,
    "ElasticLoadBalancingV2": "there are no load balancers here; HTTP APIs and Function URLs are served",
    "Elasticsearch": "there is no search cluster here; run one beside this, and give its address in a parameter",
    "FIS": "faults are injected here by `sluiceway chaos`",
    "GlobalAccelerator": _EDGE,
    "GuardDuty": _ACCOUNT,
    "Greengrass": _DEVICES,
    "ImageBuilder": _MACHINES,
    "IoT": _DEVICES,
    "IoTEvents": _DEVICES,
    "IoTSiteWise": _DEVICES,
    "KinesisAnalytics": _DATA,
    "KinesisAnalyticsV2": _DATA,
    "KinesisFirehose": "there is no Firehose here; a function on the stream can write to S3",
    "LakeFormation": _DATA,
    "Lex": "there are no bots here; a function that serves one can be invoked with its events",
    "Location": "there is no location service here",
    "MSK": "there is no Kafka here; run one beside this, and give its address in a parameter",
    "MemoryDB": _CACHE,
    "Neptune": "there is no graph database here",
    "NetworkFirewall": _NETWORK,
    "OpenSearchServerless": "there is no search cluster here; run one beside this, and give its address in a parameter",
    "OpenSearchService": "there is no search cluster here; run one beside this, and give its address in a parameter",
    "Organizations": _ACCOUNT,
    "Pinpoint": _MAIL,
    "QuickSight": _DATA,
    "RAM": "there is one account here, with which nothing is shared",
    "RDS": _SQL,
    "Redshift": _SQL,
    "RedshiftServerless": _SQL,
    "ResourceGroups": _ACCOUNT,
    "S3Express": "directory buckets are not served here, general ones (AWS::S3::Bucket) are",
    "S3ObjectLambda": "objects are not rewritten on their way here",
    "S3Tables": _DATA,
    "SES": _MAIL,
    "SageMaker": "there are no managed models here but Bedrock's runtime",
    "Scheduler": "schedules of EventBridge Scheduler are not served here; rules with a schedule are",
    "SecurityHub": _ACCOUNT,
    "ServiceCatalog": _ACCOUNT,
    "ServiceCatalogAppRegistry": "stacks are not registered as applications here",
    "ServiceDiscovery": _NETWORK,
    "Shield": _EDGE,
    "Synthetics": "no canaries run here",
    "Timestream": "there is no time-series database here",
    "Transfer": _MACHINES,
    "VpcLattice": _NETWORK,
    "WAF": _EDGE,
    "WAFRegional": _EDGE,
    "WAFv2": _EDGE,
    "Wisdom": _MAIL,
    "XRay": "traces are kept in the console here: there are no groups, sampling rules or insights",
}
"""By the service in the middle of a type's name."""


def reason_of(resource_type: str) -> str:
    """Why a type without a handler is refused: a sentence, without a full stop."""
    parts = resource_type.split("::")
    reason = REASONS.get(resource_type)
    if reason is None and len(parts) == 3 and parts[0] == "AWS":
        reason = SERVICES.get(parts[1])
    if reason is None and len(parts) == 3 and parts[0] not in ("AWS", "Alexa"):
        return f"{resource_type} is not served here"
    return reason or f"{resource_type} is not served here"
