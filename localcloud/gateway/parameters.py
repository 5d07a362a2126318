"""The headers, query string and path variables that an integration gets: mapped parameters, then overrides.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-parameter-mapping.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from localcloud.gateway.definition import Integration
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.mapping import evaluate_expression, split_target
from localcloud.gateway.vtl import as_text
from localcloud.json_text import MalformedJson, parse_json

__all__ = ["Parameters", "map_parameters", "read_document"]

_BODY: Final = "method.request.body"


@dataclass(slots=True)
class Parameters:
    """What is mapped: header names in lower case."""

    headers: dict[str, str] = field(default_factory=dict[str, str])
    query: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    path: dict[str, str] = field(default_factory=dict[str, str])


def map_parameters(exchange: Exchange, integration: Integration, context: Mapping[str, Any]) -> Parameters:
    """The parameters of an integration request; `context` is what its template left. Raises GatewayError."""
    sources = exchange.sources()
    if any(expression.startswith(_BODY) for expression in integration.parameters.values()):
        text = exchange.request.body.decode("utf-8", "replace")
        sources = replace(sources, body=read_document(text), text=text or None)
    found = Parameters()
    for target, expression in integration.parameters.items():
        value = evaluate_expression(expression, sources)
        if value is not None:
            place, name = split_target(target)
            _set(found, place, name, value=value)
    overrides = cast("Mapping[str, Any]", context["requestOverride"])
    for place in ("header", "querystring", "path"):
        given = overrides.get(place, {})
        if not isinstance(given, dict):
            raise GatewayError("API_CONFIGURATION_ERROR", reason=f"requestOverride.{place} is not a map")
        for name, value in cast("dict[str, Any]", given).items():
            texts = [as_text(each) for each in cast("list[Any]", value)] if isinstance(value, list) else as_text(value)
            _set(found, place, name, value=texts)
    return found


def _set(found: Parameters, place: str, name: str, *, value: str | list[str]) -> None:
    values = [value] if isinstance(value, str) else value
    if place == "header":
        found.headers[name.lower()] = ",".join(values)
    elif place == "querystring":
        found.query[name] = values
    elif values:
        found.path[name] = values[-1]


def read_document(text: str) -> Any:
    """The JSON document that a body is, None where it is none."""
    try:
        return parse_json(text)
    except MalformedJson:
        return None
