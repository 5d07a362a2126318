"""What a function's reply means: an answer in payload format 1.0 or 2.0, or the API's own 500. Pure.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.gateway.errors import GatewayError
from localcloud.gateway.http_api.errors import ApiError
from localcloud.gateway.message import HttpResponse
from localcloud.gateway.prelude import read_cookies
from localcloud.gateway.proxy import read_headers, read_status
from localcloud.json_text import parse_json

__all__ = ["MAX_PAYLOAD_BYTES", "clean_headers", "read_reply"]

MAX_PAYLOAD_BYTES: Final = (
    10 * 1024 * 1024
)  # payload size, https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
_HOP_BY_HOP: Final = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding"}
    | {"upgrade"}
)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PLAIN: Final = ("Content-Type", "text/plain; charset=utf-8")
_JSON: Final = ("Content-Type", "application/json")


def read_reply(payload: bytes, version: str) -> HttpResponse:
    """The answer. In format 2.0 a reply without a status code is the body itself. Raises ApiError 500."""
    try:
        reply = parse_json(payload)
    except ValueError as error:
        raise ApiError(500, "the function's reply is not JSON") from error
    if version == "2.0" and not (isinstance(reply, dict) and "statusCode" in reply):
        body = reply.encode("utf-8", "replace") if isinstance(reply, str) else payload
        return HttpResponse(200, (_JSON,), body)
    if not isinstance(reply, dict):
        raise ApiError(500, "the function's reply is not an object")
    parts = cast("dict[str, Any]", reply)
    if "statusCode" not in parts:
        raise ApiError(500, "the function's reply has no statusCode")
    try:
        headers = _read_headers(parts, version)
        status = read_status(parts)
    except GatewayError as error:
        raise ApiError(500, error.reason) from error
    if "content-type" not in {name.lower() for name, _ in headers}:
        headers.append(_PLAIN)
    body = _read_body(parts)
    if len(body) > MAX_PAYLOAD_BYTES:
        raise ApiError(500, "the function's reply is larger than 10 MB")
    return HttpResponse(status, clean_headers(headers), body)


def _read_headers(parts: dict[str, Any], version: str) -> list[tuple[str, str]]:
    if version == "1.0":
        return read_headers(parts)
    return [*read_headers({"headers": parts.get("headers")}), *read_cookies(parts)]


def clean_headers(headers: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Without what belongs to the connection. Raises ApiError 500 for what cannot be a header."""
    for name, _ in headers:
        if not _TOKEN.fullmatch(name):
            raise ApiError(500, f"{name!r} cannot be a header")
    return tuple(each for each in headers if each[0].lower() not in _HOP_BY_HOP)


def _read_body(parts: Mapping[str, Any]) -> bytes:
    body = parts.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise ApiError(500, "the reply's body is not a string")
    if parts.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise ApiError(500, "the reply's body is not base64") from error
