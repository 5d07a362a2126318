"""What a route leads to: a function, an AWS service through mapping templates, or nothing (mock).

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-requests.html
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlencode

from localcloud.gateway.definition import Template
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.mapping import evaluate_expression, split_target
from localcloud.gateway.message import final_status
from localcloud.gateway.ports import FunctionUnavailableError
from localcloud.gateway.rest import Backends
from localcloud.gateway.variables import InputVariable, UtilVariable
from localcloud.gateway.vtl import VtlError, as_text, render
from localcloud.gateway.websocket.definition import Integration, IntegrationResponse, Route
from localcloud.gateway.websocket.exchange import Exchange
from localcloud.gateway.websocket.selection import DEFAULT, Selection
from localcloud.json_text import parse_json
from localcloud.services.contract import WireRequest, WireResponse

__all__ = ["SERVED_SERVICES", "Answer", "call_integration"]

SERVED_SERVICES: Final[Mapping[str, str]] = {
    "dynamodb": "DynamoDB_20120810",
    "sqs": "AmazonSQS",
}  # X-Amz-Target's start
_LOG: Final = logging.getLogger(__name__)
_URI: Final = re.compile(r"arn:[\w-]+:apigateway:([\w-]+):([\w.-]+):(path|action)/(.*)", re.DOTALL)
_STAGE_VARIABLE: Final = re.compile(r"\$\{stageVariables\.(\w+)\}")
_CONTENT_TYPE: Final = "application/json"  # what every message counts as


@dataclass(frozen=True, slots=True)
class Answer:
    """What an integration said: the status decides on `$connect`, the body goes back where the route is two-way."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


async def call_integration(exchange: Exchange, route: Route, backends: Backends) -> Answer:
    """Call what `route` leads to, within its time. Raises GatewayError."""
    integration = exchange.api.integrations.get(route.integration_id)
    if integration is None:
        raise GatewayError("API_CONFIGURATION_ERROR", reason=f"the route {route.key} has no integration")
    try:
        async with asyncio.timeout(integration.timeout_s):
            if integration.kind == "aws_proxy":
                return await _call_function(exchange, integration, backends)
            return await _call_service(exchange, route, integration, backends=backends)
    except TimeoutError as error:
        raise GatewayError("INTEGRATION_TIMEOUT", reason=f"{route.key}: {integration.uri} took too long") from error


# ---- functions


