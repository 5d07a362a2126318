"""An invocation within a tumbling window of one shard of a Kinesis stream, and what a function answers to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sluiceway.events.kinesis import KinesisRecord

__all__ = ["KinesisWindow", "WindowReply"]


class KinesisWindow(NamedTuple):
    """Records of one window, in the shard's order, and the state of the last answer in it ({} at its beginning).

    `start_ms` and `end_ms` (epoch milliseconds) bound the records' times of arrival, up to 900 s from each other.
    `is_final`: the window is over; `is_cut`: its state outgrew 1 MB and the window goes on with a fresh one. Both come
    without records, and the state is dropped after them. `stream_arn` is of the stream, or of the consumer.
    Source: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
    """

    records: tuple[KinesisRecord, ...]
    state: Mapping[str, object]
    shard_id: str
    stream_arn: str
    start_ms: int
    end_ms: int
    is_final: bool = False
    is_cut: bool = False


class WindowReply(NamedTuple):
    """The state for the next invocation in the window, of the records before the first of `failed`.

    `failed`: the sequence number from which on the shard is read again, or nothing. `state` is made of JSON types and
    at most 1 MB as JSON; after a final invocation Lambda drops it.
    """

    state: Mapping[str, object]
    failed: tuple[str, ...] = ()
