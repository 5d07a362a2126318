"""AWS service and mock integrations: templates and mappings in, the service's answer mapped back.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from localcloud.gateway.definition import Integration, IntegrationResponse, Template
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.mapping import Sources, evaluate_expression, split_target
from localcloud.gateway.message import HttpResponse, final_status
from localcloud.gateway.ports import Roles
from localcloud.gateway.variables import InputVariable, UtilVariable
from localcloud.gateway.vtl import VtlError, as_text, render
from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.contract import Dispatch, WireRequest, WireResponse

__all__ = ["call_service", "mock_answer"]

_URI: Final = re.compile(r"arn:[\w-]+:apigateway:([\w-]+):([\w.-]+):(path|action)/(.*)", re.DOTALL)
_VARIABLE: Final = re.compile(r"\{([\w.-]+)\}")
_STAGE_VARIABLE: Final = re.compile(r"\$\{stageVariables\.(\w+)\}")
_MAX_REQUEST_BYTES: Final = 3 * 10 * 1024 * 1024  # a 10 MB payload with every byte percent-encoded


@dataclass(frozen=True, slots=True)
class _Answer:
    """An integration's answer before it is mapped."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def call_service(
    exchange: Exchange, integration: Integration, *, dispatch: Dispatch, roles: Roles
) -> HttpResponse:
    """Call the AWS service and map its answer. Raises GatewayError."""
    context = exchange.context()
    body = _request_body(exchange, integration, context)
    request = _wire_request(exchange, integration, body=body, context=context, roles=roles)
    try:
        async with asyncio.timeout(integration.timeout_s):
            answer = await _read_answer(await dispatch(request))
    except TimeoutError as error:
        raise GatewayError("INTEGRATION_TIMEOUT", reason=f"{request.service} took too long") from error
    return _map_answer(exchange, _choose(integration, answer), answer=answer, context=context)


def mock_answer(exchange: Exchange, integration: Integration) -> HttpResponse:
    """What a mock integration says: the status in the request template's `statusCode`. Raises GatewayError."""
    context = exchange.context()
    text = _request_body(exchange, integration, context)
    try:
        status = int(cast("Any", parse_json(text))["statusCode"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise GatewayError("API_CONFIGURATION_ERROR", reason="a mock template gives no statusCode") from error
    answer = _Answer(status, {}, b"")
    return _map_answer(exchange, _choose(integration, answer), answer=answer, context=context)


# ---- to the integration


def _request_body(exchange: Exchange, integration: Integration, context: dict[str, Any]) -> str:
    text = exchange.request.body.decode("utf-8", "replace")
    template = integration.templates.get(exchange.content_type)
    if template is None:
        refuses = integration.passthrough == "never" or (
            integration.passthrough == "when_no_templates" and integration.templates
        )
        if refuses:
            raise GatewayError("UNSUPPORTED_MEDIA_TYPE", reason=f"no template for {exchange.content_type}")
        return text
    return _render(exchange, template, body=text, context=context)


def _render(exchange: Exchange, template: Template, *, body: str, context: dict[str, Any]) -> str:
    headers = {name: values[-1] for name, values in exchange.multi_headers().items()}
    parameters = {"path": exchange.path_parameters, "querystring": dict(exchange.query), "header": headers}
    variables = {
        "context": context,
        "input": InputVariable(body, parameters),
        "stageVariables": dict(exchange.stage.variables),
        "util": UtilVariable(),
    }
    try:
        return render(template.block, variables)
    except VtlError as error:
        raise GatewayError("API_CONFIGURATION_ERROR", reason=f"mapping template: {error}") from error


def _wire_request(
    exchange: Exchange, integration: Integration, *, body: str, context: Mapping[str, Any], roles: Roles
) -> WireRequest:
    headers, query, path = _mapped_parameters(exchange, integration, context)
    uri = _STAGE_VARIABLE.sub(lambda found: exchange.stage.variables.get(found[1], ""), integration.uri)
    uri = _VARIABLE.sub(lambda found: quote(path.get(found[1], ""), safe=""), uri)
    found = _URI.fullmatch(uri)
    if found is None:
        raise GatewayError("API_CONFIGURATION_ERROR", reason=f"{uri!r} is not an AWS service's")
    region, service, kind, rest = found.groups()
    if kind == "action":
        query = {**query, "Action": [rest]}
    try:
        access_key = roles.assume(integration.credentials)
    except LookupError as error:
        reason = f"API Gateway may not assume {integration.credentials}: {error}"
        raise GatewayError("API_CONFIGURATION_ERROR", reason=reason) from error
    payload = b"" if integration.method in {"GET", "HEAD"} else body.encode("utf-8", "replace")
    if len(payload) > _MAX_REQUEST_BYTES:
        raise GatewayError("REQUEST_TOO_LARGE", reason="the mapped request")
    return WireRequest(
        service=service,
        region=region,
        method=integration.method,
        path="/" + rest if kind == "path" else "/",
        query=urlencode(query, doseq=True),
        headers={"accept": "application/json", **headers, "host": f"{service}.{region}.amazonaws.com"},
        body=payload,
        access_key=access_key,
        request_id=exchange.request_id,
    )


def _mapped_parameters(
    exchange: Exchange, integration: Integration, context: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, list[str]], dict[str, str]]:
    sources = exchange.sources()
    headers: dict[str, str] = {"content-type": "application/json", "x-amzn-trace-id": exchange.trace_id}
    query: dict[str, list[str]] = {}
    path = dict[str, str]()
    for target, expression in integration.parameters.items():
        value = evaluate_expression(expression, sources)
        if value is None:
            continue
        values = [value] if isinstance(value, str) else value
        place, name = split_target(target)
        if place == "header":
            headers[name.lower()] = ",".join(values)
        elif place == "querystring":
            query[name] = values
        else:
            path[name] = values[-1]
    overrides = context["requestOverride"]
    headers.update({name.lower(): as_text(value) for name, value in overrides.get("header", {}).items()})
    query.update({name: [as_text(value)] for name, value in overrides.get("querystring", {}).items()})
    path.update({name: as_text(value) for name, value in overrides.get("path", {}).items()})
    return headers, query, path


async def _read_answer(response: WireResponse) -> _Answer:
    given = response.body
    body = given if isinstance(given, bytes) else b"".join([chunk async for chunk in given])
    return _Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, body)


