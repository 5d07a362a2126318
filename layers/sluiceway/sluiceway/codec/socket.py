"""API Gateway WebSocket API, Lambda proxy integration: a connection opened, a message, a connection closed.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-integration-requests.html
and https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from sluiceway.codec.groups import decode_groups
from sluiceway.codec.headers import subprotocols
from sluiceway.codec.shape import integer, malformed, mapping, optional_mapping, optional_text, text
from sluiceway.events.socket import SocketEvent, SocketReply

__all__ = ["correlation_id", "decode", "encode"]

_KINDS: Final = ("CONNECT", "MESSAGE", "DISCONNECT")
_STATUSES: Final = range(100, 600)
MAX_EXPIRY_DIGITS: Final = 12


def decode(raw: object) -> SocketEvent:
    """The event; `caller` is the Lambda authorizer's principalId. Raises: Rejected (`malformed-event`)."""
    event = mapping(raw, "root")
    context = mapping(event.get("requestContext"), "requestContext")
    kind = text(context.get("eventType"), "requestContext.eventType")
    if kind not in _KINDS:
        raise malformed("requestContext.eventType", "CONNECT, MESSAGE or DISCONNECT")
    authorizer = optional_mapping(context.get("authorizer"), "requestContext.authorizer")
    return SocketEvent(
        kind=kind,
        route=text(context.get("routeKey"), "requestContext.routeKey"),
        connection_id=text(context.get("connectionId"), "requestContext.connectionId"),
        caller=optional_text(authorizer.get("principalId"), "requestContext.authorizer.principalId"),
        body=_body(event),
        connected_ms=integer(context.get("connectedAt"), "requestContext.connectedAt"),
        request_id=text(context.get("requestId"), "requestContext.requestId"),
        subprotocols=subprotocols(event) if kind == "CONNECT" else (),
        groups=decode_groups(authorizer.get("groups"), "requestContext.authorizer.groups"),
        tenant=optional_text(authorizer.get("tenant"), "requestContext.authorizer.tenant"),
        expires_s=_expiry(authorizer.get("expires_s")),
    )


def encode(reply: SocketReply) -> dict[str, object]:
    """The proxy response. Raises: ValueError for a status outside 100-599 or a subprotocol that breaks its line."""
    if reply.status not in _STATUSES:
        raise ValueError(f"{reply.status} is no HTTP status")
    if not reply.subprotocol:
        return {"statusCode": reply.status}
    if not (reply.subprotocol.isascii() and reply.subprotocol.isprintable()):
        raise ValueError("a subprotocol holds control characters")
    return {"statusCode": reply.status, "headers": {"Sec-WebSocket-Protocol": reply.subprotocol}}


def correlation_id(event: SocketEvent) -> str:
    """The gateway's request id, one for each event."""
    return event.request_id


def _expiry(value: object) -> int:
    """Epoch seconds; what an authorizer gives as a number arrives as text. Raises: Rejected where it cannot be told."""
    if value is None:
        return 0
    digits = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not (isinstance(digits, str) and digits.isascii() and digits.isdigit() and len(digits) <= MAX_EXPIRY_DIGITS):
        raise malformed("requestContext.authorizer.expires_s", "a time in epoch seconds")
    return int(digits)


def _body(event: Mapping[str, object]) -> str:
    """A message's text; a binary message that is UTF-8 counts as text."""
    body = optional_text(event.get("body"), "body")
    if event.get("isBase64Encoded") is not True:
        return body
    try:
        return base64.b64decode(body, validate=True).decode()
    except (binascii.Error, ValueError):
        raise malformed("body", "base64 of text") from None
