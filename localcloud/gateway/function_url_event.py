"""Payload format 2.0 of Function URLs: the event of a request, and the answer that a function's reply means. Pure.

Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.gateway.message import HttpRequest, HttpResponse, query_items
from localcloud.gateway.ports import Identity
from localcloud.gateway.prelude import read_cookies
from localcloud.gateway.proxy import malformed, read_headers, read_status
from localcloud.json_text import parse_json

__all__ = ["Arrival", "make_event", "read_reply"]

_DROPPED: Final = frozenset(
    {"connection", "cookie", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
    | {"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
)  # the connection's own, or made anew below
_TEXT_TYPES: Final = frozenset({"application/javascript", "application/json", "application/xml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request at a URL. `at_s` in epoch seconds; `identity` None for AuthType NONE."""

    request: HttpRequest
    domain: str
    request_id: str
    trace_id: str
    at_s: float
    identity: Identity | None = None


def make_event(arrival: Arrival) -> bytes:
    """The event in JSON."""
    request = arrival.request
    body, is_base64 = _encode_body(request)
    cookies = [part.strip() for name, value in request.headers if name.lower() == "cookie" for part in value.split(";")]
    query: dict[str, str] = {}
    for name, value in query_items(request.query):
        query[name] = f"{query[name]},{value}" if name in query else value
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        **({"cookies": cookies} if cookies else {}),
        "headers": _headers(arrival),
        **({"queryStringParameters": query} if query else {}),
        "requestContext": _context(arrival),
        **({"body": body} if body else {}),
        "isBase64Encoded": is_base64,
    }
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _headers(arrival: Arrival) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in arrival.request.headers:
        key = name.lower()
        if key not in _DROPPED:
            found[key] = f"{found[key]},{value}" if key in found else value
    forwarded = arrival.request.header("x-forwarded-for")
    source = arrival.request.source_ip
    return found | {
        "host": arrival.domain,
        "x-amzn-trace-id": arrival.trace_id,
        "x-forwarded-for": f"{forwarded}, {source}" if forwarded else source,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }


def _context(arrival: Arrival) -> dict[str, Any]:
    request, identity = arrival.request, arrival.identity
    context: dict[str, Any] = {
        "accountId": identity.account if identity is not None else "anonymous",
        "apiId": arrival.domain.partition(".")[0],
        "domainName": arrival.domain,
        "domainPrefix": arrival.domain.partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent") or "",
        },
        "requestId": arrival.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(arrival.at_s)),
        "timeEpoch": int(arrival.at_s * 1000),
    }
    if identity is not None:
        context["authorizer"] = {
            "iam": {
                "accessKey": identity.access_key,
                "accountId": identity.account,
                "callerId": identity.user_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": identity.arn,
                "userId": identity.user_id,
            }
        }
    return context


def _encode_body(request: HttpRequest) -> tuple[str, bool]:
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    is_text = kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith("+json")
    if not request.body:
        return "", False
    if is_text and request.header("content-encoding") is None:
        return request.body.decode("utf-8", "replace"), False
    return base64.b64encode(request.body).decode("ascii"), True


def read_reply(payload: bytes) -> HttpResponse:
    """The answer that a buffered reply means; one without a status code is the body itself. Raises GatewayError 502."""
    try:
        reply = parse_json(payload)
    except ValueError:
        reply = None
    if not isinstance(reply, dict) or "statusCode" not in reply:
        return HttpResponse(200, (("Content-Type", "application/json"),), payload)
    parts = cast("dict[str, Any]", reply)
    headers = read_headers({"headers": parts.get("headers")})
    headers += read_cookies(parts)
    if "content-type" not in {name.lower() for name, _ in headers}:
        headers.append(("Content-Type", "application/json"))
    return HttpResponse(read_status(parts), tuple(headers), _read_body(parts))


def _read_body(parts: Mapping[str, Any]) -> bytes:
    body = parts.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        return json.dumps(body, separators=(",", ":")).encode()
    if parts.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise malformed("Malformed reply: body is not base64") from error
