"""The AWS managed policies that SAM attaches, and any other from moto's list when it is asked for.

Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from localcloud.services.iam.errors import NoSuchEntity
from localcloud.services.iam.policy import Document, parse_document

__all__ = ["SAM_POLICIES", "read_managed_policy"]

_LOGS: Final = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
_TRACES: Final = (
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:GetSamplingStatisticSummaries",
)
_NETWORK: Final = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)

SAM_POLICIES: Final[Mapping[str, tuple[str, ...]]] = {
    "AWSXRayDaemonWriteAccess": _TRACES,
    "AWSXrayWriteOnlyAccess": _TRACES,
    "service-role/AWSLambdaBasicExecutionRole": _LOGS,
    "service-role/AWSLambdaDynamoDBExecutionRole": (
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
        *_LOGS,
    ),
    "service-role/AWSLambdaKinesisExecutionRole": (
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
        "kinesis:ListStreams",
        "kinesis:SubscribeToShard",
        *_LOGS,
    ),
    "service-role/AWSLambdaRole": ("lambda:InvokeFunction",),
    "service-role/AWSLambdaSQSQueueExecutionRole": (
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        *_LOGS,
    ),
    "service-role/AWSLambdaVPCAccessExecutionRole": (*_LOGS, *_NETWORK),
    "service-role/AmazonAPIGatewayPushToCloudWatchLogs": (
        *_LOGS,
        "logs:DescribeLogGroups",
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "logs:FilterLogEvents",
    ),
}
"""Path and name -> the actions that are allowed on every resource: these policies have one such statement each."""


@lru_cache(maxsize=64)
def read_managed_policy(arn: str) -> Document:
    """The document of `arn:<partition>:iam::aws:policy/<path><name>`. Raises NoSuchEntity.

    A policy that SAM does not attach comes from moto's list, which takes half a second to load the first time.
    """
    _, found, place = arn.partition(":iam::aws:policy/")
    if not found:
        raise NoSuchEntity(f"Policy {arn} does not exist or is not attachable.")
    if place in SAM_POLICIES:
        statement = {"Effect": "Allow", "Action": list(SAM_POLICIES[place]), "Resource": "*"}
        return parse_document({"Version": "2012-10-17", "Statement": [statement]}, name=place.rpartition("/")[2])
    path, _, name = f"/{place}".rpartition("/")
    entry = _read_delegated().get(name)
    if entry is None or entry["Path"] != f"{path}/":
        raise NoSuchEntity(f"Policy {arn} does not exist or is not attachable.")
    return parse_document(cast("dict[str, Any]", entry["Document"]), name=name)


@lru_cache(maxsize=1)
def _read_delegated() -> dict[str, dict[str, Any]]:
    from moto.iam.aws_managed_policies import aws_managed_policies_data  # noqa: PLC0415 - 5 MB, rarely needed

    return cast("dict[str, dict[str, Any]]", json.loads(aws_managed_policies_data))