# ---- back to the client


def _map_answer(
    exchange: Exchange, chosen: IntegrationResponse, *, answer: _Answer, context: dict[str, Any]
) -> HttpResponse:
    text = answer.body.decode("utf-8", "replace")
    sources = Sources(
        headers={name: [value] for name, value in answer.headers.items()},
        context=context,
        stage_variables=exchange.stage.variables,
        body=_document(text),
    )
    mapped = {"content-type": ("Content-Type", "application/json")}
    for target, expression in chosen.parameters.items():
        value = evaluate_expression(expression, sources)
        if value is not None:
            _, name = split_target(target)
            mapped[name.lower()] = (name, value if isinstance(value, str) else ",".join(value))
    template = _response_template(exchange, chosen)
    body = text if template is None else _render(exchange, template, body=text, context=context)
    override = context["responseOverride"]
    if not isinstance(override.get("header", {}), dict):
        raise GatewayError("API_CONFIGURATION_ERROR", reason="responseOverride.header is not a map")
    for name, value in override.get("header", {}).items():
        mapped[name.lower()] = (name, as_text(value))
    status = _overridden_status(override.get("status"), chosen.status)
    payload = answer.body if template is None else body.encode("utf-8", "replace")
    return HttpResponse(status, tuple(mapped.values()), payload)


def _choose(integration: Integration, answer: _Answer) -> IntegrationResponse:
    default: IntegrationResponse | None = None
    for response in integration.responses:
        if response.selection is None:
            default = default or response
        elif response.selection.fullmatch(str(answer.status)):
            return response
    if default is None:
        reason = f"no integration response for {answer.status} and no default"
        raise GatewayError("API_CONFIGURATION_ERROR", reason=reason)
    return default


def _response_template(exchange: Exchange, chosen: IntegrationResponse) -> Template | None:
    if not chosen.templates:
        return None
    accepted = (exchange.request.header("accept") or "").partition(",")[0].partition(";")[0].strip().lower()
    for content_type in (accepted, "application/json"):
        if content_type in chosen.templates:
            return chosen.templates[content_type]
    return next(iter(chosen.templates.values()))


def _document(text: str) -> Any:
    try:
        return parse_json(text)
    except MalformedJson:
        return None


def _overridden_status(given: object, status: int) -> int:
    """AWS keeps the mapped status where the override is no status."""
    overridden = final_status(given)
    return status if overridden is None else overridden
