"""Reads the parts of a WebSocket API out of CloudFormation's properties. What only HTTP APIs have is an error.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

import re
from typing import Final

from localcloud.gateway.definition import Authorizer, Template
from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.mapping import check_expression, check_target
from localcloud.gateway.vtl import VtlError, parse_template
from localcloud.gateway.websocket.definition import CONNECT, Integration, IntegrationResponse, Route
from localcloud.gateway.websocket.integrations import SERVED_SERVICES
from localcloud.gateway.websocket.selection import DEFAULT, Selection, parse_selection
from localcloud.matching import compile_pattern
from localcloud.template.properties import Properties

__all__ = [
    "read_authorizer",
    "read_integration",
    "read_response",
    "read_route",
    "read_selection",
    "refuse_for_websocket",
]

MAX_TEMPLATE_BYTES: Final = 300 * 1024  # maximum mapping template size, the WebSocket quotas page

_LAMBDA_URI: Final = re.compile(
    r"arn:[\w-]+:apigateway:[\w-]+:lambda:path/2015-03-31/functions/(arn:[^/]+)/invocations"
)
_SERVICE_URI: Final = re.compile(r"arn:[\w-]+:apigateway:[\w-]+:([\w.-]+):(?:path|action)/.*", re.DOTALL)
_RESPONSE_KEY: Final = re.compile(r"/(.+)/")
_PASSTHROUGHS: Final = ("NEVER", "WHEN_NO_MATCH", "WHEN_NO_TEMPLATES")
_REQUEST: Final = "route.request"


def refuse_for_websocket(read: Properties, *names: str) -> None:
    """Raise TemplateError for a property that WebSocket APIs do not have."""
    for name in names:
        if name in read:
            raise read.error(name, "is for HTTP APIs only")


def read_selection(read: Properties, name: str, variables: tuple[str, ...]) -> Selection | None:
    """A selection expression, None where there is none. Raises TemplateError."""
    if name not in read:
        return None
    try:
        return parse_selection(read.text(name), variables=variables)
    except ValueError as error:
        raise read.error(name, str(error)) from error


def read_route(read: Properties, route_id: str) -> Route:
    """A route. Raises TemplateError."""
    refuse_for_websocket(read, "AuthorizationScopes")
    key, target = read.text("RouteKey"), read.text("Target", "")
    if target and not target.startswith("integrations/"):
        raise read.error("Target", f"must be integrations/<id>, is {target!r}")
    kind = read.choice("AuthorizationType", ("NONE", "CUSTOM"), "NONE")
    if kind == "CUSTOM" and key != CONNECT:
        raise read.error("AuthorizationType", f"only {CONNECT} may have an authorizer")
    if kind == "CUSTOM" and "AuthorizerId" not in read:
        raise read.error("AuthorizerId", "is required")
    return Route(
        id=route_id,
        key=key,
        integration_id=target.removeprefix("integrations/"),
        authorizer_id=read.text("AuthorizerId") if kind == "CUSTOM" else "",
        answers=read.text("RouteResponseSelectionExpression", "").lstrip("\\") == DEFAULT,
    )


def read_authorizer(read: Properties, authorizer_id: str) -> Authorizer:
    """A Lambda authorizer. Raises TemplateError."""
    read.choice("AuthorizerType", ("REQUEST",))
    refuse_for_websocket(read, "AuthorizerPayloadFormatVersion", "EnableSimpleResponses", "JwtConfiguration")
    if read.integer("AuthorizerResultTtlInSeconds", 0):
        raise read.error("AuthorizerResultTtlInSeconds", "must be 0: WebSocket APIs keep no results")
    found = _LAMBDA_URI.fullmatch(read.text("AuthorizerUri"))
    if found is None:
        raise read.error("AuthorizerUri", "is not a Lambda invocation")
    sources = read.texts("IdentitySource")
    for index, source in enumerate(sources):
        try:
            check_expression(source, _REQUEST, where=f"IdentitySource[{index}]")
        except DefinitionError as error:
            raise read.error(error.where, error.detail) from error
    return Authorizer(read.text("Name"), authorizer_id, "request", found[1], tuple(sources), ttl_s=0)


def read_integration(read: Properties, integration_id: str) -> Integration:
    """An integration. Raises TemplateError."""
    refuse_for_websocket(read, "IntegrationSubtype", "ResponseParameters")
    read.choice("PayloadFormatVersion", ("1.0", "1"), "1.0")  # without quotes it is a number, which loses its .0
    kind = read.choice("IntegrationType", ("AWS", "AWS_PROXY", "MOCK")).lower()
    integration = Integration(
        id=integration_id,
        kind=kind,
        method=read.text("IntegrationMethod", "POST").upper(),
        uri=_read_uri(read, kind),
        credentials=read.text("CredentialsArn", ""),
        passthrough=read.choice("PassthroughBehavior", _PASSTHROUGHS, "WHEN_NO_MATCH").lower(),
        parameters=_read_parameters(read),
        templates=_read_templates(read, "RequestTemplates"),
        template_selection=read_selection(read, "TemplateSelectionExpression", ("request.body", "stageVariables")),
        timeout_s=read.integer("TimeoutInMillis", 29_000, low=50, high=29_000) / 1000,
    )
    _check_kind(read, integration)
    return integration


def _read_uri(read: Properties, kind: str) -> str:
    if kind == "mock":
        return ""
    uri = read.text("IntegrationUri")
    if kind == "aws_proxy":
        found = _LAMBDA_URI.fullmatch(uri)
        if found is None:
            raise read.error("IntegrationUri", f"{uri!r} is not a Lambda invocation")
        return found[1]
    found = _SERVICE_URI.fullmatch(uri)
    if found is None:
        raise read.error("IntegrationUri", f"{uri!r} is not an AWS service's")
    if found[1] not in SERVED_SERVICES:
        served = ", ".join(SERVED_SERVICES)
        raise read.error("IntegrationUri", f"the service {found[1]!r} is not served here (only {served})")
    return uri


def _read_parameters(read: Properties) -> dict[str, str]:
    given = read.text_map("RequestParameters")
    for target, expression in given.items():
        try:
            check_target(target, "integration.request", where="RequestParameters")
            check_expression(expression, _REQUEST, where=f"RequestParameters.{target}")
        except DefinitionError as error:
            raise read.error(error.where, error.detail) from error
        if target.startswith("integration.request.path."):
            raise read.error(f"RequestParameters.{target}", "paths are not mapped here")
    return given


def _read_templates(read: Properties, name: str) -> dict[str, Template]:
    templates: dict[str, Template] = {}
    for key, text in read.text_map(name).items():
        if len(text.encode()) > MAX_TEMPLATE_BYTES:
            raise read.error(f"{name}.{key}", "is over 300 KB")
        try:
            templates[key.lstrip("\\")] = Template(text, parse_template(text))
        except VtlError as error:
            raise read.error(f"{name}.{key}", str(error)) from error
    return templates


def _check_kind(read: Properties, integration: Integration) -> None:
    if integration.kind == "aws_proxy":
        for name in ("CredentialsArn", "RequestParameters", "RequestTemplates"):
            if name in read:
                raise read.error(name, "is not served here for a proxy integration")
        if integration.method != "POST":
            raise read.error("IntegrationMethod", "must be POST for a Lambda function")
    if integration.kind == "aws" and not integration.credentials:
        raise read.error("CredentialsArn", "is missing: API Gateway needs a role to call the service")


def read_response(read: Properties) -> IntegrationResponse:
    """How an answer becomes a message. Raises TemplateError."""
    key = read.text("IntegrationResponseKey").lstrip("\\")
    pattern = None
    if key != DEFAULT:
        found = _RESPONSE_KEY.fullmatch(key)
        if found is None:
            raise read.error("IntegrationResponseKey", f"must be {DEFAULT} or /expression/, is {key!r}")
        try:
            pattern = compile_pattern(found[1])
        except ValueError as error:
            raise read.error("IntegrationResponseKey", str(error)) from error
    return IntegrationResponse(
        integration_id=read.text("IntegrationId"),
        status=pattern,
        templates=_read_templates(read, "ResponseTemplates"),
        template_selection=read_selection(read, "TemplateSelectionExpression", ("request.body", "stageVariables")),
    )
