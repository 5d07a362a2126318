"""From an integration's answer to the method's: which integration response, its headers, status and body.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from localcloud.gateway.definition import Integration, IntegrationResponse
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.mapping import Sources, evaluate_expression, split_target
from localcloud.gateway.message import HttpResponse, final_status
from localcloud.gateway.parameters import read_document
from localcloud.gateway.payload import answer_payload
from localcloud.gateway.vtl import as_text
from localcloud.matching import PatternTooSlow, limit_matching

__all__ = ["Answer", "answer_method"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An integration's answer: headers in lower case; `outcome` is what selection patterns are held against."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    outcome: str


def answer_method(
    exchange: Exchange, integration: Integration, answer: Answer, *, context: dict[str, Any]
) -> HttpResponse:
    """The method's answer. Raises GatewayError."""
    chosen = _choose(integration, answer)
    text = answer.body.decode("utf-8", "replace")
    sources = Sources(
        headers={name: [value] for name, value in answer.headers.items()},
        context=context,
        stage_variables=exchange.stage.variables,
        body=read_document(text),
        text=text,
    )
    mapped = {"content-type": ("Content-Type", "application/json")}
    for target, expression in chosen.parameters.items():
        value = evaluate_expression(expression, sources)
        if value is not None:
            _, name = split_target(target)
            mapped[name.lower()] = (name, value if isinstance(value, str) else ",".join(value))
    payload = answer_payload(exchange, chosen, body=answer.body, headers=answer.headers, context=context)
    override = cast("dict[str, Any]", context["responseOverride"])
    headers = override.get("header", {})
    if not isinstance(headers, dict):
        raise GatewayError("API_CONFIGURATION_ERROR", reason="responseOverride.header is not a map")
    for name, value in cast("dict[str, Any]", headers).items():
        mapped[name.lower()] = (name, as_text(value))
    status = _overridden_status(override.get("status"), chosen.status)
    return HttpResponse(status, tuple(mapped.values()), payload)


def _choose(integration: Integration, answer: Answer) -> IntegrationResponse:
    default: IntegrationResponse | None = None
    for response in integration.responses:
        if response.selection is None:
            default = default or response
        elif _matches(response, answer.outcome):
            return response
    if default is None:
        reason = f"no integration response for {answer.outcome[:100]!r} and no default"
        raise GatewayError("API_CONFIGURATION_ERROR", reason=reason)
    return default


def _matches(response: IntegrationResponse, outcome: str) -> bool:
    if response.selection is None:
        return False
    try:
        with limit_matching():
            return response.selection.fullmatch(outcome) is not None
    except PatternTooSlow as error:
        raise GatewayError("API_CONFIGURATION_ERROR", reason=f"a selection pattern: {error}") from error


def _overridden_status(given: object, status: int) -> int:
    """AWS keeps the mapped status where the override is no status."""
    overridden = final_status(given)
    return status if overridden is None else overridden
