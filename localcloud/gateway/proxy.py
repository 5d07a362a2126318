"""Lambda proxy integrations: the version 1.0 event out, the function's reply checked and turned into an answer.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.gateway.definition import Integration
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.invocation import Invoker
from localcloud.gateway.message import HttpResponse, final_status
from localcloud.gateway.ports import FunctionReply, Functions, FunctionUnavailableError
from localcloud.json_text import parse_json

__all__ = [
    "call_function",
    "check_permission",
    "invoke_function",
    "is_binary",
    "make_payload",
    "malformed",
    "read_headers",
    "read_status",
]

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
MAX_PAYLOAD_BYTES: Final = 10 * 1024 * 1024

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # or half a character
_REPLY_KEYS: Final = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})


def is_binary(media_type: str, binary_types: frozenset[str]) -> bool:
    """Whether the API treats this media type as bytes (`*/*` and `image/*` work)."""
    if not binary_types:
        return False
    kind = media_type.partition(";")[0].strip().lower()
    return bool({kind, kind.partition("/")[0] + "/*", "*/*"} & binary_types)


async def call_function(exchange: Exchange, integration: Integration, invoker: Invoker) -> HttpResponse:
    """Invoke the method's function. Raises GatewayError."""
    arn = exchange.fill_stage_variables(integration.uri)
    reply = await invoke_function(exchange, integration, invoker, payload=make_payload(exchange))
    if reply.error:
        raise malformed(f"{arn} failed ({reply.error})")
    return _read_reply(exchange, reply.payload)


async def invoke_function(
    exchange: Exchange, integration: Integration, invoker: Invoker, *, payload: bytes, kind: str = "RequestResponse"
) -> FunctionReply:
    """The reply of the method's function to `payload`, also where the function failed. Raises GatewayError."""
    arn, role = exchange.fill_stage_variables(integration.uri), integration.credentials
    if not role:
        check_permission(exchange, arn, invoker.functions)
    try:
        async with asyncio.timeout(integration.timeout_s):
            return await invoker.invoke(exchange, arn, payload, role=role, kind=kind)
    except TimeoutError as error:
        raise GatewayError("INTEGRATION_TIMEOUT", reason=f"{arn} took too long") from error
    except FunctionUnavailableError as error:
        kind = "REQUEST_TOO_LARGE" if error.is_too_large else "DEFAULT_5XX"
        raise GatewayError(kind, reason=f"{arn}: {error}") from error


def check_permission(exchange: Exchange, arn: str, functions: Functions) -> None:
    """Raise GatewayError where the function's resource policy does not let this method in."""
    if not functions.may_invoke(arn, source_arn=_source_arn(exchange)):
        reason = f"{arn} has no permission for {_source_arn(exchange)} (Invalid permissions on Lambda function)"
        raise GatewayError("DEFAULT_5XX", "Internal server error", reason=reason)


def make_payload(exchange: Exchange) -> bytes:
    """The event that the function gets, in JSON."""
    return json.dumps(_event(exchange), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _source_arn(exchange: Exchange) -> str:
    """The method as a permission's source ARN names it: the resource's path, variables and all."""
    prefix = exchange.method_arn().split("/")[0]
    kind = exchange.method.http_method if exchange.method is not None else exchange.request.method
    method = exchange.request.method if kind == "ANY" else kind
    return f"{prefix}/{exchange.stage.name}/{method}{exchange.resource_path}"


def _event(exchange: Exchange) -> dict[str, Any]:
    request = exchange.request
    multi_headers, multi_query = exchange.multi_headers(), exchange.multi_query()
    body, is_base64 = _encode_body(exchange)
    return {
        "resource": exchange.resource_path,
        "path": request.base + request.path,  # a mapping's base path stays in it
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in multi_headers.items()},
        "multiValueHeaders": multi_headers,
        "queryStringParameters": {name: values[-1] for name, values in multi_query.items()} or None,
        "multiValueQueryStringParameters": multi_query or None,
        "pathParameters": dict(exchange.path_parameters) or None,
        "stageVariables": dict(exchange.stage.variables) or None,
        "requestContext": exchange.request_context(),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def _encode_body(exchange: Exchange) -> tuple[str | None, bool]:
    body = exchange.request.body
    if not body:
        return None, False
    if is_binary(exchange.request.header("content-type") or "", exchange.api.binary_types):
        return base64.b64encode(body).decode("ascii"), True
    return body.decode("utf-8", "replace"), False


def malformed(reason: str) -> GatewayError:
    """The error of a reply that is none: 502, whatever is wrong with it."""
    return GatewayError("DEFAULT_5XX", status=502, reason=reason)


def _read_reply(exchange: Exchange, payload: bytes) -> HttpResponse:
    try:
        reply = parse_json(payload)
    except ValueError as error:
        raise malformed("Malformed Lambda proxy response: not JSON") from error
    if not isinstance(reply, dict):
        raise malformed("Malformed Lambda proxy response: not an object")
    parts = cast("dict[str, Any]", reply)
    unknown = sorted(set(parts) - _REPLY_KEYS)
    if unknown:
        raise malformed(f"Malformed Lambda proxy response: {', '.join(unknown)} cannot be there")
    headers = read_headers(parts)
    body = _read_body(exchange, parts, headers)
    if len(body) > MAX_PAYLOAD_BYTES:
        raise malformed("the reply is larger than 10 MB")
    if "content-type" not in {name.lower() for name, _ in headers}:
        headers.append(("Content-Type", "application/json"))
    return HttpResponse(read_status(parts), tuple(headers), body)


def read_status(parts: Mapping[str, Any]) -> int:
    """The `statusCode` of a reply, 200 where it has none. Raises GatewayError."""
    status = final_status(parts.get("statusCode", 200))
    if status is None:
        raise malformed("Malformed Lambda proxy response: statusCode is not 200 to 599")
    return status


def read_headers(parts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Single headers, and multi-value ones, which win over a single one of the same name. Raises GatewayError."""
    single, multiple = (_or_empty(parts.get(key)) for key in ("headers", "multiValueHeaders"))
    if not isinstance(single, dict) or not isinstance(multiple, dict):
        raise malformed("Malformed Lambda proxy response: headers are not an object")
    many = cast("dict[str, Any]", multiple)
    taken = {name.lower() for name in many}
    headers = [
        (name, _header_text(value))
        for name, value in cast("dict[str, Any]", single).items()
        if name.lower() not in taken
    ]
    for name, values in many.items():
        if not isinstance(values, list):
            raise malformed("Malformed Lambda proxy response: a multi-value header is not a list")
        headers.extend((name, _header_text(value)) for value in cast("list[Any]", values))
    return headers


def _or_empty(value: object) -> object:
    return {} if value is None else value


def _header_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)) and not _CONTROL.search(str(value)):
        return str(value)
    raise malformed("Malformed Lambda proxy response: a header is not a line of text")


def _read_body(exchange: Exchange, parts: Mapping[str, Any], headers: list[tuple[str, str]]) -> bytes:
    body = parts.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise malformed("Malformed Lambda proxy response: body is not a string")
    if parts.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "replace")
    content_type = next((value for name, value in headers if name.lower() == "content-type"), "application/json")
    accept = exchange.request.header("accept") or ""
    if not (
        is_binary(accept.split(",")[0], exchange.api.binary_types) or is_binary(content_type, exchange.api.binary_types)
    ):
        return body.encode()  # AWS decodes only where the API knows the media type as binary
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise malformed("Malformed Lambda proxy response: body is not base64") from error
