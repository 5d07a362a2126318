"""Codecs: one module an event source, between the wire form and the typed events of `sluiceway.events`.

Each module is a `Source`: `App(flow, source=codec.sqs)`. An event that does not have its source's shape is `Rejected`
with the reason `malformed-event` and the name of the member. Must not know flows, settings or AWS clients.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

__all__ = ["Source"]

E = TypeVar("E")
R_contra = TypeVar("R_contra", contravariant=True)


class Source(Protocol[E, R_contra]):
    """What a codec module offers. `E` is the typed event, `R_contra` what the flow replies."""

    def decode(self, raw: object, /) -> E:
        """The typed event. Raises: Rejected (`malformed-event`) where `raw` is something else."""
        ...

    def encode(self, reply: R_contra, /) -> object:
        """What Lambda sends back, made of JSON types."""
        ...

    def correlation_id(self, event: E, /) -> str:
        """What follows this request through queues to the logs; "" where the Lambda request id must do."""
        ...
