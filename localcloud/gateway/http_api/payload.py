"""The events of HTTP APIs, for integrations and for authorizers, in payload formats 1.0 and 2.0. Pure.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html and
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from localcloud.gateway.http_api.exchange import Exchange
from localcloud.gateway.http_api.mapping import Mapped

__all__ = ["authorizer_event", "encode_body", "integration_event", "to_json"]

_TEXT_TYPES: Final = frozenset({"application/javascript", "application/json", "application/xml"})


def to_json(event: Mapping[str, Any]) -> bytes:
    """An event as it is sent."""
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")


def integration_event(exchange: Exchange, mapped: Mapped, *, payload: str) -> dict[str, Any]:
    """What a function that is an integration gets; `mapped` is the request after its parameter mapping."""
    body, is_base64 = encode_body(exchange)
    if payload == "1.0":
        event = _first_event(exchange, mapped)
        return {**event, "body": body or None, "isBase64Encoded": is_base64}
    event = _second_event(exchange, mapped)
    return {**event, **({"body": body} if body else {}), "isBase64Encoded": is_base64}


def authorizer_event(exchange: Exchange, values: list[str], *, payload: str) -> dict[str, Any]:
    """What an authorizer's function gets; `values` are those of its identity sources."""
    mapped = Mapped.unchanged(exchange)
    if payload == "1.0":
        joined = ",".join(values)
        return {
            "version": "1.0",
            "type": "REQUEST",
            "methodArn": exchange.route_arn(),
            "identitySource": joined,
            "authorizationToken": joined,
            **{name: each for name, each in _first_event(exchange, mapped).items() if name != "version"},
        }
    event = _second_event(exchange, mapped)
    route = {"type": "REQUEST", "routeArn": exchange.route_arn(), "identitySource": values or None}
    return {"version": "2.0", **route, **{name: each for name, each in event.items() if name != "version"}}


def encode_body(exchange: Exchange) -> tuple[str, bool]:
    """The body as an event has it, and whether that is Base64: of everything but text that is not compressed."""
    request = exchange.request
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    is_text = kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml"))
    if not request.body:
        return "", False
    if is_text and request.header("content-encoding") is None:
        return request.body.decode("utf-8", "replace"), False
    return base64.b64encode(request.body).decode("ascii"), True


def _second_event(exchange: Exchange, mapped: Mapped) -> dict[str, Any]:
    cookies = [part.strip() for name, value in mapped.headers if name == "cookie" for part in value.split(";")]
    raw_query = exchange.request.query if not mapped.is_query_new else urlencode(mapped.query)
    return {
        "version": "2.0",
        "routeKey": exchange.route.key,
        "rawPath": mapped.path or exchange.raw_path,
        "rawQueryString": raw_query,
        **({"cookies": cookies} if cookies else {}),
        "headers": _joined((name.lower(), value) for name, value in mapped.headers if name != "cookie"),
        **({"queryStringParameters": _joined(mapped.query)} if mapped.query else {}),
        "requestContext": _second_context(exchange),
        **({"pathParameters": dict(exchange.path_parameters)} if exchange.path_parameters else {}),
        **({"stageVariables": dict(exchange.stage.variables)} if exchange.stage.variables else {}),
    }


def _joined(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in items:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _second_context(exchange: Exchange) -> dict[str, Any]:
    at, epoch_ms = exchange.when()
    authorizer = _second_authorizer(exchange)
    return {
        "accountId": exchange.api.account_id,
        "apiId": exchange.api.id,
        **({"authorizer": authorizer} if authorizer else {}),
        "domainName": exchange.domain,
        "domainPrefix": exchange.domain.partition(".")[0],
        "http": {
            "method": exchange.request.method,
            "path": exchange.raw_path,
            "protocol": exchange.request.protocol,
            "sourceIp": exchange.request.source_ip,
            "userAgent": exchange.request.header("user-agent") or "",
        },
        "requestId": exchange.request_id,
        "routeKey": exchange.route.key,
        "stage": exchange.stage.name,
        "time": at,
        "timeEpoch": epoch_ms,
    }


def _second_authorizer(exchange: Exchange) -> dict[str, Any]:
    caller = exchange.caller
    if caller.claims is not None:
        return {"jwt": {"claims": dict(caller.claims), "scopes": _listed(caller.scopes)}}
    if caller.is_custom:
        return {"lambda": caller.context}
    if caller.identity is None:
        return {}
    who = caller.identity
    return {
        "iam": {
            "accessKey": who.access_key,
            "accountId": who.account,
            "callerId": who.user_id,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": who.arn,
            "userId": who.user_id,
        }
    }


def _listed(scopes: tuple[str, ...] | None) -> list[str] | None:
    return None if scopes is None else list(scopes)


def _first_event(exchange: Exchange, mapped: Mapped) -> dict[str, Any]:
    headers, query = _grouped(mapped.headers), _grouped(mapped.query)
    return {
        "version": "1.0",
        "resource": exchange.route.key.partition(" ")[2] or exchange.route.key,
        "path": mapped.path or exchange.raw_path,
        "httpMethod": exchange.request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": _first_context(exchange),
        "pathParameters": dict(exchange.path_parameters) or None,
        "stageVariables": dict(exchange.stage.variables) or None,
    }


def _grouped(items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in items:
        found.setdefault(name, []).append(value)
    return found


def _first_context(exchange: Exchange) -> dict[str, Any]:
    at, epoch_ms = exchange.when()
    return {
        "accountId": exchange.api.account_id,
        "apiId": exchange.api.id,
        "authorizer": _first_authorizer(exchange),
        "domainName": exchange.domain,
        "domainPrefix": exchange.domain.partition(".")[0],
        "extendedRequestId": exchange.request_id,
        "httpMethod": exchange.request.method,
        "identity": exchange.identity(),
        "path": exchange.raw_path,
        "protocol": exchange.request.protocol,
        "requestId": exchange.request_id,
        "requestTime": at,
        "requestTimeEpoch": epoch_ms,
        "resourceId": exchange.route.key,
        "resourcePath": exchange.route.key.partition(" ")[2] or exchange.route.key,
        "stage": exchange.stage.name,
    }


def _first_authorizer(exchange: Exchange) -> dict[str, Any]:
    caller = exchange.caller
    if caller.is_custom:
        principal = {"principalId": caller.principal} if caller.principal else {}
        return {**(caller.context or {}), **principal, "integrationLatency": caller.latency_ms}
    claims = dict(caller.claims) if caller.claims is not None else None
    return {"claims": claims, "scopes": _listed(caller.scopes)}
