"""Work for a stream worker, as the payload of its asynchronous invocation: `{"caller":...,"req":...}`."""

from __future__ import annotations

from sluiceway.codec.shape import malformed, mapping, text
from sluiceway.events.socket import StreamOrder

__all__ = ["correlation_id", "decode", "encode", "encode_order"]


def decode(raw: object) -> StreamOrder:
    """The order. Raises: Rejected (`malformed-event`)."""
    payload = mapping(raw, "root")
    order = StreamOrder(text(payload.get("caller"), "caller"), text(payload.get("req"), "req"))
    if not order.caller:
        raise malformed("caller", "the name of a caller")
    if not order.req:
        raise malformed("req", "the name of an answer")
    return order


def encode(reply: None) -> None:
    """Nothing: nobody waits for the reply of an asynchronous invocation."""
    return reply


def encode_order(order: StreamOrder) -> dict[str, object]:
    """The payload that `decode` reads."""
    return {"caller": order.caller, "req": order.req}


def correlation_id(event: StreamOrder) -> str:
    """Always "": the answer's record has it, and the flow binds it."""
    del event
    return ""
