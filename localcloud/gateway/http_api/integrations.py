"""Where routes of HTTP APIs lead: functions, addresses, and AWS services.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations.html
"""

from __future__ import annotations

import asyncio
import re
from typing import Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from localcloud.gateway.http_api.definition import Integration
from localcloud.gateway.http_api.errors import ApiError
from localcloud.gateway.http_api.exchange import Exchange
from localcloud.gateway.http_api.mapping import Mapped, map_request, map_response
from localcloud.gateway.http_api.payload import integration_event, to_json
from localcloud.gateway.http_api.reply import MAX_PAYLOAD_BYTES, clean_headers, read_reply
from localcloud.gateway.http_api.services import call_service
from localcloud.gateway.message import HttpResponse
from localcloud.gateway.ports import Functions, FunctionUnavailableError, HttpCall, HttpCaller, HttpFailed
from localcloud.gateway.rest import Backends

__all__ = ["integrate"]

_VARIABLE: Final = re.compile(r"\{([\w.:-]+)\+?\}")
_STAGE_VARIABLE: Final = re.compile(r"\$\{stageVariables\.(\w+)\}")
_MADE_ANEW: Final = frozenset({"content-length", "host", "x-amzn-trace-id"})
_PATH_SAFE: Final = "/-._~!$&'()*+,;=:@"


async def integrate(exchange: Exchange, integration: Integration, backends: Backends) -> HttpResponse:
    """The integration's answer, mapped. Raises ApiError."""
    if integration.kind == "service":
        response = await call_service(exchange, integration, dispatch=backends.dispatch, roles=backends.roles)
    else:
        mapped = map_request(exchange, integration.parameters)
        if integration.kind == "function":
            response = await _call_function(exchange, integration, mapped, functions=backends.functions)
        else:
            response = await _call_address(exchange, integration, mapped, send=backends.http)
    parameters = integration.responses.get(response.status)
    return map_response(exchange, response, parameters) if parameters else response


async def _call_function(
    exchange: Exchange, integration: Integration, mapped: Mapped, *, functions: Functions
) -> HttpResponse:
    arn, source = integration.uri, exchange.permission_arn()
    if not functions.may_invoke(arn, source_arn=source):
        raise ApiError(500, f"{arn} has no permission for {source} (Invalid permissions on Lambda function)")
    payload = to_json(integration_event(exchange, mapped, payload=integration.payload))
    try:
        async with asyncio.timeout(integration.timeout_s):
            reply = await functions.invoke(arn, payload, trace_header=exchange.trace_id)
    except TimeoutError as error:
        raise ApiError(503, f"{arn} took too long") from error
    except FunctionUnavailableError as error:
        status = 413 if error.is_too_large else 503 if error.is_throttled else 500
        raise ApiError(status, f"{arn}: {error}") from error
    if reply.error:
        raise ApiError(500, f"{arn} failed ({reply.error})")
    return read_reply(reply.payload, integration.payload)


async def _call_address(
    exchange: Exchange, integration: Integration, mapped: Mapped, *, send: HttpCaller
) -> HttpResponse:
    url = _address(exchange, integration, mapped)
    method = exchange.request.method if integration.method in {"", "ANY"} else integration.method
    host = next((value for name, value in mapped.headers if name == "host"), urlsplit(url).netloc)
    kept = [(name, value) for name, value in mapped.headers if name.lower() not in _MADE_ANEW]
    headers = (("Host", host), ("X-Amzn-Trace-Id", exchange.trace_id), *kept)
    try:
        async with asyncio.timeout(integration.timeout_s):
            call = HttpCall(method, url, headers, exchange.request.body)
            answer = await send(call, limit_bytes=MAX_PAYLOAD_BYTES)
    except TimeoutError as error:
        raise ApiError(504, f"{url} took too long") from error
    except HttpFailed as error:
        raise ApiError(503, f"{url}: {error}") from error
    return HttpResponse(answer.status, clean_headers(list(answer.headers)), answer.body)


def _address(exchange: Exchange, integration: Integration, mapped: Mapped) -> str:
    """The integration's address with the request's path variables in it, and the request's query behind it."""
    uri = _STAGE_VARIABLE.sub(lambda found: exchange.stage.variables.get(found[1], ""), integration.uri)
    uri = _VARIABLE.sub(
        lambda found: quote(exchange.path_parameters.get(found[1], ""), safe=_PATH_SAFE),
        uri,
    )
    parts = urlsplit(uri)
    path = quote(mapped.path, safe=_PATH_SAFE) if mapped.path else parts.path or "/"
    asked = urlencode(mapped.query) if mapped.is_query_new else exchange.request.query
    query = "&".join(each for each in (parts.query, asked) if each)
    return urlunsplit((parts.scheme, parts.netloc, path if path.startswith("/") else f"/{path}", query, ""))
