"""Reads `x-amazon-apigateway-integration`: where a method leads and how its answer is made.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-integration.html
"""

from __future__ import annotations

import re
from typing import Final

from localcloud.gateway.definition import Integration, IntegrationResponse, Template
from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.mapping import check_expression, check_target
from localcloud.gateway.message import final_status
from localcloud.gateway.section import Section
from localcloud.gateway.vtl import VtlError, parse_template
from localcloud.matching import compile_pattern

__all__ = ["SERVED_SERVICES", "read_integration"]

SERVED_SERVICES: Final = (
    "cognito-idp",
    "dynamodb",
    "events",
    "kinesis",
    "kms",
    "lambda",
    "logs",
    "s3",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "states",
)
CONTENT: Final = ("CONVERT_TO_BINARY", "CONVERT_TO_TEXT")
MIN_TIMEOUT_MS: Final = 50
MAX_STREAM_TIMEOUT_MS: Final = (
    900_000  # https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html
)
MAX_TIMEOUT_MS: Final = 29_000  # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html

_KEYS: Final = frozenset(
    {
        "type",
        "httpMethod",
        "uri",
        "credentials",
        "passthroughBehavior",
        "requestTemplates",
        "requestParameters",
        "responses",
        "timeoutInMillis",
        "connectionType",
        "payloadFormatVersion",
        "responseTransferMode",
        "contentHandling",
        "cacheNamespace",  # these two name what a stage's cache would keep, and a stage with a cache is refused
        "cacheKeyParameters",
    }
)
_KINDS: Final = ("aws", "aws_proxy", "http", "http_proxy", "mock")
_RESPONSE_KEYS: Final = frozenset({"statusCode", "responseParameters", "responseTemplates", "contentHandling"})
_LAMBDA_URI: Final = re.compile(
    r"arn:[\w-]+:apigateway:[\w-]+:lambda:path//?2015-03-31/functions/(arn:[^/]+)/invocations"
)
_STREAMING_URI: Final = re.compile(
    r"arn:[\w-]+:apigateway:[\w-]+:lambda:path//?2021-11-15/functions/(arn:[^/]+)/response-streaming-invocations"
)
_SERVICE_URI: Final = re.compile(r"arn:[\w-]+:apigateway:([\w-]+):([\w.-]+):(path|action)/(.*)")
_HTTP_URI: Final = re.compile(r"https?://[^\s/?#]+(?:[/?#]\S*)?")


def read_integration(section: Section) -> Integration:
    """The integration. Raises DefinitionError."""
    section.refuse_unknown(_KEYS)
    section.refuse_unless("connectionType", "INTERNET")
    section.refuse_unless("responseTransferMode", "BUFFERED", "STREAM")
    section.refuse_unless("payloadFormatVersion", "1.0")
    section.refuse_unless("contentHandling", *CONTENT)
    kind = section.text("type").lower()
    if kind not in _KINDS:
        raise section.error("type", f"{kind!r} is no type of integration ({', '.join(_KINDS)})")
    if kind == "aws" and _LAMBDA_URI.fullmatch(section.text("uri")):
        kind = "lambda"
    passthrough = section.text("passthroughBehavior", "when_no_match").lower()
    if passthrough not in {"never", "when_no_match", "when_no_templates"}:
        raise section.error("passthroughBehavior", f"{passthrough!r} is not a behaviour")
    integration = Integration(
        kind=kind,
        method=section.text("httpMethod").upper(),
        uri=_read_uri(section, kind),
        credentials=section.text("credentials"),
        passthrough=passthrough,
        parameters=_read_parameters(section),
        templates=read_templates(section, "requestTemplates"),
        responses=_read_responses(section),
        timeout_s=_read_timeout(section),
        streams=_streams(section),
        content=section.text("contentHandling"),
    )
    _check_kind(section, integration)
    return integration


def _streams(section: Section) -> bool:
    return section.text("responseTransferMode", "BUFFERED") == "STREAM"


