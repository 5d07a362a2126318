"""The answers API Gateway gives itself: type, status, headers, and templates with simple substitution (no VTL).

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gatewayResponse-definition.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.gateway.definition import Api, GatewayResponse
from localcloud.gateway.errors import RESPONSE_TYPES, GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.mapping import Sources, evaluate_expression
from localcloud.gateway.message import HttpResponse
from localcloud.gateway.vtl import as_text

__all__ = ["default_response", "gateway_response"]

_VARIABLE: Final = re.compile(r"\$(?:(context|stageVariables)\.([\w.-]*\w)|(method\.request\.\w+\.[\w-]+))")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # or half a character
_DEFAULT_TEMPLATE: Final = '{"message":$context.error.messageString}'
_DENIED_TEMPLATE: Final = '{"Message":$context.error.messageString}'  # the one with a capital letter


def _chosen(api: Api, kind: str) -> GatewayResponse | None:
    status = RESPONSE_TYPES[kind].status
    fallback = "DEFAULT_5XX" if status >= 500 else "DEFAULT_4XX"
    return api.gateway_responses.get(kind) or api.gateway_responses.get(fallback)


def gateway_response(exchange: Exchange, error: GatewayError) -> HttpResponse:
    """The answer for `error`, customised as the API says."""
    exchange.error = {
        "message": error.message,
        "messageString": json.dumps(error.message, ensure_ascii=False),
        "responseType": error.kind,
        "validationErrorString": error.validation,
    }
    chosen = _chosen(exchange.api, error.kind)
    sources = exchange.sources()
    content_type, template = _template(exchange, error, chosen)
    headers = {"content-type": ("Content-Type", content_type)}
    headers["x-amzn-errortype"] = ("x-amzn-ErrorType", RESPONSE_TYPES[error.kind].error_type)
    parameters: Mapping[str, str] = chosen.parameters if chosen is not None else {}
    for target, expression in parameters.items():
        name = target.removeprefix("gatewayresponse.header.")
        value = evaluate_expression(expression, sources)
        if value is not None:
            headers[name.lower()] = (name, value if isinstance(value, str) else ",".join(value))
    status = chosen.status if chosen is not None and chosen.status is not None else error.status
    body = _substitute(template, sources, is_json=content_type.startswith("application/json"))
    sent = (header for header in headers.values() if not _CONTROL.search(header[1]))  # values may quote the request
    return HttpResponse(status, tuple(sent), body.encode("utf-8", "replace"))


def _template(exchange: Exchange, error: GatewayError, chosen: GatewayResponse | None) -> tuple[str, str]:
    templates: Mapping[str, str] = chosen.templates if chosen is not None else {}
    if not templates:
        return "application/json", _DENIED_TEMPLATE if error.kind == "ACCESS_DENIED" else _DEFAULT_TEMPLATE
    accepted = [each.partition(";")[0].strip() for each in (exchange.request.header("accept") or "").split(",")]
    for content_type in (*accepted, "application/json"):
        if content_type in templates:
            return content_type, templates[content_type]
    return next(iter(templates.items()))


def _substitute(template: str, sources: Sources, *, is_json: bool) -> str:
    """Replace variables. In JSON a value is escaped, so that quotes in an error's words keep the document whole."""

    def value_of(found: re.Match[str]) -> str:
        if found[3]:
            value = evaluate_expression(found[3], sources)
            text = "" if value is None else value if isinstance(value, str) else ",".join(value)
        elif found[1] == "stageVariables":
            text = sources.stage_variables.get(found[2], "")
        else:
            text = _context_text(sources.context, found[2])
        if not is_json or found[2] == "error.messageString":
            return text
        return json.dumps(text, ensure_ascii=False)[1:-1]

    return _VARIABLE.sub(value_of, template)


def _context_text(context: Mapping[str, Any], path: str) -> str:
    current: Any = context
    for part in path.split("."):
        current = cast("Mapping[str, Any]", current).get(part) if isinstance(current, Mapping) else None
    return "" if current is None else as_text(current)


def default_response(kind: str) -> HttpResponse:
    """The answer where there is no API to ask: its type's own words."""
    known = RESPONSE_TYPES[kind]
    body = json.dumps({"message": known.message}, separators=(",", ":")).encode()
    headers = (("Content-Type", "application/json"), ("x-amzn-ErrorType", known.error_type))
    return HttpResponse(known.status, headers, body)
