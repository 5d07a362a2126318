"""A connection does not outlive the token that opened it: an authorizer is asked when it opens, and never again.

Owns until when what a connection keeps counts, and what a message gets that comes after it. Sources:
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html and
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
"""

from __future__ import annotations

from typing import Final

from sluiceway import log
from sluiceway.errors import Gone, Misconfigured, Rejected, Retryable
from sluiceway.events.http import describe_problem
from sluiceway.events.socket import Frame, SocketEvent, SocketReply
from sluiceway.flows.stream.lines import ConnectionLine
from sluiceway.ports import Connections
from sluiceway.steps.metrics import count

__all__ = ["end_of", "is_expired", "turn_away"]

CONNECTION_LIFE_S: Final = 2 * 3600 + 600  # API Gateway ends a connection after 2 hours; and a little for clocks
UNAUTHORIZED: Final = 401


def end_of(event: SocketEvent, now_ms: int) -> int:
    """Epoch seconds after which the sender's connection is over: with its token, or with the gateway's own limit."""
    life_ends_s = now_ms // 1000 + CONNECTION_LIFE_S
    return min(event.expires_s, life_ends_s) if event.expires_s else life_ends_s


def is_expired(event: SocketEvent, now_ms: int) -> bool:
    """Whether the token that opened the connection is over."""
    return 0 < event.expires_s * 1000 <= now_ms


async def turn_away(event: SocketEvent, req: str, connections: Connections) -> SocketReply:
    """Say that the token is over, and close the connection. Nothing of the message is done.

    Raises what closing raises: the connection is still there then, and its next message comes here again.
    """
    if event.kind == "CONNECT":
        return SocketReply(UNAUTHORIZED)
    count("ConnectionsExpired")
    members = describe_problem("token-expired", "The token is over: connect with a new one")
    frame = Frame("error", req, 1, 0, 0, {**members, "status": UNAUTHORIZED, "resumable": True})
    try:
        await ConnectionLine(connections, event.connection_id).send(frame)
    except (Gone, Rejected, Retryable, Misconfigured) as error:
        log.warning("socket.expiry_untold", error_type=type(error).__name__)
    await connections.disconnect(event.connection_id)
    return SocketReply()
