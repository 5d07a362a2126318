"""API Gateway REST API, Lambda proxy integration (payload 1.0).

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
from typing import Final

from sluiceway.codec.http import correlation_header, decode_body, last_values, refuse
from sluiceway.codec.shape import mapping, optional_mapping, optional_text, text, texts
from sluiceway.events.http import HttpReply, HttpRequest

__all__ = ["correlation_id", "decode", "encode", "refuse"]

_STATUSES: Final = range(100, 600)


def decode(raw: object) -> HttpRequest:
    """The request; `caller` is the Lambda authorizer's principalId. Raises: Rejected (`malformed-event`)."""
    event = mapping(raw, "root")
    context = mapping(event.get("requestContext"), "requestContext")
    authorizer = optional_mapping(context.get("authorizer"), "requestContext.authorizer")
    headers = last_values(event.get("headers"), event.get("multiValueHeaders"), "headers")
    query = last_values(
        event.get("queryStringParameters"), event.get("multiValueQueryStringParameters"), "queryStringParameters"
    )
    return HttpRequest(
        method=text(event.get("httpMethod"), "httpMethod"),
        path=text(event.get("path"), "path"),
        headers={name.lower(): value for name, value in headers.items()},
        query=query,
        path_parameters=texts(event.get("pathParameters"), "pathParameters"),
        body=decode_body(event.get("body"), event.get("isBase64Encoded")),
        caller=optional_text(authorizer.get("principalId"), "requestContext.authorizer.principalId"),
        request_id=text(context.get("requestId"), "requestContext.requestId"),
    )


def encode(reply: HttpReply) -> dict[str, object]:
    """The proxy response. Bytes travel as base64, which the API turns back for its binary media types.

    Raises: ValueError where the flow made a status outside 100-599 or a header that breaks the line it stands on.
    """
    if reply.status not in _STATUSES:
        raise ValueError(f"{reply.status} is no HTTP status")
    for name, value in reply.headers.items():
        if not name or not (name + value).isprintable():
            raise ValueError("a header holds control characters or has no name")
    binary = isinstance(reply.body, bytes)
    return {
        "statusCode": reply.status,
        "headers": dict(reply.headers),
        "body": base64.b64encode(reply.body).decode("ascii") if isinstance(reply.body, bytes) else reply.body,
        "isBase64Encoded": binary,
    }


def correlation_id(event: HttpRequest) -> str:
    """The client's X-Correlation-Id where it fits into a log line, else the gateway's request id."""
    return correlation_header(event.headers) or event.request_id