def _read_timeout(section: Section) -> float:
    timeout_ms = section.whole("timeoutInMillis", MAX_TIMEOUT_MS)
    highest_ms = MAX_STREAM_TIMEOUT_MS if _streams(section) else MAX_TIMEOUT_MS
    if not MIN_TIMEOUT_MS <= timeout_ms <= highest_ms:
        raise section.error("timeoutInMillis", f"must be {MIN_TIMEOUT_MS} to {highest_ms} ms")
    return timeout_ms / 1000


def _read_uri(section: Section, kind: str) -> str:
    uri = section.text("uri")
    if kind == "mock":
        return ""
    if kind in {"http", "http_proxy"}:
        if _HTTP_URI.fullmatch(uri) is None:
            raise section.error("uri", f"{uri!r} is not an HTTP address")
        return uri
    if kind in {"aws_proxy", "lambda"}:
        streams = _streams(section)
        found = (_STREAMING_URI if streams else _LAMBDA_URI).fullmatch(uri)
        if found is None:
            raise section.error("uri", f"{uri!r} is not a {'streaming' if streams else 'buffered'} Lambda invocation")
        return found[1]
    found = _SERVICE_URI.fullmatch(uri)
    if found is None:
        raise section.error("uri", f"{uri!r} is not an AWS service's")
    if found[2] not in SERVED_SERVICES:
        raise section.error("uri", f"the service {found[2]!r} is not served here (only {', '.join(SERVED_SERVICES)})")
    return uri


def _check_kind(section: Section, integration: Integration) -> None:
    kind, credentials = integration.kind, integration.credentials
    if kind in {"aws_proxy", "lambda"} and integration.method != "POST":
        raise section.error("httpMethod", "must be POST for a Lambda function")
    if kind == "aws_proxy" and integration.parameters:
        raise section.error("requestParameters", "has no effect on a Lambda proxy integration")
    if kind == "aws_proxy" and integration.streams and credentials:
        raise section.error("credentials", "is not served here for a streamed response")
    if integration.streams and kind != "aws_proxy":
        raise section.error("responseTransferMode", "STREAM is served here for functions only")
    if kind != "mock" and not integration.method:
        raise section.error("httpMethod", "is missing")
    if kind == "aws" and not credentials:
        raise section.error("credentials", "is missing: API Gateway needs a role to call the service")
    if credentials and kind in {"http", "http_proxy", "mock"}:
        raise section.error("credentials", f"is for AWS services; {kind} integrations have no role")


def _read_parameters(section: Section) -> dict[str, str]:
    parameters = section.texts("requestParameters")
    where = section.at("requestParameters")
    for target, expression in parameters.items():
        check_target(target, "integration.request", where=where)
        check_expression(expression, "method.request", where=f"{where}.{target}")
    return parameters


def read_templates(section: Section, key: str) -> dict[str, Template]:
    """Mapping templates by content type, lower case. Raises DefinitionError naming the template's line."""
    templates: dict[str, Template] = {}
    for content_type, text in section.texts(key).items():
        try:
            templates[content_type.lower()] = Template(text, parse_template(text))
        except VtlError as error:
            raise DefinitionError(str(error), where=f"{section.at(key)}.{content_type}") from error
    return templates


def _read_responses(section: Section) -> tuple[IntegrationResponse, ...]:
    return tuple(_read_response(pattern, part) for pattern, part in section.section("responses").sections())


def _read_response(pattern: str, section: Section) -> IntegrationResponse:
    section.refuse_unknown(_RESPONSE_KEYS)
    section.refuse_unless("contentHandling", *CONTENT)
    status = final_status(section.values.get("statusCode"))
    if status is None:
        raise section.error("statusCode", "must be a status from 200 to 599; 1xx cannot end an exchange")
    try:
        selection = None if pattern == "default" else compile_pattern(pattern)
    except ValueError as error:
        raise DefinitionError(str(error), where=section.where) from error
    parameters = section.texts("responseParameters")
    where = section.at("responseParameters")
    for target, expression in parameters.items():
        check_target(target, "method.response", where=where)
        check_expression(expression, "integration.response", where=f"{where}.{target}")
    templates = read_templates(section, "responseTemplates")
    return IntegrationResponse(selection, status, parameters, templates, section.text("contentHandling"))
