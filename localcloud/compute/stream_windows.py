"""Tumbling windows: which one a record belongs to, and what the event of an invocation says of it. Pure.

A record belongs to the window in which it arrived in the stream, counted from the epoch. A window has one state for
each shard, which every answer replaces; the final invocation has no records, and the state is dropped after it.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html,
https://aws.amazon.com/blogs/compute/using-aws-lambda-for-streaming-analytics/
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Final

from localcloud.compute.stream_batches import encode_json
from localcloud.compute.stream_checkpoints import OpenWindow

__all__ = ["MAX_STATE_BYTES", "Closing", "accept_state", "build_frame", "open_window"]

MAX_STATE_BYTES: Final = 1024 * 1024  # services-kinesis-windows: 1 MB for each shard


class Closing(Enum):
    """An invocation that ends something: the window at its end, or its state once that has outgrown 1 MB."""

    FINAL = "final"
    EARLY = "early"


def open_window(arrived_s: float, length_s: int) -> OpenWindow:
    """The window in which a record arrived."""
    start_s = int(arrived_s // length_s) * length_s
    return OpenWindow(start_s, start_s + length_s)


def accept_state(window: OpenWindow, state: bytes) -> None:
    """Keep the state of an answer."""
    window.state = state
    window.overgrown = len(state) > MAX_STATE_BYTES


def build_frame(window: OpenWindow, *, shard_id: str, source_arn: str, closing: Closing | None) -> bytes:
    """What an event has beside `Records`, as JSON without braces."""
    bounds = {"start": _date(window.start_s), "end": _date(window.end_s)}
    rest = {
        "shardId": shard_id,
        "eventSourceARN": source_arn,
        "isFinalInvokeForWindow": closing is Closing.FINAL,
        "isWindowTerminatedEarly": closing is Closing.EARLY,
    }
    return b'"window":%b,"state":%b,%b' % (encode_json(bounds), window.state, encode_json(rest)[1:-1])


def _date(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
