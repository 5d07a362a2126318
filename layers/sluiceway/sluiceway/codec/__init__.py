"""Codecs: one module an event source, between the wire form and the typed events of `sluiceway.events`.

Each module is a `Source`: `App(flow, source=codec.sqs)`. An event that does not have its source's shape is `Rejected`
with the reason `malformed-event` and the name of the member. Must not know flows, settings or AWS clients.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

__all__ = ["Source", "refuse"]

E = TypeVar("E")
R_contra = TypeVar("R_contra", contravariant=True)


class Source(Protocol[E, R_contra]):
    """What a codec module offers. `E` is the typed event, `R_contra` what the flow replies.

    One whose replies can say that something was refused also has `refuse(error)`: the reply to what the flow raised,
    None where that is an error of the invocation all the same.
    """

    def decode(self, raw: object, /) -> E:
        """The typed event. Raises: Rejected (`malformed-event`) where `raw` is something else."""
        ...

    def encode(self, reply: R_contra, /) -> object:
        """What Lambda sends back, made of JSON types."""
        ...

    def correlation_id(self, event: E, /) -> str:
        """What follows this request through queues to the logs; "" where the Lambda request id must do."""
        ...


def refuse(source: Source[Any, Any], error: Exception) -> Any:
    """The reply of `source` to what a flow raised. Raises: `error`, where the source has none."""
    make_reply = getattr(source, "refuse", None)
    reply = None if make_reply is None else make_reply(error)
    if reply is None:
        raise error
    return reply
