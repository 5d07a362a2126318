"""Bodies on their way to an integration and back: mapping templates, and text for bytes where an API has binary types.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-payload-encodings-workflow.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from localcloud.gateway.definition import Integration, IntegrationResponse, Template
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.proxy import is_binary
from localcloud.gateway.variables import InputVariable, UtilVariable
from localcloud.gateway.vtl import VtlError, render

__all__ = ["answer_payload", "render_template", "request_payload"]

_TO_BINARY: Final = "CONVERT_TO_BINARY"
_TO_TEXT: Final = "CONVERT_TO_TEXT"


def request_payload(exchange: Exchange, integration: Integration, context: dict[str, Any]) -> bytes:
    """What the integration gets of the request's body. Raises GatewayError."""
    body = exchange.request.body
    kind = exchange.request.header("content-type") or "application/json"
    binary = is_binary(kind, exchange.api.binary_types)
    if binary and integration.content == _TO_TEXT:
        body, binary = base64.b64encode(body), False
        wanted = ""
    else:
        wanted = integration.content
    template = _request_template(exchange, integration)
    if binary:
        if template is not None:
            raise GatewayError("API_CONFIGURATION_ERROR", reason="a template cannot read bytes; use CONVERT_TO_TEXT")
        return body
    body = _map_text(exchange, template, body, context=context)
    return _decode(body) if wanted == _TO_BINARY else body


def _request_template(exchange: Exchange, integration: Integration) -> Template | None:
    template = integration.templates.get(exchange.content_type)
    refuses = integration.passthrough == "never" or (
        integration.passthrough == "when_no_templates" and integration.templates
    )
    if template is None and refuses:
        raise GatewayError("UNSUPPORTED_MEDIA_TYPE", reason=f"no template for {exchange.content_type}")
    return template


def render_template(exchange: Exchange, template: Template, *, body: str, context: dict[str, Any]) -> str:
    """A mapping template's text over `body`. Raises GatewayError."""
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


def answer_payload(
    exchange: Exchange,
    chosen: IntegrationResponse,
    *,
    body: bytes,
    headers: Mapping[str, str],
    context: dict[str, Any],
) -> bytes:
    """What the client gets of the integration's body. Raises GatewayError."""
    types = exchange.api.binary_types
    is_bytes = is_binary(headers.get("content-type", ""), types)
    wants_bytes = is_binary((exchange.request.header("accept") or "").partition(",")[0], types)
    if is_bytes and (chosen.content == _TO_TEXT or (not chosen.content and not wants_bytes)):
        body, is_bytes = base64.b64encode(body), False
        wants_bytes = False
    template = _answer_template(exchange, chosen)
    if is_bytes:
        if template is not None:
            raise GatewayError("API_CONFIGURATION_ERROR", reason="a template cannot read bytes; use CONVERT_TO_TEXT")
        return body
    body = _map_text(exchange, template, body, context=context)
    decodes = chosen.content == _TO_BINARY or (wants_bytes and not chosen.content)
    return _decode(body) if decodes else body


def _map_text(exchange: Exchange, template: Template | None, body: bytes, *, context: dict[str, Any]) -> bytes:
    """A text through its template, if it has one; bytes that are no UTF-8 are replaced either way."""
    text = body.decode("utf-8", "replace")
    if template is not None:
        text = render_template(exchange, template, body=text, context=context)
    return text.encode("utf-8", "replace")


def _answer_template(exchange: Exchange, chosen: IntegrationResponse) -> Template | None:
    if not chosen.templates:
        return None
    accepted = (exchange.request.header("accept") or "").partition(",")[0].partition(";")[0].strip().lower()
    for content_type in (accepted, "application/json"):
        if content_type in chosen.templates:
            return chosen.templates[content_type]
    return next(iter(chosen.templates.values()))


def _decode(body: bytes) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise GatewayError("API_CONFIGURATION_ERROR", reason="the body is not base64") from error