async def _call_function(exchange: Exchange, integration: Integration, backends: Backends) -> Answer:
    arn, source = integration.uri, exchange.route_arn()
    if not backends.functions.may_invoke(arn, source_arn=source):
        reason = f"{arn} has no permission for {source} (Invalid permissions on Lambda function)"
        raise GatewayError("DEFAULT_5XX", reason=reason)
    payload = json.dumps(exchange.event(), ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        reply = await backends.functions.invoke(arn, payload, trace_header=exchange.trace_id)
    except FunctionUnavailableError as error:
        raise GatewayError("DEFAULT_5XX", reason=f"{arn}: {error}") from error
    if reply.error:
        raise _malformed(f"{arn} failed ({reply.error})")
    return _read_reply(arn, reply.payload)


def _malformed(reason: str) -> GatewayError:
    return GatewayError("DEFAULT_5XX", status=502, reason=reason)


def _read_reply(arn: str, payload: bytes) -> Answer:
    try:
        reply = parse_json(payload)
    except ValueError as error:
        raise _malformed(f"{arn}: the reply is not JSON") from error
    if not isinstance(reply, dict):
        raise _malformed(f"{arn}: the reply is not an object")
    parts = cast("dict[str, Any]", reply)
    status = final_status(parts.get("statusCode", 200))
    if status is None:
        raise _malformed(f"{arn}: statusCode is not 200 to 599")
    headers: object = parts.get("headers") or {}
    if not isinstance(headers, dict):
        raise _malformed(f"{arn}: headers are not an object")
    given = {name.lower(): as_text(value) for name, value in cast("dict[str, Any]", headers).items()}
    return Answer(status, _read_body(arn, parts), given)


def _read_body(arn: str, parts: Mapping[str, Any]) -> bytes:
    body = parts.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise _malformed(f"{arn}: body is not a string")
    if parts.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise _malformed(f"{arn}: body is not base64") from error


# ---- services


async def _call_service(exchange: Exchange, route: Route, integration: Integration, *, backends: Backends) -> Answer:
    context = exchange.context()
    body = _request_body(exchange, integration, context)
    if integration.kind == "mock":
        status, raw = _mock_status(body), b""
    else:
        response = await backends.dispatch(_wire_request(exchange, integration, body=body, backends=backends))
        status, raw = response.status, await _read_all(response)
        if status >= 400:  # the client of a one-way route is told nothing, as on AWS
            _LOG.warning("websocket.service_refused route=%s uri=%s status=%s", route.key, integration.uri, status)
    if not exchange.api.is_two_way(route):
        return Answer(200)
    chosen = _choose(exchange, integration, status)
    template = _pick(exchange, chosen.templates, chosen.template_selection)
    if template is None:
        return Answer(200, raw)
    text = _render(exchange, template, body=raw.decode("utf-8", "replace"), context=context)
    return Answer(200, text.encode("utf-8", "replace"))


def _request_body(exchange: Exchange, integration: Integration, context: dict[str, Any]) -> str:
    template = _pick(exchange, integration.templates, integration.template_selection)
    if template is not None:
        return _render(exchange, template, body=exchange.body or "", context=context)
    refuses = integration.passthrough == "never" or (
        integration.passthrough == "when_no_templates" and integration.templates
    )
    if refuses:
        raise GatewayError("UNSUPPORTED_MEDIA_TYPE", reason=f"{exchange.route_key}: no template is selected")
    return exchange.body or ""


def _pick(exchange: Exchange, templates: Mapping[str, Template], selection: Selection | None) -> Template | None:
    """The template of the selected key, else the `$default` one, else the one for JSON."""
    selected = selection.evaluate(exchange.look_up) if selection is not None else ""
    return next((templates[key] for key in (selected, DEFAULT, _CONTENT_TYPE) if key in templates), None)


def _render(exchange: Exchange, template: Template, *, body: str, context: dict[str, Any]) -> str:
    headers = {name: values[-1] for name, values in exchange.headers.items()}
    query = {name: values[-1] for name, values in exchange.query.items()}
    variables = {
        "context": context,
        "input": InputVariable(body, {"querystring": query, "header": headers}),
        "stageVariables": dict(exchange.stage.variables),
        "util": UtilVariable(),
    }
    try:
        return render(template.block, variables)
    except VtlError as error:
        raise GatewayError("API_CONFIGURATION_ERROR", reason=f"mapping template: {error}") from error


def _mock_status(text: str) -> int:
    try:
        return int(cast("Any", parse_json(text))["statusCode"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise GatewayError("API_CONFIGURATION_ERROR", reason="a mock template gives no statusCode") from error


def _wire_request(exchange: Exchange, integration: Integration, *, body: str, backends: Backends) -> WireRequest:
    uri = _STAGE_VARIABLE.sub(lambda found: exchange.stage.variables.get(found[1], ""), integration.uri)
    found = _URI.fullmatch(uri)
    if found is None:
        raise GatewayError("API_CONFIGURATION_ERROR", reason=f"{uri!r} is not an AWS service's")
    region, service, kind, rest = found.groups()
    headers, query = _mapped_parameters(exchange, integration)
    if kind == "action" and service == "sqs":
        query["Action"] = [rest]
    elif kind == "action":
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"{SERVED_SERVICES.get(service, '')}.{rest}",
        } | headers
    try:
        access_key = backends.roles.assume(integration.credentials)
    except LookupError as error:
        reason = f"API Gateway may not assume {integration.credentials}: {error}"
        raise GatewayError("API_CONFIGURATION_ERROR", reason=reason) from error
    host = {"host": f"{service}.{region}.amazonaws.com", "x-amzn-trace-id": exchange.trace_id}
    return WireRequest(
        service=service,
        region=region,
        method=integration.method,
        path="/" + rest if kind == "path" else "/",
        query=urlencode(query, doseq=True),
        headers={"accept": _CONTENT_TYPE, "content-type": _CONTENT_TYPE, **headers, **host},
        body=b"" if integration.method in {"GET", "HEAD"} else body.encode("utf-8", "replace"),
        access_key=access_key,
        request_id=exchange.request_id,
    )


def _mapped_parameters(exchange: Exchange, integration: Integration) -> tuple[dict[str, str], dict[str, list[str]]]:
    sources = exchange.sources()
    headers: dict[str, str] = {}
    query: dict[str, list[str]] = {}
    for target, expression in integration.parameters.items():
        value = evaluate_expression(expression, sources)
        if value is None:
            continue
        values = [value] if isinstance(value, str) else value
        place, name = split_target(target)
        if place == "header":
            headers[name.lower()] = ",".join(values)
        else:
            query[name] = values
    return headers, query


async def _read_all(response: WireResponse) -> bytes:
    given = response.body
    return given if isinstance(given, bytes) else b"".join([chunk async for chunk in given])


def _choose(exchange: Exchange, integration: Integration, status: int) -> IntegrationResponse:
    default: IntegrationResponse | None = None
    for response in exchange.api.responses.values():
        if response.integration_id != integration.id:
            continue
        if response.status is None:
            default = response
        elif response.status.fullmatch(str(status)):
            return response
    if default is None:
        reason = f"{exchange.route_key}: no integration response for {status} and no default"
        raise GatewayError("API_CONFIGURATION_ERROR", reason=reason)
    return default
