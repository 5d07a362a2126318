"""What happens on a WebSocket connection, and the frames that go back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "Frame",
    "FrameKind",
    "MarkFrame",
    "RecordsFrame",
    "ShownRecord",
    "SocketEvent",
    "SocketReply",
    "StreamOrder",
]

FrameKind: TypeAlias = Literal[
    "delta", "tool", "final", "reset", "retract", "error", "ping", "subscribed", "unsubscribed"
]


class SocketEvent(NamedTuple):
    """One event of a WebSocket API. `kind`: CONNECT, MESSAGE or DISCONNECT; `route` is the route key.

    `caller` is the authorizer's principal. `body` is a message's text, else "". `subprotocols` are those that a client
    offers when it connects. `connected_ms` is epoch milliseconds; `request_id` the gateway's own. `groups` and `tenant`
    are the caller's, as its token said when it connected; `expires_s` is when that token is over (epoch seconds, leeway
    included), 0 where the authorizer does not say.
    """

    kind: str
    route: str
    connection_id: str
    caller: str
    body: str
    connected_ms: int
    request_id: str
    subprotocols: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tenant: str = ""
    expires_s: int = 0


class SocketReply(NamedTuple):
    """What the gateway is told: 2xx lets a connection be, anything else refuses it (of a message it is only logged).

    `subprotocol` is the one of the client's that is chosen, "" for none.
    """

    status: int = 200
    subprotocol: str = ""


class Frame(NamedTuple):
    """One frame to a client.

    `seq` counts the frames of one attachment, from 1. `off` is how many characters of the answer come before `data`;
    for `reset` and `retract` where the text is cut. `attempt` is which attempt's text it speaks of (0 where there is
    none). `data`: the text of a delta; members of anything else; None for a ping.
    """

    kind: FrameKind
    req: str
    seq: int
    off: int
    attempt: int = 0
    data: str | Mapping[str, object] | None = None


class RecordsFrame(NamedTuple):
    """Records of a topic for clients that subscribed it, one frame a message.

    `number` counts the messages of one filter and shard since `epoch`, from 1, those that were dropped included.
    `records`: each as `codec.frames.encode_record` writes it, in the shard's order.
    """

    topic: str
    shard: str
    epoch: str
    number: int
    records: tuple[bytes, ...]


class MarkFrame(NamedTuple):
    """How far the numbers of a shard's messages have come: up to `number` they were due, sent or not."""

    topic: str
    shard: str
    epoch: str
    number: int


class ShownRecord(NamedTuple):
    """One record as a client is shown it.

    `sequence_number` is the stream's; `sub_sequence` tells records apart that share the number, None where there is one
    only. `data`: what is shown.
    """

    sequence_number: str
    sub_sequence: int | None
    data: Mapping[str, object]


class StreamOrder(NamedTuple):
    """Work for a stream worker: begin, or go on with, the answer of this caller and `req`."""

    caller: str
    req: str
