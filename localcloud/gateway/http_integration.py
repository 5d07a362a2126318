"""HTTP and HTTP proxy integrations: the request to the endpoint, its answer passed on or mapped.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/setup-http-integrations.html
and https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-set-up-simple-proxy.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from localcloud.gateway.answers import Answer, answer_method
from localcloud.gateway.definition import Integration
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.message import HttpResponse, last_values
from localcloud.gateway.parameters import Parameters, map_parameters
from localcloud.gateway.payload import request_payload
from localcloud.gateway.ports import HttpAnswer, HttpCall, HttpCaller, HttpFailed

__all__ = ["call_http", "proxy_http"]

MAX_ANSWER_BYTES: Final = 10 * 1024 * 1024  # api-gateway-execution-service-limits-table: payload size
_VARIABLE: Final = re.compile(r"\{([\w.-]+)\+?\}")
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"}
    | {"content-length", "upgrade"}
)
_OURS: Final = frozenset({"accept-encoding", "host"})


async def call_http(exchange: Exchange, integration: Integration, caller: HttpCaller) -> HttpResponse:
    """Call the endpoint with what is mapped, and map its answer. Raises GatewayError."""
    context = exchange.context()
    body = request_payload(exchange, integration, context)
    mapped = map_parameters(exchange, integration, context)
    headers = {
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": f"AmazonAPIGateway_{exchange.api.id}",
        "x-amzn-apigateway-api-id": exchange.api.id,
        "x-amzn-trace-id": exchange.trace_id,
        **mapped.headers,
    }
    url = _url(exchange, integration, mapped, query=urlencode(mapped.query, doseq=True))
    answer = await _send(exchange, integration, caller, call=HttpCall(integration.method, url, _pairs(headers), body))
    known = {name.lower(): value for name, value in last_values(answer.headers).items()}
    return answer_method(
        exchange, integration, Answer(answer.status, known, answer.body, str(answer.status)), context=context
    )


async def proxy_http(exchange: Exchange, integration: Integration, caller: HttpCaller) -> HttpResponse:
    """Pass the request on, and the endpoint's answer back, whose own connection's headers get other names later.

    Raises GatewayError.
    """
    request = exchange.request
    mapped = map_parameters(exchange, integration, _NO_OVERRIDES)
    sent = [(name, value) for name, value in exchange.headers if name.lower() not in _HOP_BY_HOP | _OURS]
    sent = [each for each in sent if each[0].lower() not in mapped.headers]
    headers = (*sent, ("x-amzn-apigateway-api-id", exchange.api.id), *_pairs(mapped.headers))
    own = urlencode(mapped.query, doseq=True)
    url = _url(exchange, integration, mapped, query="&".join(part for part in (request.query, own) if part))
    method = request.method if integration.method == "ANY" else integration.method
    answer = await _send(exchange, integration, caller, call=HttpCall(method, url, headers, request.body))
    passed = tuple((name, value) for name, value in answer.headers if name.lower() != "keep-alive")
    return HttpResponse(answer.status, passed, answer.body)


_NO_OVERRIDES: Final[Mapping[str, Any]] = {"requestOverride": {}}  # a proxy integration has no template


def _pairs(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(headers.items())


def _url(exchange: Exchange, integration: Integration, mapped: Parameters, *, query: str) -> str:
    """The endpoint's address; a `/` in a variable stays one, as `{proxy+}` needs."""

    def fill(found: re.Match[str]) -> str:
        if found[1] not in mapped.path:
            reason = f"{integration.uri} has {found[0]}, which is not mapped"
            raise GatewayError("API_CONFIGURATION_ERROR", reason=reason)
        return quote(mapped.path[found[1]], safe="/:@!$&'()*+,;=~")

    uri = _VARIABLE.sub(fill, exchange.fill_stage_variables(integration.uri))
    parts = urlsplit(uri)
    if not parts.hostname:
        raise GatewayError("API_CONFIGURATION_ERROR", reason=f"{uri!r} is not an HTTP address")
    whole = "&".join(part for part in (parts.query, query) if part)
    return parts._replace(query=whole, fragment="", path=parts.path or "/").geturl()


async def _send(exchange: Exchange, integration: Integration, caller: HttpCaller, *, call: HttpCall) -> HttpAnswer:
    try:
        async with asyncio.timeout(integration.timeout_s):
            return await caller(call, limit_bytes=MAX_ANSWER_BYTES)
    except TimeoutError as error:
        raise GatewayError("INTEGRATION_TIMEOUT", reason=f"{call.url} took too long") from error
    except HttpFailed as error:
        words = "Network error communicating with endpoint"
        reason = f"{exchange.request_id} {call.url}: {error}"
        raise GatewayError("INTEGRATION_FAILURE", words, reason=reason) from error
