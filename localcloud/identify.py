"""Which AWS API a request is for, and whose key signed it. Pure.

The credential scope of the signature says so, in the header or in a presigned query. Unsigned requests are still named,
for a refusal that helps. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

__all__ = ["Scope", "guess_service", "read_scope"]

_CREDENTIAL: Final = re.compile(r"Credential=([^,\s]+)")
_TARGETS: Final = {
    "AWSCognitoIdentityProviderService": "cognito-idp",
    "AWSEvents": "events",
    "AWSStepFunctions": "states",
    "AmazonSQS": "sqs",
    "AmazonSSM": "ssm",
    "DynamoDBStreams_20120810": "dynamodb",
    "DynamoDB_20120810": "dynamodb",
    "GraniteServiceVersion20100801": "monitoring",
    "Kinesis_20131202": "kinesis",
    "Logs_20140328": "logs",
    "TrentService": "kms",
    "secretsmanager": "secretsmanager",
}
_PATHS: Final = (
    (re.compile(r"/[a-z]{2}(-[a-z]+)+-\d_[0-9A-Za-z]+/\.well-known/"), "cognito-idp"),
    (re.compile(r"/20\d\d-\d\d-\d\d/(functions|event-source-mappings|layers|tags)\b"), "lambda"),
    (re.compile(r"/model/"), "bedrock"),
    (re.compile(r"(/[a-z0-9]{26})?/event$"), "appsync"),
    (re.compile(r"(/[^/]+){0,2}/(@|%40)connections/"), "execute-api"),
    (re.compile(r"/\d{12}/[A-Za-z0-9_.-]+$"), "sqs"),
)
_AGENT: Final = re.compile(r"\bapi/([a-z0-9-]+)[#/]")


@dataclass(frozen=True, slots=True)
class Scope:
    """Who signed, for where. `service` is the signing name."""

    access_key: str
    region: str
    service: str


def read_scope(headers: Mapping[str, str], query: str) -> Scope | None:
    """The credential scope of a signed request; None where it is not signed.

    Signature Version 2, which SDKs still make for presigned S3 URLs, names no Region: those count as us-east-1.
    """
    credential = ""
    authorization = headers.get("authorization", "")
    if authorization.startswith("AWS4-HMAC-SHA256"):
        found = _CREDENTIAL.search(authorization)
        credential = found[1] if found else ""
    elif "X-Amz-Credential=" in query:
        credential = parse_qs(query).get("X-Amz-Credential", [""])[0]
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        return _read_version_2(authorization, query)
    access_key, _, region, service, _ = parts
    return Scope(access_key, region, service)


def _read_version_2(authorization: str, query: str) -> Scope | None:
    found = re.match(r"AWS ([^:]+):", authorization) or re.search(r"(?:^|&)AWSAccessKeyId=([^&]+)", query)
    return Scope(found[1], "us-east-1", "s3") if found else None


def guess_service(headers: Mapping[str, str], path: str) -> str:
    """What an unsigned request seems to be for, "" where nothing tells."""
    target = headers.get("x-amz-target", "").partition(".")[0]
    if target in _TARGETS:
        return _TARGETS[target]
    for pattern, service in _PATHS:
        if pattern.match(path):
            return service
    host = re.match(r"([a-z0-9-]+)\.[a-z0-9-]+\.amazonaws\.com", headers.get("host", ""))
    if host:
        return host[1]
    if re.match(r"[a-z0-9]+\.appsync-api\.", headers.get("host", "")):
        return "appsync"
    agent = _AGENT.search(headers.get("user-agent", ""))
    return agent[1].replace("-runtime", "") if agent else ""
